"""OpenShift's constraints before a real API server: where buildah may run, and what preflight finds of it."""

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client

from modelcar.cluster.connection import Cluster
from modelcar.cluster.job import Privilege
from modelcar.steps.preflight import admission
from modelcar.steps.preflight.admission import TrialPod
from tests.kubernetes.conftest import AnyCluster
from tests.kubernetes.constraints import MESSAGE, grant, in_force, is_taken
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.waiting import until
from tests.parts import security_context_constraints as sccs
from tests.parts.security_context_constraints import Constraints

BY_DEFAULT = (sccs.RESTRICTED_V2, sccs.RESTRICTED_V3)
GRANTED = (sccs.NESTED_CONTAINER, sccs.PRIVILEGED)
ACCOUNT = "modelcar-build"
KINDS: tuple[Privilege, ...] = ("none", "nested", "privileged")


@pytest.fixture
def judged(namespace: Namespace, cluster: AnyCluster) -> Iterator[Cluster]:
    """Give the namespace, whose pods are judged as OpenShift judges them."""
    namespace.core.create_namespaced_service_account(namespace.name, {"metadata": {"name": ACCOUNT}})
    with in_force(namespace, BY_DEFAULT, GRANTED):
        yield Cluster(cluster.api, namespace.name)


@pytest.mark.parametrize(
    ("granted", "taken"),
    [
        (None, {"none"}),
        (sccs.NESTED_CONTAINER, {"none", "nested"}),
        (sccs.PRIVILEGED, {"none", "nested", "privileged"}),
    ],
    ids=["nothing", "nested-container", "privileged"],
)
def test_preflight_finds_the_least_privilege_that_the_account_has(
    granted: Constraints | None, taken: set[str], judged: Cluster, namespace: Namespace
) -> None:
    if granted:
        grant(namespace, granted, ACCOUNT)
        until(lambda: is_taken(judged, TrialPod({}, ACCOUNT, "nested")), "the right is known")

    found = {kind: admission.check_pod(judged, TrialPod({}, ACCOUNT, kind)) for kind in KINDS}

    assert {kind for kind, finding in found.items() if finding.verdict == "ok"} == taken
    for kind, finding in found.items():
        if kind not in taken:
            assert MESSAGE in finding.what
            assert finding.command.startswith("oc adm policy add-scc-to-user")


def test_policy_judges_as_the_rules_in_the_tests_do(judged: Cluster, namespace: Namespace) -> None:
    """One stands for the other where there is no cluster (tests/modelcar/steps/preflight/test_constraints.py)."""
    trial = TrialPod({}, ACCOUNT, "nested").manifest()
    container = trial["spec"]["containers"][0]
    changes: list[dict[str, Any]] = [
        {"runAsUser": 0}, {"runAsUser": 65535}, {"seccompProfile": {"type": "RuntimeDefault"}},
        {"capabilities": {"add": ["SYS_ADMIN"]}}, {"allowPrivilegeEscalation": True}, {"privileged": True},
    ]  # fmt: skip
    grant(namespace, sccs.NESTED_CONTAINER, ACCOUNT)
    until(lambda: is_taken(judged, TrialPod({}, ACCOUNT, "nested")), "the right is known")
    usable = (*BY_DEFAULT, sccs.NESTED_CONTAINER)
    for change in changes:
        security = {**container["securityContext"], **change}
        spec = {**trial["spec"], "containers": [{**container, "securityContext": security}]}
        pod = {**trial, "spec": spec}
        status = 201
        try:
            namespace.core.create_namespaced_pod(namespace.name, pod, dry_run="All")
        except client.ApiException as error:
            status = error.status
        assert (status == 201) is (sccs.admission(usable, pod)[0] == 201), change
