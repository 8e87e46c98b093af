"""Nodes judged as the scheduler judges them; tests/kubernetes holds the same arithmetic against the scheduler."""

import copy
import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.steps.preflight.finding import Finding
from modelcar.steps.preflight.nodes import Need, Node, Resources, judge, requests_of

NODE: dict[str, Any] = {
    "metadata": {
        "name": "worker",
        "labels": {"kubernetes.io/arch": "amd64", "kubernetes.io/hostname": "worker", "kubernetes.io/os": "linux"},
    },
    "spec": {},
    "status": {
        "capacity": {"cpu": "2", "ephemeral-storage": "16468860Ki", "memory": "24684096Ki", "pods": "110"},
        "allocatable": {
            "cpu": "2",
            "ephemeral-storage": "15177701351",
            "hugepages-1Gi": "0",
            "memory": "24581696Ki",
            "pods": "110",
        },
        "conditions": [
            {"type": "MemoryPressure", "status": "False", "reason": "KubeletHasSufficientMemory"},
            {"type": "DiskPressure", "status": "False", "reason": "KubeletHasNoDiskPressure"},
            {"type": "Ready", "status": "True", "reason": "KubeletReady"},
        ],
    },
}
"""As a kubelet 1.36 reports itself, without its images and addresses."""

BUILD = {"ai-build-node": "true"}
CORDONED = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
GPU = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def node(
    name: str,
    *,
    storage: str = "100Gi",
    labels: dict[str, str] | None = None,
    taints: tuple[dict[str, str], ...] = (),
    ready: bool = True,
    requested: Resources | None = None,
    **spec: Any,
) -> Node:
    made = copy.deepcopy(NODE)
    made["metadata"]["name"] = name
    made["metadata"]["labels"] |= labels or {}
    made["spec"] = {"taints": list(taints), **spec} if taints or spec else {}
    made["status"]["allocatable"]["ephemeral-storage"] = storage
    made["status"]["conditions"][-1]["status"] = "True" if ready else "Unknown"
    return replace(Node.read(made), requested=requested or Resources())


def need(storage: str = "20Gi", selector: dict[str, str] | None = None, *tolerations: dict[str, Any]) -> Need:
    requests = {"cpu": "1", "memory": "1Gi", "ephemeral-storage": storage}
    return Need(BUILD if selector is None else selector, tolerations, requests)


def refused(finding: Finding) -> Finding:
    assert finding.verdict == "refusal"
    return finding


def test_labelled_node_with_room_would_do() -> None:
    found = judge([node("a", labels=BUILD), node("b")], need())

    assert (found.verdict, found.what) == ("ok", "1 of 2 nodes would run the build: a (100.0Gi free)")
    assert not found.command


def test_requests_of_running_pods_are_subtracted() -> None:
    taken = requests_of({"containers": [{"resources": {"requests": {"ephemeral-storage": "85Gi"}}}]})
    nodes = [node("full", labels=BUILD, requested=taken)]

    found = judge(nodes, need("20Gi"))

    assert found.verdict == "warning"
    assert found.what.startswith(
        "running pods have reserved the ephemeral-storage that the build needs on full (15.0Gi"
    )
    assert judge(nodes, need("15Gi")).verdict == "ok"


def test_node_that_takes_no_more_pods_is_full() -> None:
    assert judge([node("a", labels=BUILD, requested=Resources({"pods": 110_000}))], need()).verdict == "warning"
    assert judge([node("a", labels=BUILD, requested=Resources({"pods": 109_000}))], need()).verdict == "ok"


def test_missing_label_is_a_command_for_the_best_node() -> None:
    nodes = [node("small", storage="10Gi"), node("good"), node("best", storage="200Gi"), node("down", ready=False)]

    found = refused(judge(nodes, need()))

    assert "4 of 4 nodes without the label ai-build-node=true" in found.what
    assert found.command == "oc label node best ai-build-node=true"
    assert found.remedy == "Label a node; best (200.0Gi free), good (100.0Gi free) would do"


def test_other_value_of_the_label_is_overwritten() -> None:
    nodes = [node("a", labels={"ai-build-node": "false", "disk": "large"})]

    found = refused(judge(nodes, need("20Gi", {**BUILD, "disk": "large"})))

    assert found.command == "oc label node a ai-build-node=true --overwrite"


def test_command_is_quoted() -> None:
    found = refused(judge([node("a")], need("1Gi", {"role": "x; rm -rf /"})))

    assert shlex.split(found.command) == ["oc", "label", "node", "a", "role=x; rm -rf /"]


def test_label_would_not_help_where_no_node_is_large_enough() -> None:
    found = refused(judge([node("a", storage="10Gi"), node("b", storage="13Gi")], need("160Gi")))

    assert "oc label" not in found.command
    assert found.command == "oc describe node b"
    assert "b has the most ephemeral storage: 13.0Gi are free" in found.remedy


def test_too_small_node_is_explained_with_both_figures() -> None:
    found = refused(judge([node("a", labels=BUILD, storage="13Gi"), node("b")], need("160Gi")))

    assert "1 of 2 nodes with too little ephemeral-storage (160Gi requested)" in found.what
    assert "1 of 2 nodes without the label" in found.what
    assert "a has the most ephemeral storage: 13.0Gi are free" in found.remedy


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (node("a", labels=BUILD, ready=False), "1 of 1 node not ready"),
        (node("a", labels=BUILD, unschedulable=True, taints=(CORDONED,)), "1 of 1 node cordoned"),
        (node("a", labels=BUILD, taints=(GPU,)), "1 of 1 node with the taint nvidia.com/gpu=present:NoSchedule"),
    ],
)
def test_node_that_takes_no_pod_is_skipped(there: Node, reason: str) -> None:
    assert reason in refused(judge([there], need())).what


