"""What is found before a run, on a real Hub, real registries and a real Model Registry. Clusters: tests/kubernetes."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from modelcar import markdown, model_registry, pod
from modelcar.cluster.connection import Cluster
from modelcar.errors import ClusterError, CredentialsError, ModelRegistryError, PlanError
from modelcar.image import builder as buildah
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.records.step_record import StepRecord
from modelcar.steps.preflight import preflight as preflight_module
from modelcar.steps.preflight.build_mode import choose_mode, layer_copies
from modelcar.steps.preflight.finding import Finding
from modelcar.steps.preflight.page import MAX_ROWS, page
from modelcar.steps.preflight.preflight import Preflight, preflight
from modelcar.steps.preflight.request import RunRequest
from modelcar.steps.register import register
from tests.conftest import LogIn, Mount
from tests.parts.hub import Hub
from tests.parts.model_registry import ModelRegistryServer
from tests.parts.recorded_api import RecordedApi
from tests.parts.registries import BasicAuthRegistry, Registry, TokenAuthRegistry
from tests.parts.steps import stream

MODEL = "example/tiny-llama"
PARSER = MarkdownIt("commonmark").enable("table")


@pytest.fixture(autouse=True)
def without_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "MODELCAR_CLAIM"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def published(hub: Hub, model: Path) -> Hub:
    hub.publish(MODEL, model)
    return hub


def verdicts(found: Preflight) -> dict[str, str]:
    return {finding.about: finding.verdict for finding in found.findings}


def uploads_left(registry: Registry, repository: str) -> list[Path]:
    # It keeps a note of the hash of no bytes.
    uploads = registry.storage / "docker/registry/v2/repositories" / repository / "_uploads"
    return [*uploads.glob("*/startedat"), *uploads.glob("*/data")]


def test_run_that_can_succeed_is_let_pass(
    published: Hub,
    basic_registry: BasicAuthRegistry,
    token_registry: TokenAuthRegistry,
    model_registry_server: ModelRegistryServer,
    log_in: LogIn,
) -> None:
    log_in(basic_registry, token_registry)
    run = RunRequest(
        model=MODEL,
        target=f"{basic_registry.host}/flight/ready:1",
        mirror_target=f"{token_registry.host}/flight/ready:1",
        model_registry=model_registry_server.url,
        claim="modelcar",
    )

    found = preflight(run)

    found.check()
    assert verdicts(found) == dict.fromkeys(
        ("build", "nodes", "model", "serving", "target", "mirror", "Model Registry"), "ok"
    )
    assert (found.unchanged, found.build_mode) == (None, "pod")
    assert found.plan is not None
    assert found.plan.target == Reference.parse(run.target)
    for registry in (basic_registry, token_registry):
        assert uploads_left(registry, "flight/ready") == []


def test_every_reason_is_told_at_once(
    published: Hub, basic_registry: BasicAuthRegistry, token_registry: TokenAuthRegistry, log_in: LogIn
) -> None:
    log_in(basic_registry, token_registry)
    basic_registry.rotate()
    token_registry.rotate()
    run = RunRequest(
        model=MODEL,
        target=f"{basic_registry.host}/flight/refused:1",
        mirror_target=f"{token_registry.host}/flight/refused:1",
        max_layer_size=1_000_000,
        model_registry="nowhere",
    )

    found = preflight(run)

    assert [finding.about for finding in found.refusals] == ["model", "target", "mirror", "Model Registry"]
    assert "refused 'modelcar' from" in found.refusals[1].what
    with pytest.raises(PlanError, match=r"cannot succeed \(4 reasons.*model-00001-of-00004.safetensors makes a layer"):
        found.check()
    log_in(basic_registry, token_registry)
    assert [finding.about for finding in preflight(run).refusals] == ["model", "Model Registry"]


def test_push_is_checked_without_a_trace(basic_registry: BasicAuthRegistry, log_in: LogIn) -> None:
    goal = Reference.parse(f"{basic_registry.host}/flight/traceless:1")
    with Repository(goal, push=True) as repository, pytest.raises(CredentialsError, match="podman login"):
        repository.check_push()
    log_in(basic_registry)
    with Repository(goal, push=True) as repository:
        repository.check_push()

    assert uploads_left(basic_registry, "flight/traceless") == []


@pytest.fixture
def finished(
    published: Hub, plain_registry: Registry, model_registry_server: ModelRegistryServer, request: pytest.FixtureRequest
) -> RunRequest:
    """Give a run that has been done already."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    run = RunRequest(
        model=MODEL,
        target=f"{plain_registry.host}/{name}/image:1",
        mirror_target=f"{plain_registry.host}/{name}/mirror:1",
        model_registry=model_registry_server.url,
        registered_name=name,
    )
    streamed = stream(MODEL, run.target, mirror=run.mirror_target)
    register(str(streamed.mirrored), run.model_registry, name=name)
    return run


