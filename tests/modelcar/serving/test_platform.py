"""What a cluster is found to serve with, from answers of the API server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcar.cluster.connection import Cluster
from modelcar.errors import ClusterError
from modelcar.serving.platform import Platform, find_platform
from modelcar.serving.runtime import Runtime, find_runtime
from modelcar.serving.served_model import ServedModel
from modelcar.steps.preflight.serving_nodes import check_serving_nodes
from tests.parts.recorded_api import RecordedApi

RUNTIMES = "/apis/serving.kserve.io/v1alpha1/namespaces/my-project/servingruntimes"
GIB = 1 << 30


@pytest.fixture
def api() -> Iterator[RecordedApi]:
    with RecordedApi() as server:
        yield server


@pytest.fixture
def cluster(api: RecordedApi, tmp_path: Path) -> Cluster:
    return Cluster.of(str(api.kubeconfig(tmp_path / "config")))


def groups(**versions: list[str]) -> dict[str, Any]:
    found = []
    for name, listed in versions.items():
        dotted = {"kserve": "serving.kserve.io", "openshift_ai": "datasciencecluster.opendatahub.io"}[name]
        entries = [{"groupVersion": f"{dotted}/{version}", "version": version} for version in listed]
        found.append({"name": dotted, "versions": entries, "preferredVersion": entries[0]})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def resources(*names: str) -> dict[str, Any]:
    entries = [{"name": name, "singularName": "", "namespaced": True, "kind": name, "verbs": ["get"]} for name in names]
    return {"kind": "APIResourceList", "groupVersion": "serving.kserve.io/v1alpha2", "resources": entries}


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        ({"kserve": ["v1beta1", "v1alpha1"], "openshift_ai": ["v1"]}, Platform("rhoai-2.25", True, False)),
        ({"kserve": ["v1beta1", "v1alpha1"], "openshift_ai": ["v1", "v2"]}, Platform("rhoai-3", True, False)),
        ({"kserve": ["v1beta1", "v1alpha2"], "openshift_ai": ["v2", "v1"]}, Platform("rhoai-3", True, True)),
        ({"kserve": ["v1beta1", "v1alpha1"]}, Platform("kserve", True, False)),
        ({}, Platform("rhoai-3", False, False)),
    ],
)
def test_platform_is_told_from_the_api_groups(
    versions: dict[str, list[str]], found: Platform, api: RecordedApi, cluster: Cluster
) -> None:
    api.answers["/apis/"] = (200, groups(**versions))
    api.answers["/apis/serving.kserve.io/v1alpha2"] = (200, resources("llminferenceservices"))

    assert find_platform(cluster) == found


def test_api_server_that_refuses_is_named(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="list its API groups"):
        find_platform(cluster)


def runtime(name: str, *formats: str, **more: Any) -> dict[str, Any]:
    spec = {"supportedModelFormats": [{"name": one} for one in formats], "containers": [], **more}
    return {"metadata": {"name": name}, "spec": spec}


def test_runtime_of_the_project_is_found_by_its_format(api: RecordedApi, cluster: Cluster) -> None:
    off, many = runtime("a-off", "vLLM", disabled=True), runtime("b-mesh", "vLLM", multiModel=True)
    api.answers[RUNTIMES] = (200, {"items": [runtime("ours", "vLLM"), runtime("ovms", "onnx"), off, many]})

    assert find_runtime(ServedModel("i", "m"), cluster) == Runtime("ours", "", "vLLM")
    assert find_runtime(ServedModel("i", "m", "sklearn"), cluster) is None


def test_runtime_with_what_the_model_needs_comes_first(api: RecordedApi, cluster: Cluster) -> None:
    on_gpu, own = runtime("z-cuda", "vLLM"), runtime("mine", "vLLM")
    on_gpu["metadata"]["annotations"] = {"opendatahub.io/recommended-accelerators": '["nvidia.com/gpu"]'}
    api.answers[RUNTIMES] = (200, {"items": [runtime("a-cpu", "vLLM"), on_gpu, own]})

    def chosen(gpus: int, service: str = "") -> str:
        found = find_runtime(ServedModel("i", "m", gpus=gpus, service=service), cluster)
        return found.name if found else ""

    assert (chosen(1), chosen(0), chosen(1, "mine")) == ("z-cuda", "a-cpu", "mine")


def test_version_whose_kinds_are_not_listed_yet_has_none(api: RecordedApi, cluster: Cluster) -> None:
    api.answers["/apis/"] = (200, groups(kserve=["v1beta1", "v1alpha2"]))

    assert find_platform(cluster) == Platform("kserve", True, False)


@pytest.mark.parametrize("status", [403, 404])
def test_runtimes_that_may_not_be_seen_are_none(status: int, api: RecordedApi, cluster: Cluster) -> None:
    api.answers[RUNTIMES] = (status, {"kind": "Status", "message": "no"})

    assert find_runtime(ServedModel("i", "m"), cluster) is None


def test_runtimes_of_a_cluster_that_fails_are_a_failure(api: RecordedApi, cluster: Cluster) -> None:
    api.answers[RUNTIMES] = (503, {"kind": "Status", "message": "etcd is away"})
    with pytest.raises(ClusterError, match=r"refused to look for serving runtimes \(503 .*etcd is away") as failed:
        find_runtime(ServedModel("i", "m"), cluster)
    assert failed.value.may_pass

    def cut_off() -> tuple[int, bytes]:
        raise ConnectionError

    api.answers[RUNTIMES] = cut_off
    with pytest.raises(ClusterError, match="cannot be reached to look for serving runtimes"):
        find_runtime(ServedModel("i", "m"), cluster)


def test_login_that_has_ended_is_renewed_and_given_no_rights(api: RecordedApi, cluster: Cluster) -> None:
    api.token = "of tomorrow"
    with pytest.raises(ClusterError, match=r"refused to list its API groups \(401 .*oc login") as refused:
        find_platform(cluster)
    assert not refused.value.may_pass


def test_nobody_is_told_to_log_in(api: RecordedApi, cluster: Cluster) -> None:
    anonymous = 'forbidden: User "system:anonymous" cannot get path "/apis/"'
    api.answers["/apis/"] = (403, {"kind": "Status", "message": anonymous})
    with pytest.raises(ClusterError, match=r"system:anonymous.*oc login"):
        find_platform(cluster)


def node(name: str, storage: str, gpus: str = "0") -> dict[str, Any]:
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    allocatable = {"ephemeral-storage": storage, "nvidia.com/gpu": gpus}
    return {"metadata": {"name": name}, "spec": {}, "status": {**status, "allocatable": allocatable}}


@pytest.mark.parametrize(
    ("size", "gpus", "verdict", "words"),
    [
        (10 * GIB, 0, "ok", "2 of 2 nodes could pull and serve it"),
        (30 * GIB, 0, "ok", "1 of 2 nodes"),
        (30 * GIB, 1, "warning", "of 1 nodes that fit gpu-1 has the most, 53.7 GB for pods"),
        (1 * GIB, 4, "warning", "no node of this cluster has 4 GPUs"),
    ],
)
def test_nodes_must_have_twice_the_image_and_the_gpus(
    size: int, gpus: int, verdict: str, words: str, api: RecordedApi, cluster: Cluster
) -> None:
    nodes = [node("large", "100Gi"), node("gpu-1", "50Gi", gpus="1")]
    api.answers["/api/v1/nodes"] = (200, {"items": nodes, "metadata": {}})

    pull, found = check_serving_nodes(cluster, size, gpus)

    assert found.verdict == verdict
    assert words in found.what
    assert found.command or verdict == "ok"
    assert "(a line of 1 Gbit/s)" in pull.what


def of_kubelet(api: RecordedApi, free: int, **config: Any) -> None:
    """Has the kubelet of the only node tell of an image store of 100 GiB."""
    api.answers["/api/v1/nodes"] = (200, {"items": [node("large", "100Gi")], "metadata": {}})
    images = {"availableBytes": free, "capacityBytes": 100 * GIB}
    api.answers["/api/v1/nodes/large/proxy/stats/summary"] = (200, {"node": {"runtime": {"imageFs": images}}})
    api.answers["/api/v1/nodes/large/proxy/configz"] = (200, {"kubeletconfig": config})


@pytest.mark.parametrize(
    ("free", "config", "verdict", "words"),
    [
        (40, {}, "ok", "1 of 1 nodes could pull and serve it"),
        (34, {}, "warning", "large has the most, 20.4 GB free before it evicts pods"),
        (34, {"evictionHard": {"imagefs.available": "5%"}}, "ok", "1 of 1 nodes"),
        (34, {"evictionHard": {"imagefs.available": "20Gi"}}, "warning", "15.0 GB free before"),
        (5, {}, "warning", "large has the most, 0 bytes free before"),
        (80, {"imageGCHighThresholdPercent": 25}, "warning", "the kubelet removes it again when no container uses it"),
    ],
)
def test_kubelet_that_may_be_asked_says_what_a_pull_may_take(
    free: int, config: dict[str, Any], verdict: str, words: str, api: RecordedApi, cluster: Cluster
) -> None:
    of_kubelet(api, free * GIB, **config)

    _, found = check_serving_nodes(cluster, 10 * GIB, 0)

    assert found.verdict == verdict
    assert words in found.what
    assert found.command or verdict == "ok"


def test_account_that_may_not_see_nodes_is_told_what_to_look_for(api: RecordedApi, cluster: Cluster) -> None:
    api.answers["/api/v1/nodes"] = (403, {"kind": "Status", "message": "no"})

    _, found = check_serving_nodes(cluster, 10 * GIB, 2)

    assert found.verdict == "ok"
    assert "21.5 GB of disk, twice the image's size, and 2 GPUs; this account may not look" in found.what


def test_pull_takes_as_long_as_the_fastest_that_is_known(api: RecordedApi, cluster: Cluster) -> None:
    said = 'Successfully pulled image "a" in {} (x including waiting). Image size: 1000000000 bytes.'
    events = [{"metadata": {}, "involvedObject": {}, "message": said.format(time)} for time in ("50s", "20s", "1m40s")]
    api.answers["/api/v1/namespaces/my-project/events"] = (200, {"items": events, "metadata": {}})
    api.answers["/api/v1/nodes"] = (200, {"items": [], "metadata": {}})

    pull, _ = check_serving_nodes(cluster, 50 * 10**9, 0)

    assert pull.about == "pull time"
    assert "about 16 min" in pull.what
    assert "50.0 MB a second (the fastest pull that this project's events tell of)" in pull.what