def test_cordoned_node_is_opened_by_a_command() -> None:
    found = refused(judge([node("a", labels=BUILD, unschedulable=True, taints=(CORDONED,)), node("b")], need()))

    assert found.command == "oc adm uncordon a"


def test_taint_is_answered_by_a_toleration_that_does() -> None:
    tainted = [node("a", labels=BUILD, taints=(GPU,))]

    remedy = refused(judge(tainted, need())).remedy

    assert '[{"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"}]' in remedy
    tolerated = need("20Gi", BUILD, {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present"})
    assert judge(tainted, tolerated).verdict == "ok"


@pytest.mark.parametrize(
    ("toleration", "bears"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "nvidia.com/gpu", "value": "present"}, True),
        ({"key": "nvidia.com/gpu", "value": "absent"}, False),
        ({"key": "nvidia.com/gpu"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerations_are_those_of_kubernetes(toleration: dict[str, Any], bears: bool) -> None:
    found = judge([node("a", labels=BUILD, taints=(GPU,))], need("20Gi", BUILD, toleration))

    assert (found.verdict == "ok") is bears


def test_preference_does_not_keep_the_pod_away() -> None:
    shy = {"key": "spot", "effect": "PreferNoSchedule"}

    assert judge([node("a", labels=BUILD, taints=(shy,))], need()).verdict == "ok"


def test_node_that_offers_no_ephemeral_storage_has_none() -> None:
    bare = copy.deepcopy(NODE)
    del bare["status"]["allocatable"]["ephemeral-storage"]

    there = replace(Node.read(bare), requested=Resources())

    assert refused(judge([there], need("1Gi", {}))).what.count("ephemeral-storage") == 1


def test_no_node_at_all() -> None:
    assert refused(judge([], need())).what == "no node would run the build: there is none"


def test_nodes_whose_pods_were_not_looked_at_are_not_counted() -> None:
    known, unknown = node("a", labels=BUILD), replace(node("b", labels=BUILD), requested=None)

    assert judge([known, unknown], need()).what == "at least 1 of 2 nodes would run the build: a (100.0Gi free)"
    assert refused(judge([unknown], need()))


def test_many_nodes_are_not_all_named() -> None:
    found = judge([node(f"n{number}", labels=BUILD) for number in range(40)], need())

    assert found.what.endswith("and 35 more")


def container(**requests: str) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": requests}}


def test_requests_are_counted_as_the_scheduler_counts_them() -> None:
    spec = {
        "initContainers": [
            {**container(cpu="100m"), "restartPolicy": "Always"},
            container(cpu="3", memory="1Gi"),
            {**container(cpu="200m"), "restartPolicy": "Always"},
        ],
        "containers": [container(cpu="1", memory="256Mi"), container(memory="256Mi", **{"ephemeral-storage": "1G"})],
        "overhead": {"cpu": "250m"},
    }

    assert requests_of(spec) == {
        # The large init container, the sidecar before it and the overhead; not what runs later.
        "cpu": 3_000 + 100 + 250,
        "memory": 2**30 * 1000,
        "ephemeral-storage": 10**9 * 1000,
        "pods": 1000,
    }


def test_requests_of_the_pod_as_a_whole_stand_for_its_containers() -> None:
    spec = {"containers": [container(cpu="1", memory="1Gi")], "resources": {"requests": {"cpu": "500m"}}}

    assert requests_of(spec) == {"cpu": 500, "memory": 2**30 * 1000, "pods": 1000}


cpus = st.integers(0, 64_000)
containers = st.lists(cpus.map(lambda milli: container(cpu=f"{milli}m")), min_size=1, max_size=4)
inits = st.lists(
    st.builds(
        lambda milli, goes_on: {**container(cpu=f"{milli}m"), **({"restartPolicy": "Always"} if goes_on else {})},
        cpus,
        st.booleans(),
    ),
    max_size=4,
)


def _milli(one: dict[str, Any]) -> int:
    return int(one["resources"]["requests"]["cpu"].removesuffix("m"))


@given(containers, inits, cpus)
def test_any_pod_reserves_the_most_that_runs_at_once(
    running: list[dict[str, Any]], starting: list[dict[str, Any]], overhead: int
) -> None:
    at_once = [
        _milli(one) + sum(_milli(before) for before in starting[:place] if "restartPolicy" in before)
        for place, one in enumerate(starting)
    ]
    at_once.append(sum(map(_milli, running)) + sum(_milli(one) for one in starting if "restartPolicy" in one))

    counted = requests_of({"containers": running, "initContainers": starting, "overhead": {"cpu": f"{overhead}m"}})

    assert counted["cpu"] == max(at_once) + overhead


@given(st.integers(0, 2**50), st.integers(1, 2**50), st.integers(0, 2**50))
def test_what_is_left_decides_to_the_byte(allocatable: int, asked: int, taken: int) -> None:
    there = node("a", labels=BUILD, storage=str(allocatable), requested=Resources({"ephemeral-storage": taken * 1000}))

    found = judge([there], need(str(asked)))

    if asked + taken <= allocatable:
        assert found.verdict == "ok"
    else:
        assert found.verdict == ("warning" if asked <= allocatable else "refusal")