def test_forecast_is_left_for_the_report(finished: RunRequest) -> None:
    found = preflight(finished)
    record = StepRecord(step="preflight", start=0)
    found.note(record)

    assert found.plan is not None
    assert (record.image, record.unchanged) == (str(found.unchanged), True)
    assert record.entry == f"{finished.registered_name} {found.plan.snapshot.commit[:12]}"
    assert (record.size, record.claim_need) == (found.plan.snapshot.size, found.plan.claim_bytes)
    assert record.node_need == 1 << 30


def test_run_on_this_machine_asks_no_cluster(
    published: Hub, plain_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "gone"))
    run = RunRequest(
        model=MODEL, target=f"{plain_registry.host}/flight/local:1", node_selector={"ai-build-node": "true"}
    )
    with pytest.raises(ClusterError, match="gone cannot be used"):
        preflight(run)
    monkeypatch.setenv("MODELCAR_CLAIM", str(tmp_path))
    monkeypatch.setattr(pod, "CLAIM", tmp_path)

    preflight(run).check()


def changed(run: RunRequest, **changes: Any) -> RunRequest:
    return RunRequest(**{**vars(run), **changes})


def test_finished_run_has_nothing_to_do(finished: RunRequest) -> None:
    found = preflight(finished)

    assert found.unchanged is not None
    assert str(found.unchanged).startswith(finished.mirror_target.removesuffix(":1") + "@sha256:")
    assert "Nothing to do" in page(found)
    without_copy = preflight(changed(finished, mirror_target="", model_registry=""))
    assert str(without_copy.unchanged).startswith(finished.target.removesuffix(":1") + "@sha256:")


def test_finished_run_begins_no_upload(finished: RunRequest, plain_registry: Registry) -> None:
    def written() -> list[str]:
        return [one.method for one in plain_registry.requests() if one.method not in ("GET", "HEAD")]

    before = written()
    assert preflight(finished).unchanged is not None
    assert written() == before
    assert preflight(changed(finished, exclude=["LICENSE"])).unchanged is None
    assert len(written()) > len(before)


@pytest.mark.parametrize(
    "change",
    [
        {"model_format": "pytorch"},
        {"registered_name": "other"},
        {"exclude": ["LICENSE"]},
        {"everything": True},
        {"target": "@"},
        {"mirror_target": "@"},
    ],
)
def test_other_run_has_something_to_do(finished: RunRequest, change: dict[str, Any]) -> None:
    host = Reference.parse(finished.target).registry
    change = {
        name: f"{host}/flight/{name.replace('_', '-')}:1" if value == "@" else value for name, value in change.items()
    }

    assert preflight(changed(finished, **change)).unchanged is None


def test_new_commit_has_something_to_do(finished: RunRequest, published: Hub) -> None:
    published.publish(MODEL, {"notes.onnx": "new"})

    assert preflight(finished).unchanged is None


