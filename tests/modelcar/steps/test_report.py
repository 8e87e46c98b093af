"""What is said at the end of a run, and how it looks."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kfp import dsl, local
from kfp.compiler import Compiler

from modelcar import pod
from modelcar.claim import scratch
from modelcar.claim.folder import Folder
from modelcar.cluster.connection import Cluster
from modelcar.cluster.failures import Failure
from modelcar.components.report import report as report_step
from modelcar.pipelines.compilation import documents_in
from modelcar.progress import duration
from modelcar.records.disk_usage import Point
from modelcar.records.step_record import StepRecord
from modelcar.steps.report import report
from modelcar.steps.report.disk_chart import curves, peak
from modelcar.steps.report.page import EndedRun, Found, write
from tests.parts.html_tags import Tags
from tests.parts.registries import Registry
from tests.parts.run_states import run_state

IMAGE = "quay.io/team/granite@sha256:" + "a" * 64
MIRRORED = "registry.example/team/granite@sha256:" + "a" * 64
GIB = 1 << 20
"""In KiB, as points have it."""


def record(step: str, start: float, end: float, claim_used: tuple[int, ...] = (), **known: Any) -> StepRecord:
    points = [
        Point(seconds=(end - start) * n / max(len(claim_used) - 1, 1), claim=100 * GIB - used, node=GIB - n)
        for n, used in enumerate(claim_used)
    ]
    return StepRecord(step=step, start=1_780_000_000 + start, end=1_780_000_000 + end, disk=points, **known)


RECORDS = (
    record("preflight", 0, 5, claim_need=60 << 30, node_need=16 << 20),
    record("download", 60, 1260, (0, 10 * GIB, 24 * GIB), commit="c0ffee", size=24 << 30, moved_bytes=24 << 30),
    record("build", 1300, 2500, (24 * GIB, 29 * GIB, 24 * GIB), image=IMAGE, moved_bytes=24 << 30),
    record("mirror", 2550, 3000, image=MIRRORED, moved_bytes=24 << 30),
    record("register", 3010, 3014, image=MIRRORED, entry="granite c0ffee"),
)
RUN = EndedRun("run-1", "COMPLETE", model="ibm-granite/granite-3.3-2b-instruct", target="quay.io/team/granite:1")
FAILED = Failure("build", "Evicted", "build was evicted: a *reason*", "Label a node: `oc label node <name> a=b`")


def yaml_in(markdown: str) -> dict[str, Any]:
    block = re.search(r"^```\n(.*?)\n```$", markdown, re.MULTILINE | re.DOTALL)
    assert block
    *_, service = yaml.safe_load_all(block[1])
    return dict(service)


def test_success_says_where_the_image_is_and_how_to_serve_it() -> None:
    done = write(RUN, Found(RECORDS))

    assert not done.failed
    assert done.markdown.startswith("# ibm-granite/granite-3.3-2b-instruct is there\n")
    assert f"| image | {MIRRORED} |" in done.markdown
    assert "| commit | c0ffee |" in done.markdown
    assert "| size | 25.8 GB |" in done.markdown
    assert "| registered as | granite c0ffee |" in done.markdown
    assert "| download | done | 20 min | 25.8 GB | 25.8 GB | 2.0 kB |" in done.markdown
    assert done.summary == f"ibm-granite/granite-3.3-2b-instruct is in {MIRRORED}"
    assert done.figures["seconds"] == 3014
    assert done.figures["moved bytes"] == 3 * (24 << 30)
    assert done.figures["build seconds"] == 1200


def test_inference_service_is_what_kserve_reads() -> None:
    service = yaml_in(write(RUN, Found(RECORDS)).markdown)

    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    assert service["kind"] == "InferenceService"
    assert service["metadata"]["name"] == "granite-3-3-2b-instruct"
    predictor = service["spec"]["predictor"]["model"]
    assert predictor["storageUri"] == f"oci://{MIRRORED}"
    assert predictor["modelFormat"] == {"name": "vLLM"}
    assert list(yaml.safe_load_all(write(RUN, Found(RECORDS)).inference_service))[-1] == service


SERVED: dict[str, Any] = {
    "service": "granite",
    "pull_seconds": 61.0,
    "start_seconds": 40.0,
    "answer": "*Paris*",
}


def test_served_model_is_told_with_its_answer_and_times() -> None:
    run = EndedRun("run-1", "COMPLETE", model="a/b", serve_as="granite", model_registry="https://registry-rest.example")
    records = (*RECORDS[:-1], record("register", 3010, 3014, image=MIRRORED, entry_ids=["12", "34"]))

    done = write(run, Found((*records, record("serve", 3020, 3130, image=MIRRORED, **SERVED))))

    assert "| served as | granite |" in done.markdown
    assert "| times | pulled in 1 min 1 s, started in 40 s |" in done.markdown
    assert "\\*Paris\\*" in done.markdown
    assert (done.figures["pull seconds"], done.figures["start seconds"]) == (61.0, 40.0)
    *_, service = yaml.safe_load_all(done.inference_service)
    assert service["metadata"]["name"] == "granite"
    labels = service["metadata"]["labels"]
    assert labels["modelregistry.opendatahub.io/name"] == "registry"
    assert labels["modelregistry.opendatahub.io/registered-model-id"] == "12"
    assert labels["modelregistry.opendatahub.io/model-version-id"] == "34"


def test_service_that_was_so_already_makes_no_run_unchanged() -> None:
    done = write(RUN, Found((*RECORDS, record("serve", 3020, 3030, image=MIRRORED, unchanged=True, **SERVED))))

    assert done.markdown.startswith("# ibm-granite/granite-3.3-2b-instruct is there\n")
    assert "pulled in" not in done.markdown
    assert "pull seconds" not in done.figures


def test_model_that_is_not_served_is_in_its_place_all_the_same() -> None:
    why = Failure(
        "serve", "Error", "serve failed: granite did not become ready, for GPU: 2 Insufficient nvidia.com/gpu"
    )
    records = (*RECORDS, record("serve", 3020, 3130, image=MIRRORED, failed=True))

    done = write(EndedRun("run-1", "FAILED", model="a/b"), Found(records, [why]))

    assert done.failed
    assert f"The image is in its place, {MIRRORED}; only its service is not." in done.markdown


def test_nothing_to_do_is_a_success() -> None:
    done = write(RUN, Found((record("preflight", 0, 5, unchanged=True, image=IMAGE),)))

    assert done.markdown.startswith("# ibm-granite/granite-3.3-2b-instruct is there already\n")
    assert f"oci://{IMAGE}" in done.markdown


def test_an_image_of_files_that_lay_on_the_claim_was_not_there_already() -> None:
    known = record("download", 60, 61, commit="c0ffee", size=24 << 30, unchanged=True)

    done = write(RUN, Found((known, *RECORDS[2:])))

    assert done.markdown.startswith("# ibm-granite/granite-3.3-2b-instruct is there\n")
    assert re.search(r"\| download +\| unchanged", done.markdown)


def test_the_last_place_of_the_image_says_whether_it_was_there_already() -> None:
    build, mirror = (each.model_copy(update={"unchanged": True, "moved_bytes": 0}) for each in RECORDS[2:4])

    copied = write(RUN, Found((*RECORDS[:2], build, *RECORDS[3:])))
    known = write(RUN, Found((*RECORDS[:2], build, mirror, *RECORDS[4:])))

    assert copied.markdown.startswith("# ibm-granite/granite-3.3-2b-instruct is there\n")
    assert known.markdown.startswith("# ibm-granite/granite-3.3-2b-instruct is there already\n")
    assert re.search(r"\| mirror +\| unchanged", known.markdown)


def test_failure_says_which_step_why_and_what_helps() -> None:
    done = write(
        EndedRun("run-1", "FAILED", model="a/b"), Found(RECORDS[:2], [FAILED], ["Could not do that: no *reason*"])
    )

    assert done.failed
    assert done.markdown.startswith("# The run failed at *build*\n")
    assert "build was evicted: a \\*reason\\*." in done.markdown
    assert "**What to do:** Label a node: `oc label node <name> a=b`" in done.markdown
    assert "- Could not do that: no \\*reason\\*" in done.markdown
    assert "InferenceService" not in done.markdown
    assert done.summary.splitlines()[:2] == [
        "build was evicted: a *reason*.",
        "What to do: Label a node: `oc label node <name> a=b`",
    ]


@pytest.mark.parametrize(
    ("state", "failures", "failed"),
    [
        ("SUCCEEDED", [], False),
        ("COMPLETE", [], False),
        ("FAILED", [], True),
        ("CANCELED", [], True),
        # An evicted pod cannot tell Kubeflow that it has failed.
        ("RUNNING", [FAILED], True),
        # Kubeflow does not count what a condition left out as done.
        ("RUNNING", [], False),
        ("", [], False),
    ],
)
def test_state_of_the_run(state: str, failures: list[Failure], failed: bool) -> None:
    assert write(EndedRun("run-1", state), Found((), failures)).failed is failed


def test_a_run_that_was_ended_is_not_called_done() -> None:
    """Kubeflow deletes the pods of a run that somebody ends, and says RUNNING of it."""
    running = EndedRun("run-1", "RUNNING", model="a/b")

    for records in ((), RECORDS[:2]):
        done = write(running, Found(records, complete=True))
        assert done.failed
        assert done.markdown.startswith("# The run was ended\n\nThe run was cancelled, or a step's pod was deleted")
    for records in (RECORDS, (record("preflight", 0, 5, unchanged=True, image=IMAGE),)):
        assert not write(running, Found(records, complete=True)).failed


@pytest.mark.parametrize(
    ("serve_as", "done", "failed"),
    [
        # Without a Model Registry, register has nothing to do, and leaves no record.
        ("", {"preflight", "stream", "mirror", "register"}, False),
        ("", {"preflight", "stream", "mirror"}, True),
        ("", {"preflight", "stream"}, True),
        ("tiny", {"preflight", "stream", "mirror", "register"}, True),
        ("tiny", {"preflight", "stream", "mirror", "register", "serve"}, False),
    ],
)
def test_run_whose_last_step_ended_well_is_done(serve_as: str, done: set[str], failed: bool) -> None:
    """Kubeflow 2.14 says RUNNING of it, if the condition that comes last was not met."""
    records = [record("preflight", 0, 5), record("stream", 60, 70, image=IMAGE)]
    run = EndedRun("run-1", "RUNNING", model="a/b", serve_as=serve_as)

    report = write(run, Found(records, complete=True, done=frozenset(done)))

    assert report.failed is failed
    assert report.image == ("" if failed else IMAGE)
    assert report.markdown.startswith("# The run was ended" if failed else "# a/b is there")


def test_unexplained_failure_says_where_to_look() -> None:
    done = write(EndedRun("run-1", "FAILED", "Kubeflow's *words*"), Found())

    assert "Nothing that is left of the run says why. Kubeflow says: Kubeflow's \\*words\\*" in done.markdown
    assert "`oc get pods -l pipeline/runid=run-1`" in done.markdown
    assert write(EndedRun("run-1", "CANCELED"), Found()).markdown.startswith(
        "# The run was cancelled\n\nThe run was cancelled."
    )


@given(st.text())
def test_text_of_others_stays_text(words: str) -> None:
    hostile = f'<script>alert("1")</script> ![x](http://example.org/x) | `{words}` \x1b[31m\u202e'
    failure = Failure(hostile, "Error", hostile)
    known = record(hostile, 0, 1, (0, 1), failed=True, image=hostile, entry=hostile)
    for state in ("FAILED", "COMPLETE"):
        done = write(
            EndedRun(hostile, state, hostile, model=hostile, target=hostile), Found([known], [failure], [words])
        )
        outside = re.sub(r"^(`{3,})\n.*?\n\1$", "", done.markdown, flags=re.MULTILINE | re.DOTALL)
        assert "<script" not in outside
        assert re.search(r"(?<!\\)!?(?<!\\)\[x", outside) is None
        assert "\x1b" not in outside + done.summary
        assert "script" not in Tags(done.html).tags
        assert "img" not in Tags(done.html).tags


def test_page_holds_all_of_the_report_and_the_picture() -> None:
    done = write(RUN, Found(RECORDS))
    texts = Tags(done.html).texts

    assert "ibm-granite/granite-3.3-2b-instruct is there" in texts
    assert done.inference_service in texts
    assert {"0 bytes", "10.0 GB", "20.0 GB", "30.0 GB", "0 s", "30 min"} <= set(texts)
    assert {"download", "build", "mirror", "claim", "the node's own disk"} <= set(texts)
    assert len(done.html) < 30_000


def test_page_of_a_failure_holds_why_and_the_command() -> None:
    done = write(EndedRun("run-1", "FAILED", model="a/b"), Found(RECORDS[:2], [FAILED]))

    assert "oc label node <name> a=b" in Tags(done.html).texts
    assert "<svg" in done.html


def test_curves_begin_with_the_run_on_the_claim_and_the_step_on_the_node() -> None:
    found = curves(RECORDS)

    claims = [curve for curve in found if curve.disk == "claim"]
    nodes = [curve for curve in found if curve.disk == "node"]
    assert [count >> 30 for curve in claims for _seconds, count in curve.points] == [0, 10, 24, 24, 29, 24]
    assert [count for curve in nodes for _seconds, count in curve.points] == [0, 1024, 2048] * 2
    assert claims[1].points[0][0] == 1300
    assert peak(RECORDS[2], "claim") == 5 << 30
    assert peak(RECORDS[0], "claim") is None


def test_page_without_any_record_has_no_picture() -> None:
    assert "<svg" not in write(RUN, Found(())).html


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (1525, "25 min"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (3599.9, "1 h"),
    ],
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class TestFromHere:
    """What the report finds by itself, in a run on this machine and in a pod."""

    @pytest.fixture(autouse=True)
    def log(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Give the log of a local run's steps."""
        file = tmp_path / "last-words"
        file.touch()
        monkeypatch.setenv("MODELCAR_TERMINATION_LOG", str(file))
        return file

    def test_local_run_reads_its_steps_records(self, log: Path) -> None:
        lines = [each.line() for each in RECORDS[:2]]
        lines += ["error: it broke. Mend it", record("build", 1300, 1301, failed=True).line(), "something else"]
        log.write_text("\n".join(lines))

        done = report.report(EndedRun("run-1", "FAILED"))

        assert done.summary == "build failed: it broke. Mend it."
        assert "| preflight | done |" in done.markdown

    def test_step_that_was_mended_is_no_failure(self, log: Path) -> None:
        log.write_text("\n".join([record("build", 0, 1, failed=True).line(), record("build", 2, 3).line()]))

        assert not report.report(EndedRun("run-1", "RUNNING")).failed

    def test_damaged_log_is_noted_and_fails_nothing(self, log: Path) -> None:
        log.write_bytes(b"\xff\xfe\n")

        done = report.report(EndedRun("run-1", "FAILED"))

        assert "Could not read what the steps left" in done.markdown
        assert done.failed

    def test_abandoned_builds_are_removed_and_running_ones_are_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pod, "CLAIM", tmp_path / "claim")
        here = tmp_path / "claim" / "a--b" / "c0ffee" / ".modelcar"
        abandoned = here / "build-abandoned"
        abandoned.mkdir(parents=True)
        (abandoned / "lock").touch()
        (here.parent / "model.safetensors").touch()
        with scratch.scratch(Folder(here.parent.parent / "decaf" / ".modelcar", create=True)) as running:
            done = report.report(EndedRun("run-1", "SUCCEEDED"))
            assert running.exists()

        assert not abandoned.exists()
        assert (here.parent / "model.safetensors").exists()
        assert "1 working directories of builds that were killed were removed" in done.markdown

    @pytest.mark.parametrize("linked", ["a--b", "a--b/c0ffee", "a--b/c0ffee/.modelcar"])
    def test_what_lies_behind_a_link_is_not_removed(
        self, linked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pod, "CLAIM", tmp_path / "claim")
        outside = tmp_path / "outside"
        below = Path("a--b/c0ffee/.modelcar/build-theirs").relative_to(linked)
        (outside / below).mkdir(parents=True)
        (outside / below / "lock").touch()
        (tmp_path / "claim" / linked).parent.mkdir(parents=True)
        (tmp_path / "claim" / linked).symlink_to(outside)

        report.report(EndedRun("run-1", "SUCCEEDED"))

        assert (outside / below / "lock").exists()

    def test_cluster_that_cannot_be_reached_is_noted(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closed_port: int
    ) -> None:
        monkeypatch.delenv("MODELCAR_TERMINATION_LOG")
        login = tmp_path / "kubeconfig"
        server = {"clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{closed_port}"}}]}
        context = {"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "current-context": "c"}
        login.write_text(yaml.safe_dump({**server, **context, "users": [{"name": "u", "user": {}}]}))
        monkeypatch.setenv("KUBECONFIG", str(login))
        monkeypatch.setattr(pod, "CLAIM", tmp_path / "claim")
        begun = time.monotonic()

        done = report.report(EndedRun("run-1", "FAILED"))

        assert time.monotonic() - begun < 60
        assert "Could not be read: the cluster's API server cannot be reached to list pods" in done.markdown

    def test_cluster_that_does_not_answer_does_not_hold_up(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        def never(*_: object) -> None:
            time.sleep(60)

        monkeypatch.delenv("MODELCAR_TERMINATION_LOG")
        monkeypatch.setattr(report, "ANSWER_SECONDS", 0.2)
        monkeypatch.setattr(Cluster, "find", never)
        monkeypatch.setattr(pod, "CLAIM", tmp_path / "claim")

        done = report.report(EndedRun("run-1", "FAILED"))

        assert "Could not find the cluster: no answer within 0 s" in done.markdown

    def test_neither_cluster_nor_log_is_no_trouble(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("MODELCAR_TERMINATION_LOG")
        monkeypatch.delenv("KUBECONFIG", raising=False)
        monkeypatch.setattr(pod, "CLAIM", tmp_path / "claim")

        assert "Notes" not in report.report(EndedRun("run-1", "SUCCEEDED", model="a/b", target="q.io/a/b:1")).markdown


def test_records_come_out_of_the_pods_statuses() -> None:
    (found,) = run_state("own_error").records()

    assert (found.step, found.failed, found.moved_bytes) == ("build", True, 17)
    assert found.error == "a file is larger than max_layer_size. Raise it"
    assert found.disk[0].node


@pytest.fixture(params=["well", "badly"])
def ended(request: pytest.FixtureRequest) -> str:
    """Give how a run ends."""
    return str(request.param)


@dsl.component(base_image="python:3.11")
def _work(ends: str, image: str):  # type: ignore[no-untyped-def]
    from modelcar.errors import ModelcarError
    from modelcar.records.step_record import recorded
    from modelcar.records.termination_message import exit_with_one_line

    with recorded("build") as record, exit_with_one_line():
        record.image = image
        if ends == "badly":
            raise ModelcarError("the builder broke", "Mend it")


@dsl.pipeline(name="ends")
def _pipeline(ends: str, image: str = ""):  # type: ignore[no-untyped-def]
    reported = report_step(
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, model="team/granite", target="quay.io/team/granite:1"
    )
    with dsl.ExitHandler(reported), dsl.If(ends != "never"):
        _work(ends=ends, image=image)


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of a local run's artifacts."""
    log = tmp_path / "last-words"
    log.touch()
    monkeypatch.setenv("MODELCAR_TERMINATION_LOG", str(log))
    monkeypatch.setenv("MODELCAR_CLAIM", str(tmp_path / "claim"))
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    return tmp_path / "root"


def test_exit_handler_reports_on_a_local_run(ended: str, artifacts: Path, plain_registry: Registry) -> None:
    # The report asks the registry at once how the model is served: one that is there answers, with no such image.
    image = f"{plain_registry.host}/team/granite@sha256:{'a' * 64}"
    if ended == "well":
        _pipeline(ends=ended, image=image)
    else:
        with pytest.raises(RuntimeError):
            _pipeline(ends=ended, image=image)

    (markdown,) = artifacts.glob("*/report/report")
    (page,) = artifacts.glob("*/report/report_page")
    words = (
        "# team/granite is there\n" if ended == "well" else "# The run failed at *build*\n\nbuild failed: the builder"
    )
    assert markdown.read_text().startswith(words)
    assert "<svg" in page.read_text()


def test_exit_handler_compiles_to_what_the_backend_takes(tmp_path: Path) -> None:
    Compiler().compile(_pipeline, str(tmp_path / "pipeline.yaml"))
    document = documents_in(tmp_path / "pipeline.yaml")[0]

    task = document["root"]["dag"]["tasks"]["report"]
    assert task["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert task["inputs"]["parameters"]["status"] == {"taskFinalStatus": {"producerTask": "exit-handler-1"}}
    outputs = document["components"]["comp-report"]["outputDefinitions"]["artifacts"]
    kinds = {name: artifact["artifactType"]["schemaTitle"] for name, artifact in outputs.items()}
    pages = {"report": "system.Markdown", "report_page": "system.HTML", "figures": "system.Metrics"}
    assert kinds == pages | dict.fromkeys(("inference_service", "llm_inference_service"), "system.Artifact")
    inputs = document["components"]["comp-report"]["inputDefinitions"]["parameters"]
    assert [name for name, given in inputs.items() if not given.get("description")] == []
    assert [name for name, given in inputs.items() if name != "status" and not given.get("isOptional")] == []
