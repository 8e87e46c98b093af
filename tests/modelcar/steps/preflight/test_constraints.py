"""Where buildah may run on OpenShift: what its SCCs say to the pods that we make and to the ones that we try."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcar.cluster.connection import Cluster
from modelcar.cluster.executor import Executor
from modelcar.cluster.job import Privilege, Work, manifest
from modelcar.cluster.task import TaskConfig
from modelcar.steps.preflight import admission
from modelcar.steps.preflight.admission import TrialPod
from tests.parts import security_context_constraints as sccs
from tests.parts.recorded_api import RecordedApi
from tests.parts.security_context_constraints import Constraints

PODS = "/api/v1/namespaces/my-project/pods"
STEP: dict[str, Any] = {
    "metadata": {"name": "step", "uid": "uid", "namespace": "my-project", "labels": {}},
    "spec": {
        "securityContext": {"fsGroup": 1000700000, "seLinuxOptions": {"level": "s0:c26,c25"}},
        "containers": [{"name": "main", "image": "steps", "securityContext": {"runAsUser": 1000700000}}],
    },
}
"""A step's pod, as restricted-v2 leaves it."""

BY_DEFAULT = (sccs.RESTRICTED_V2, sccs.RESTRICTED_V3)
"""What each account may use, the second on clusters that were installed as 4.20 or newer."""


@pytest.fixture
def openshift(tmp_path: Path) -> Iterator[RecordedApi]:
    with RecordedApi() as api:
        yield api


@pytest.mark.parametrize(
    ("scc", "takes"),
    [
        (sccs.RESTRICTED_V2, {"none"}),
        (sccs.RESTRICTED_V3, set()),
        (sccs.NESTED_CONTAINER, {"nested"}),
        (sccs.PRIVILEGED, {"none", "nested", "privileged"}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_jobs_pod_is_taken_by_the_constraint_that_it_is_made_for(scc: Constraints, takes: set[str]) -> None:
    kinds: tuple[Privilege, ...] = ("none", "nested", "privileged")
    work = {kind: Work("build", ["true"], TaskConfig(), "modelcar-build", privilege=kind) for kind in kinds}
    pods = {kind: manifest(one, Executor(STEP))["spec"]["template"] for kind, one in work.items()}

    assert {kind for kind, pod in pods.items() if not scc.refusals(pod)} == takes


@pytest.mark.parametrize(
    ("granted", "taken"),
    [((), set()), ((sccs.NESTED_CONTAINER,), {"nested"}), ((sccs.PRIVILEGED,), {"nested", "privileged"})],
)
def test_trial_pod_says_which_privilege_the_account_has(
    granted: tuple[Constraints, ...], taken: set[str], openshift: RecordedApi, tmp_path: Path
) -> None:
    openshift.answers[f"POST {PODS}"] = lambda pod: sccs.admission((*BY_DEFAULT, *granted), pod)
    cluster = Cluster.of(str(openshift.kubeconfig(tmp_path / "kubeconfig")))
    kinds: tuple[Privilege, ...] = ("nested", "privileged")

    found = {kind: admission.check_pod(cluster, TrialPod({}, "modelcar-build", kind)) for kind in kinds}

    assert {kind for kind, finding in found.items() if finding.verdict == "ok"} == taken
    for kind, scc in (("nested", "nested-container"), ("privileged", "privileged")):
        if kind not in taken:
            assert found[kind].command == f"oc adm policy add-scc-to-user {scc} -z modelcar-build -n my-project"


def test_cluster_that_drops_the_field_has_no_user_namespaces_for_pods(openshift: RecordedApi, tmp_path: Path) -> None:
    """Older API servers leave out what they do not know; the pod would be in the node's namespace."""

    def older(pod: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        del pod["spec"]["hostUsers"]
        return 201, pod

    openshift.answers[f"POST {PODS}"] = older
    cluster = Cluster.of(str(openshift.kubeconfig(tmp_path / "kubeconfig")))

    found = admission.check_pod(cluster, TrialPod({}, "modelcar-build", "nested"))

    assert found.verdict == "refusal"
    assert "gives pods no user namespace of their own" in found.what
    assert "build_mode=job" in found.remedy
