"""A build in a user namespace of its pod's own (build_mode=nested), under the rules of OpenShift's SCCs."""

from collections.abc import Iterator

import pytest

from tests.kubernetes.build_jobs import CLAIM, arguments, held_up
from tests.kubernetes.conftest import AnyCluster
from tests.kubernetes.constraints import MESSAGE, grant, in_force
from tests.kubernetes.executors import Run
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.pods import pod
from tests.parts import security_context_constraints as sccs
from tests.parts.registries import BasicAuthRegistry

BUILD_ACCOUNT = "modelcar-build"


@pytest.fixture
def judged(project: Namespace, directory: str) -> Iterator[None]:
    """Judge the project's pods as OpenShift does, once the download is there."""
    with in_force(project, (sccs.RESTRICTED_V2, sccs.RESTRICTED_V3), (sccs.NESTED_CONTAINER, sccs.PRIVILEGED)):
        yield


def test_buildah_builds_the_same_image_in_a_pod_with_a_user_namespace(
    project: Namespace, cluster: AnyCluster, directory: str, registry: BasicAuthRegistry, judged: None
) -> None:
    grant(project, sccs.NESTED_CONTAINER, BUILD_ACCOUNT)
    run, other = Run(project).start(), Run(project).start()
    with held_up(registry):
        name = run.attempt(cluster.image, arguments(directory, registry, build_mode="nested"), seccomp="")
        worker = run.working_pod()
    outputs = run.outputs(name)

    direct = arguments(directory, registry, "direct", build_mode="", builder="direct")
    wanted = other.outputs(other.attempt(cluster.image, direct, seccomp=""))
    assert outputs["image"].partition("@")[2] == wanted["image"].partition("@")[2]
    security = worker.spec.containers[0].security_context
    assert (worker.spec.host_users, security.privileged, security.run_as_user) == (False, None, 1000)
    assert worker.spec.service_account_name == BUILD_ACCOUNT
    # Nothing that another step could not remove is left on the claim.
    removes = ["sh", "-c", f"rm -r {directory}/.modelcar && echo gone"]
    assert project.run(pod("another-user", removes, cluster.image, claim=CLAIM, seccomp="")).strip() == "gone"


def test_without_the_right_it_is_refused_with_the_command_that_gives_it(
    project: Namespace, cluster: AnyCluster, directory: str, registry: BasicAuthRegistry, judged: None
) -> None:
    run = Run(project).start()

    error = run.error(run.attempt(cluster.image, arguments(directory, registry, build_mode="nested"), seccomp=""))

    assert MESSAGE in error
    assert f"oc adm policy add-scc-to-user nested-container -z {BUILD_ACCOUNT} -n {project.name}" in error