def test_nothing_hinders_a_run_with_nothing_to_do(
    published: Hub, basic_registry: BasicAuthRegistry, log_in: LogIn, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(basic_registry)
    target = f"{basic_registry.host}/flight/full:1"
    stream(MODEL, target)
    monkeypatch.setattr(pod, "CLAIM", mount("claim", 2))

    found = preflight(RunRequest(model=MODEL, target=target))

    found.check()
    assert verdicts(found)["claim"] == "warning"
    assert found.unchanged is not None


def test_claim_that_can_be_seen_must_have_room(
    published: Hub, plain_registry: Registry, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunRequest(model=MODEL, target=f"{plain_registry.host}/flight/claim:1", builder="direct")
    monkeypatch.setattr(pod, "CLAIM", mount("small", 60))
    found = preflight(run)
    (refusal,) = found.refusals
    assert (refusal.about, "6.1 MB more are needed and 62.9 MB are free" in refusal.what) == ("claim", True)
    assert "62.9 MB are free" in page(found)

    monkeypatch.setattr(pod, "CLAIM", mount("large", 100))
    assert preflight(run).refusals == []


def test_model_that_may_not_be_read_hides_no_other_reason(
    hub: Hub, basic_registry: BasicAuthRegistry, model: Path, log_in: LogIn
) -> None:
    hub.publish("example/gated", {"a.txt": "a"}, gated="manual", private=True)
    target = f"{basic_registry.host}/flight/gated:1"

    found = preflight(RunRequest(model="example/gated", target=target, mirror_target=target.replace("gated", "copy")))

    assert found.plan is None
    assert [finding.about for finding in found.refusals] == ["model", "mirror"]
    assert "HF_TOKEN" in str(found.refusals[0])
    assert "This run cannot succeed" in page(found)


def test_gated_model_is_refused_though_its_list_is_open(
    hub: Hub, model: Path, plain_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub shows everyone what is in a gated model, and gives the files to those who accepted its conditions."""
    hub.publish("example/gated", model, gated="auto")
    run = RunRequest(model="example/gated", target=f"{plain_registry.host}/flight/gated:1")

    found = preflight(run)

    assert found.plan is not None
    (refusal,) = found.refusals
    assert (refusal.about, "gives no access" in refusal.what) == ("model", True)
    assert "Accept its conditions on its page" in refusal.remedy
    hub.tokens["granted"] = {"example/gated"}
    monkeypatch.setenv("HF_TOKEN", "granted")
    assert preflight(run).refusals == []
    assert {request.method for request in hub.requests if request.path.endswith(".safetensors")} == {"HEAD"}


def test_registry_that_is_down_is_told_once(published: Hub, closed_port: int, waits: list[float]) -> None:
    found = preflight(RunRequest(model=MODEL, target=f"127.0.0.1:{closed_port}/a/b:1"))

    assert [finding.what.split(":")[0] for finding in found.refusals] == ["cannot reach the registry 127.0.0.1"]


def test_registry_that_hangs_does_not_hold_the_run(published: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module, "CHECK_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        found = preflight(RunRequest(model=MODEL, target=f"127.0.0.1:{silent.getsockname()[1]}/a/b:1"))

    assert time.monotonic() - begun < 600
    # On a busy machine the Hub may be late as well.
    assert ("target", "no answer within 1 s") in [(finding.about, finding.what) for finding in found.refusals]


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({"builder": "kaniko"}, "there is no builder 'kaniko'"),
        ({"build_mode": "vm"}, "there is no build_mode 'vm'"),
        ({"build_ephemeral_storage": "20 GB"}, "'20 GB' is no amount of ephemeral-storage"),
        ({"build_ephemeral_storage": "0"}, "'0' is no amount of ephemeral-storage"),
        ({"build_memory": "-1Gi"}, "'-1Gi' is no amount of memory"),
        ({"build_cpu": "NaN"}, "'NaN' is no amount of cpu"),
        ({"build_cpu": "1_0"}, "'1_0' is no amount of cpu"),
        ({"node_selector": {"ai-build-node": True}}, "the node selector's value for ai-build-node is no text"),
        ({"claim": ""}, "no claim was named"),
    ],
)
def test_parameter_that_means_nothing_is_named(parameters: dict[str, Any], what: str) -> None:
    (mistake,) = RunRequest(model=MODEL, **parameters).mistakes()

    assert (mistake.verdict, mistake.what) == ("refusal", what)
    assert mistake.remedy


def test_target_is_needed_outside_of_a_pod(published: Hub) -> None:
    (refusal,) = preflight(RunRequest(model=MODEL, streaming=True)).refusals

    assert refusal.what == "no target image was named"


def test_target_is_needed_where_openshifts_registry_is_not(published: Hub, waits: list[float]) -> None:
    pod.SERVICE_ACCOUNT.mkdir(parents=True)
    (pod.SERVICE_ACCOUNT / "namespace").write_text("team")

    (refusal,) = preflight(RunRequest(model=MODEL, streaming=True)).refusals

    assert refusal.what.startswith("cannot reach the registry image-registry.openshift-image-registry.svc:5000")
    assert refusal.remedy.startswith("No target was named, hence OpenShift's own registry. Name one: ")


def test_streaming_needs_no_claim_and_no_build(published: Hub, plain_registry: Registry) -> None:
    run = RunRequest(model=MODEL, target=f"{plain_registry.host}/flight/streaming:1", streaming=True, claim="")

    found = preflight(run)

    assert verdicts(found) == {"model": "ok", "serving": "ok", "target": "ok"}
    assert found.plan is not None
    assert found.plan.claim_bytes == 0
    assert "without claim and node disk" in page(found)


def test_streaming_run_on_a_cluster_is_told_where_it_can_be_served(
    published: Hub, plain_registry: Registry, tmp_path: Path
) -> None:
    target = f"{plain_registry.host}/flight/served:1"
    with RecordedApi() as api:
        cluster = Cluster.of(str(api.kubeconfig(tmp_path / "config")))
        api.answers["/api/v1/nodes"] = (200, {"items": [], "metadata": {}})

        found = preflight(RunRequest(model=MODEL, target=target, streaming=True), lambda: cluster)
        refused = preflight(RunRequest(model=MODEL, target=target, streaming=True, serve_as="Tiny"), lambda: cluster)

    assert verdicts(found)["serving nodes"] == "warning"
    assert verdicts(found)["pull time"] == "ok"
    assert found.refusals == []
    assert "claim" not in verdicts(found)
    assert [one.about for one in refused.refusals] == ["service"]


def test_streaming_run_beside_a_broken_login_goes_on(published: Hub, plain_registry: Registry) -> None:
    def broken() -> None:
        raise ClusterError("KUBECONFIG cannot be used")

    target = f"{plain_registry.host}/flight/broken:1"
    found = preflight(RunRequest(model=MODEL, target=target, streaming=True), broken)

    assert found.refusals == []
    with pytest.raises(ClusterError):
        preflight(RunRequest(model=MODEL, target=target, streaming=True, serve_as="tiny"), broken)


@pytest.mark.parametrize(
    ("builder", "build_mode", "namespaces", "has_buildah", "cluster", "mode", "verdict"),
    [
        ("direct", "auto", False, False, True, "pod", "ok"),
        ("auto", "auto", False, True, True, "pod", "ok"),
        ("auto", "auto", True, True, True, "pod", "ok"),
        ("buildah", "auto", True, True, True, "pod", "ok"),
        ("buildah", "auto", False, True, True, "job", "ok"),
        ("buildah", "auto", False, True, False, "job", "refusal"),
        ("buildah", "pod", False, True, True, "pod", "refusal"),
        ("buildah", "pod", True, False, True, "pod", "refusal"),
        ("buildah", "job", True, False, True, "job", "refusal"),
        ("direct", "job", True, False, True, "job", "ok"),
        ("auto", "job", True, True, False, "job", "refusal"),
    ],
)
def test_build_mode_is_the_least_privileged_that_works(
    builder: str,
    build_mode: str,
    namespaces: bool,
    has_buildah: bool,
    cluster: bool,
    mode: str,
    verdict: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buildah, "may_run_here", lambda: namespaces)
    monkeypatch.setattr(buildah, "is_there", lambda: has_buildah)

    chosen, finding = choose_mode(RunRequest(model=MODEL, builder=builder, build_mode=build_mode), has_cluster=cluster)

    assert (chosen, finding.verdict) == (mode, verdict)
    assert bool(finding.remedy) == (verdict == "refusal")


@pytest.mark.parametrize(
    ("builder", "build_mode", "namespaces", "cluster", "takes_nested", "mode"),
    [
        ("buildah", "auto", False, True, True, "nested"),
        ("buildah", "auto", False, True, False, "job"),
        ("buildah", "auto", True, True, True, "pod"),
        ("buildah", "auto", False, False, True, "job"),
        ("buildah", "job", False, True, True, "job"),
        ("buildah", "nested", True, True, False, "nested"),
        ("auto", "auto", False, True, True, "pod"),
        ("direct", "auto", False, True, True, "pod"),
    ],
)
def test_a_jobs_own_user_namespace_comes_before_privilege(
    builder: str,
    build_mode: str,
    namespaces: bool,
    cluster: bool,
    takes_nested: bool,
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buildah, "may_run_here", lambda: namespaces)
    monkeypatch.setattr(buildah, "is_there", lambda: True)
    run = RunRequest(model=MODEL, builder=builder, build_mode=build_mode)

    chosen, finding = choose_mode(run, has_cluster=cluster, takes_nested=lambda: takes_nested)

    assert chosen == mode
    with_buildah = mode != "pod" or (namespaces and builder != "direct")
    assert layer_copies(run, chosen) == with_buildah * (2 if mode == "nested" else 1)
    assert ("user namespace" in finding.what) is (mode == "nested" or not cluster)


def test_image_of_the_job_may_have_the_buildah_that_this_one_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buildah, "is_there", lambda: False)
    run = RunRequest(model=MODEL, builder="buildah", build_mode="job", job_image="quay.io/buildah/stable")

    assert choose_mode(run, has_cluster=True)[1].verdict == "ok"
    assert layer_copies(run, "job") == 1


def test_write_to_the_model_registry_is_checked_without_a_trace(model_registry_server: ModelRegistryServer) -> None:
    def names() -> list[str]:
        import requests

        address = f"{model_registry_server.url}/api/model_registry/v1alpha3/registered_models"
        return [
            item["name"] for item in requests.get(address, params={"pageSize": "1000"}, timeout=600).json()["items"]
        ]

    before = names()
    model_registry.check_write(model_registry_server.url)

    assert names() == before


class _Proxy(BaseHTTPRequestHandler):
    """Lets everyone read, as a proxy may that knows roles, and answers writes with a status of its own."""

    status = 403

    def do_GET(self) -> None:
        self._answer(200, b'{"items": [], "nextPageToken": "", "pageSize": 1, "size": 0}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer(self.status, b"Forbidden")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def proxy(request: pytest.FixtureRequest) -> Iterator[str]:
    handler = type("Handler", (_Proxy,), {"status": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("proxy", [401, 403], indirect=True)
def test_reader_of_the_model_registry_is_refused(proxy: str) -> None:
    with pytest.raises(ModelRegistryError, match=r"refused the token \(40[13]\).*MODEL_REGISTRY_TOKEN"):
        model_registry.check_write(proxy)


def test_model_registry_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_registry, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ModelRegistryError, match="no answer in time"):
        model_registry.check_write(f"http://127.0.0.1:{silent.getsockname()[1]}")


EVIL = (
    "<script>alert(1)</script>.txt".replace("/", "-"),
    "a|b|c.txt",
    "[click](javascript:alert(1)).txt",
    "![x](y).txt",
    "`code`.txt",
    "**bold** _it_ ~~no~~ # head.txt",
    "&lt;b&gt;.txt",
    "zero\u200bwidth.txt",
)


def test_names_of_files_stay_text_on_the_page(hub: Hub, plain_registry: Registry) -> None:
    hub.publish("example/evil", {**dict.fromkeys(EVIL, "x"), "model.safetensors": "w"})

    found = preflight(RunRequest(model="example/evil", target=f"{plain_registry.host}/flight/evil:1", streaming=True))
    tokens = PARSER.parse(page(found))

    inline = [child for token in tokens for child in token.children or []]
    assert {token.type for token in tokens if "html" in token.type} == set()
    assert {child.type for child in inline} <= {"text", "text_special", "strong_open", "strong_close", "softbreak"}
    cells = {token.content for token in _joined(tokens)}
    for name in EVIL:
        assert name.replace("\u200b", "\ufffd") in cells


def _joined(tokens: list[Any]) -> list[Any]:
    for token in tokens:
        token.content = "".join(child.content for child in token.children or [])
    return tokens


def rendered(markup: str) -> str:
    """What a reader sees of it."""
    return "".join(child.content for token in PARSER.parse(markup) for child in token.children or [])


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(lambda text: " ".join(text.split()))


@given(words)
def test_any_text_in_a_table_is_seen_as_it_is(text: str) -> None:
    visible = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    (cell,) = [token for token in PARSER.parse(markdown.table(["a"], [[text]])) if token.type == "inline"][1:]

    assert "".join(child.content for child in cell.children or []) == visible
    assert {child.type for child in cell.children or []} <= {"text", "text_special"}


@given(words)
def test_any_sentence_makes_text_and_code_only(text: str) -> None:
    tokens = PARSER.parse(f"**1. model:** {markdown.sentence(text)}")

    kinds = {child.type for token in tokens for child in token.children or []}
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert kinds <= {"text", "text_special", "code_inline", "strong_open", "strong_close"}


@given(st.text(st.sampled_from("`~ \na"), min_size=1))
def test_any_command_stays_one_block(lines: str) -> None:
    lines = lines.strip("\n") or "a"

    (block,) = PARSER.parse(markdown.code(lines))

    assert (block.type, block.content.rstrip("\n")) == ("fence", lines)


def test_command_of_a_refusal_is_a_block_of_its_own(published: Hub, plain_registry: Registry) -> None:
    found = preflight(RunRequest(model=MODEL, target=f"{plain_registry.host}/flight/page:1"))
    finding = Finding("nodes", "refusal", "no node", "Label a node; `a` would do", "oc label node a b=c")
    refused = Preflight(found.run, found.plan, (finding, *found.findings), "pod", None, None)

    shown = page(refused)

    assert "**This run cannot succeed**, for 1 reason:" in shown
    assert "**1. nodes:** no node. Label a node; `a` would do\n\n```\noc label node a b=c\n```" in shown
    assert "consolidated.safetensors" in shown
    assert "which saves 6." in shown


def test_long_tables_are_shortened(hub: Hub, plain_registry: Registry) -> None:
    hub.publish("example/many", {f"{number:03}.safetensors": "x" for number in range(400)})

    shown = page(
        preflight(RunRequest(model="example/many", target=f"{plain_registry.host}/flight/many:1", streaming=True))
    )

    assert f"and {400 - MAX_ROWS} more" in shown
    assert len(shown.splitlines()) < 100


COMPONENT = """
import json, sys
from kfp import local
from modelcar.components.preflight import preflight

local.init(local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[1])
task = preflight(**json.loads(sys.argv[2]))
print("OUTPUTS", json.dumps({name: task.outputs[name] for name in task.outputs if not name.startswith("plan")}))
print("PLAN", task.outputs["plan"].path)
print("PAGE", task.outputs["plan_page"].path)
"""


def run_component(place: Path, **arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COMPONENT, str(place), json.dumps(arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=Path(__file__).parents[4])


def test_step_gives_its_outputs_and_its_page(published: Hub, plain_registry: Registry, tmp_path: Path) -> None:
    target = f"{plain_registry.host}/flight/step:1"
    selector = {"ai-build-node": "true"}

    done = run_component(tmp_path, model=MODEL, target=target, node_selector=selector, builder="direct")

    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(re.findall(r"^(OUTPUTS|PLAN|PAGE) (.*)$", done.stdout, re.MULTILINE))
    assert json.loads(said["OUTPUTS"]) == {
        "model": MODEL,
        "node_selector": selector,
        "ephemeral_storage": "1Gi",
        "build_mode": "pod",
        "unchanged": False,
        "image": "",
    }
    assert Path(said["PLAN"]).read_text().startswith(f"# {MODEL}")
    assert f"<h1>{MODEL}</h1>" in Path(said["PAGE"]).read_text()


def test_step_that_refuses_shows_all_in_its_log(
    published: Hub, plain_registry: Registry, tmp_path: Path, isolated: Path
) -> None:
    (isolated / "termination-log").touch()

    done = run_component(tmp_path, model=MODEL, target=f"{plain_registry.host}/flight/step:2", max_layer_size=1_000_000)

    assert done.returncode != 0
    assert "This run cannot succeed, for 1 reason" in done.stdout
    first, *_ = (isolated / "termination-log").read_text().splitlines()
    assert first.startswith("error: this run cannot succeed: model-00001-of-00004.safetensors makes a layer of 1.5 MB")
    (written,) = tmp_path.rglob("plan")
    assert "makes a layer" in written.read_text()
