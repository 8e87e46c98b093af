"""Signing without a key by a real service account: its token is the API server's, and Fulcio asks that for its keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from modelcar import pod
from modelcar.attestation.identity_token import identity_token
from modelcar.attestation.keyless import Identity
from modelcar.attestation.keys import SigningError
from modelcar.steps.verify.result import Outcome
from modelcar.steps.verify.verify import verify
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.waiting import until
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.sigstore import Sigstore, sigstore
from tests.parts.steps import stream

MODEL, ACCOUNT, OTHER = "example/signed-by-an-account", "modelcar-pipeline", "modelcar-build"
RIGHTS = Path(__file__).parents[2] / "manifests" / "keyless.example.yaml"


@pytest.fixture
def servers(local_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sigstore]:
    """Run a Sigstore that knows the cluster's issuer, as an administrator sets it up."""
    roles = client.RbacAuthorizationV1Api(local_cluster.api)
    role = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "system:service-account-issuer-discovery",
    }
    anybody = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"}
    roles.create_cluster_role_binding(
        {"metadata": {"name": "issuer-discovery"}, "roleRef": role, "subjects": [anybody]}
    )
    authority = Path(local_cluster.api.configuration.ssl_ca_cert).read_text()
    issuer = f"https://{local_cluster.network.control}"
    with sigstore(tmp_path_factory.mktemp("sigstore"), {issuer: authority}) as running:
        yield running
    roles.delete_cluster_role_binding("issuer-discovery")


@pytest.fixture
def in_pod(local_cluster: LocalCluster, namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> Namespace:
    """Be what a pod of the account is: with its token and the cluster's authority, and the API server's address."""
    for name in (ACCOUNT, OTHER):
        namespace.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
    body: Any = {"spec": {"audiences": []}}
    token = namespace.core.create_namespaced_service_account_token(ACCOUNT, namespace.name, body).status.token
    pod.SERVICE_ACCOUNT.mkdir(parents=True)
    (pod.SERVICE_ACCOUNT / "token").write_text(token)
    (pod.SERVICE_ACCOUNT / "ca.crt").write_bytes(Path(local_cluster.api.configuration.ssl_ca_cert).read_bytes())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", local_cluster.network.control)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return namespace


def test_an_account_signs_once_it_may_ask_for_its_own_token(
    in_pod: Namespace,
    servers: Sigstore,
    hub: Hub,
    model: Path,
    plain_registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub.publish(MODEL, model)
    monkeypatch.setenv(pod.SIGSTORE, str(servers.folder))
    target = f"{plain_registry.host}/keyless/by-account:1"
    with pytest.raises(SigningError, match=rf"forbidden.*keyless\.example\.yaml for {ACCOUNT}"):
        stream(MODEL, target)

    in_pod.create(*yaml.safe_load_all(RIGHTS.read_text()))
    until(lambda: _is_given(), "the token is given")
    image = stream(MODEL, target).image

    issuer = f"https://{in_pod.cluster.network.control}"
    named = f"https://kubernetes.io/namespaces/{in_pod.name}/serviceaccounts/{ACCOUNT}"
    assert verify(str(image), key=Identity.read(named, issuer, servers.trusted_root)).outcome is Outcome.WHOLE
    other = named.replace(ACCOUNT, OTHER)
    assert verify(str(image), key=Identity.read(other, issuer, servers.trusted_root)).outcome is Outcome.BROKEN


def test_it_may_ask_for_no_other_accounts_token(in_pod: Namespace) -> None:
    in_pod.create(*yaml.safe_load_all(RIGHTS.read_text()))
    until(lambda: _is_given(), "the token is given")
    settings = client.Configuration()
    settings.host = in_pod.api.configuration.host
    settings.ssl_ca_cert = in_pod.api.configuration.ssl_ca_cert
    settings.api_key = {"authorization": f"Bearer {(pod.SERVICE_ACCOUNT / 'token').read_text()}"}
    core = client.CoreV1Api(client.ApiClient(settings))
    body: Any = {"spec": {"audiences": []}}

    with pytest.raises(client.ApiException) as refused:
        core.create_namespaced_service_account_token(OTHER, in_pod.name, body)

    assert refused.value.status == 403


def _is_given() -> bool:
    try:
        return bool(identity_token())
    except SigningError:
        return False
