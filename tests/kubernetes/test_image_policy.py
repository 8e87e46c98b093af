"""Our signatures as sigstore's policy-controller judges them, on the API server's behalf."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from modelcar import pod
from modelcar.attestation import cosign
from modelcar.attestation.keys import SigningKey
from modelcar.oci import referrers
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.steps.mirror import mirror
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.policy_controller import INCLUDED, policy, policy_controller
from tests.kubernetes.waiting import until
from tests.parts.hub import Hub
from tests.parts.registries import BasicAuthRegistry, Registry
from tests.parts.signing_keys import write_keys
from tests.parts.steps import stream

MODEL, LOGIN = "example/signed", "registry"

Admitted = Callable[[Reference], str]
LogIn = Callable[..., Path]


@pytest.fixture(scope="module")
def controller(local_cluster: LocalCluster, pod_registry: BasicAuthRegistry) -> Iterator[None]:
    """Run policy-controller."""
    assert pod_registry.ca_file is not None
    with policy_controller(local_cluster, pod_registry.ca_file):
        yield


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with our keys and foreign ones."""
    folder = tmp_path_factory.mktemp("keys")
    write_keys(folder, "ours")
    write_keys(folder, "foreign")
    return folder


@pytest.fixture
def admitted(
    controller: None,
    namespace: Namespace,
    pod_registry: BasicAuthRegistry,
    keys: Path,
    log_in: LogIn,
) -> Iterator[Admitted]:
    """Give a function that offers a pod with an image; it gives the words of a refusal, or nothing."""
    log_in(pod_registry)
    namespace.login(LOGIN, pod_registry)
    namespace.core.patch_namespace(namespace.name, {"metadata": {"labels": INCLUDED}})
    rules = client.CustomObjectsApi(namespace.api)
    made = policy(namespace.name, f"{pod_registry.host}/**", keys / "ours.pub")
    rules.create_cluster_custom_object("policy.sigstore.dev", "v1beta1", "clusterimagepolicies", made)

    def offer(image: Reference) -> str:
        container = {"name": "model", "image": str(image)}
        offered: Any = {
            "metadata": {"name": "model"},
            "spec": {"containers": [container], "imagePullSecrets": [{"name": LOGIN}]},
        }
        try:
            namespace.core.create_namespaced_pod(namespace.name, offered, dry_run="All")
        except client.ApiException as error:
            return str(error.body)
        return ""

    # It takes a policy in a moment after it was made.
    never_signed = Reference.parse(f"{pod_registry.host}/policy/none@sha256:{'0' * 64}")
    until(lambda: offer(never_signed), "a refusal of an image that nobody signed")
    yield offer
    rules.delete_cluster_custom_object("policy.sigstore.dev", "v1beta1", "clusterimagepolicies", namespace.name)


@pytest.fixture
def signed(hub: Hub, model: Path, keys: Path, admitted: Admitted, pod_registry: BasicAuthRegistry) -> Reference:
    """Give an image that a run with our key has made."""
    hub.publish(MODEL, model)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(pod.SIGNING_KEY, str(keys / "ours.key"))
        return stream(MODEL, f"{pod_registry.host}/policy/signed:1").image


def test_a_pod_with_our_signed_image_is_admitted(admitted: Admitted, signed: Reference) -> None:
    assert admitted(signed) == ""


def test_a_mirror_keeps_its_signature(admitted: Admitted, signed: Reference) -> None:
    copied = mirror(str(signed), f"{signed.registry}/policy/mirrored:1").image

    assert admitted(copied) == ""


def test_an_unsigned_image_is_refused(
    admitted: Admitted, hub: Hub, model: Path, pod_registry: BasicAuthRegistry
) -> None:
    hub.publish(MODEL, model)
    unsigned = stream(MODEL, f"{pod_registry.host}/policy/unsigned:1").image

    assert "denied the request" in admitted(unsigned)


def test_an_image_that_another_key_signed_is_refused(
    admitted: Admitted, hub: Hub, model: Path, keys: Path, pod_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish(MODEL, model)
    monkeypatch.setenv(pod.SIGNING_KEY, str(keys / "foreign.key"))
    foreign = stream(MODEL, f"{pod_registry.host}/policy/foreign:1").image

    assert "denied the request" in admitted(foreign)


def test_a_forged_image_with_our_signature_of_another_is_refused(
    admitted: Admitted, signed: Reference, hub: Hub, model: Path, keys: Path
) -> None:
    """Whoever may push may put our signature of one image at another."""
    with Repository(signed, push=True) as repository:
        image = repository.manifest(signed.digest)
        forged = type(image)(image.content.replace(b'"schemaVersion":2', b'"schemaVersion": 2'), image.media_type)
        assert forged.digest != image.digest
        repository.put_manifest(forged, "forged")
        ours = cosign.signature(signed, signed.digest, SigningKey.read(keys / "ours.key", b""))
        referrers.attach(repository, forged, [ours])
        for one in referrers.find(repository, signed.digest):
            manifest = one.stored.manifest()
            moved = manifest.model_copy(
                update={
                    "subject": manifest.subject
                    and type(manifest.subject).model_validate(
                        {"mediaType": forged.media_type, "digest": forged.digest, "size": len(forged.content)}
                    )
                }
            )
            stored = type(image)(moved.encoded(), one.stored.media_type)
            referrers.put(repository, forged, [referrers.Attached(stored, one.tag_end)])

    assert "denied the request" in admitted(signed.at(forged.digest))
