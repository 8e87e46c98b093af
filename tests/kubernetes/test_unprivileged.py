"""Download and build as OpenShift runs them: random users in group 0, without capabilities, one after the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.conftest import AnyCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.pods import CLAIM_PATH, RANDOM_USER, pod
from tests.kubernetes.scripts import BUILD, DOWNLOAD
from tests.parts.hub import Hub
from tests.parts.registries import BasicAuthRegistry

MODEL = "example/tiny-llama"
ANOTHER_USER = 1000820000


@pytest.fixture
def downloaded(
    namespace: Namespace, cluster: AnyCluster, pod_hub: Hub, pod_registry: BasicAuthRegistry, model: Path
) -> Iterator[str]:
    """Give the directory of a model on the claim `models`, downloaded by a pod of a random user."""
    namespace.login("registry", pod_registry)
    pod_hub.publish(MODEL, model)
    with namespace.claim("models", 200 << 20):
        command = ["python3", "-c", DOWNLOAD, MODEL, CLAIM_PATH]
        env = {"HF_ENDPOINT": pod_hub.url}
        yield namespace.run(pod("download", command, cluster.image, claim="models", env=env)).splitlines()[-1]


def built(namespace: Namespace, name: str, directory: str, target: str, builder: str, **settings: object) -> str:
    """Builds in a pod, and returns the digest."""
    command = ["python3", "-c", BUILD, directory, target, builder]
    manifest = pod(name, command, namespace.cluster.image, claim="models", logins=["registry"], **settings)  # type: ignore[arg-type]
    return namespace.run(manifest).splitlines()[-1].partition("@")[2]


def test_buildah_without_any_privilege_builds_the_same_image(
    downloaded: str, namespace: Namespace, pod_registry: BasicAuthRegistry
) -> None:
    repository = f"{pod_registry.host}/{namespace.name}"
    theirs = built(namespace, "privileged", downloaded, f"{repository}/a:1", "buildah", user=0, privileged=True)
    direct = built(namespace, "direct", downloaded, f"{repository}/b:1", "direct")
    ours = built(namespace, "ours", downloaded, f"{repository}/c:1", "buildah")

    assert ours.startswith("sha256:")
    assert ours == theirs == direct


def test_the_build_is_told_that_the_node_forbids_user_namespaces(
    downloaded: str, namespace: Namespace, cluster: AnyCluster, pod_registry: BasicAuthRegistry
) -> None:
    command = ["python3", "-c", BUILD, downloaded, f"{pod_registry.host}/{namespace.name}/a:1", "buildah"]
    settings = {"claim": "models", "logins": ["registry"], "seccomp": "user-namespaces-forbidden"}
    namespace.create(pod("forbidden", command, cluster.image, **settings))  # type: ignore[arg-type]

    status = namespace.finished("forbidden").status

    assert status.phase == "Failed"
    assert "buildah may not make a user namespace in this pod" in namespace.log("forbidden")
    words = status.container_statuses[0].state.terminated.message
    assert "seccomp" in words
    assert "builder=direct" in words


def test_where_the_runtimes_profile_forbids_them_auto_goes_without_buildah(
    downloaded: str, namespace: Namespace, pod_registry: BasicAuthRegistry
) -> None:
    repository = f"{pod_registry.host}/{namespace.name}"
    # Were it buildah that is tried, it would fail as above.
    digest = built(namespace, "automatic", downloaded, f"{repository}/a:1", "auto", seccomp="")

    assert digest == built(namespace, "direct", downloaded, f"{repository}/b:1", "direct")


def test_another_user_of_group_0_builds_what_the_first_downloaded(
    downloaded: str, namespace: Namespace, cluster: AnyCluster, pod_registry: BasicAuthRegistry
) -> None:
    owners = namespace.run(pod("owners", ["sh", "-c", f"stat -c %u:%g {downloaded}/*"], cluster.image, claim="models"))
    target = f"{pod_registry.host}/{namespace.name}/a:1"
    digest = built(namespace, "another", downloaded, target, "buildah", user=ANOTHER_USER)

    assert set(owners.split()) == {f"{RANDOM_USER}:0"}
    assert digest.startswith("sha256:")
