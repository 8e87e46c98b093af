"""The program that unpacks our code in a pod: from its arguments, or from the run's Workflow, over TLS with a token."""

import hashlib
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from modelcar import pod
from modelcar.bootstrap import unpack
from modelcar.bootstrap.command import Bootstrapped, archive, marked_parts, reference, sharing_command
from tests.parts.run_workflow import RunWorkflow, run_workflow

Cluster = Callable[[Sequence[str]], RunWorkflow]


def pipeline(parts: Sequence[str]) -> dict[str, Any]:
    """A compiled pipeline whose steps' code is in one of its commands."""
    commands = {"exec-other": ["true", "of another step"], "exec-code": ["true", *parts]}
    return {"deploymentSpec": {"executors": {name: {"container": {"command": c}} for name, c in commands.items()}}}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Make this process a pod of a run with some parts of an archive."""
    monkeypatch.setattr(unpack, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with ExitStack() as stack:

        def serve(parts: Sequence[str]) -> RunWorkflow:
            served = stack.enter_context(run_workflow(pipeline(parts), tmp_path))
            monkeypatch.setattr(unpack, "ACCOUNT", served.account)
            for name, value in served.environment.items():
                monkeypatch.setenv(name, value)
            return served

        yield serve


def code() -> str:
    return archive("from modelcar.steps.stream import stream")


def digest() -> str:
    return hashlib.sha256(code().encode()).hexdigest()


def test_code_in_the_arguments_is_unpacked_and_what_follows_left_alone(tmp_path: Path) -> None:
    text = code()
    unpack.main(str(tmp_path), "2", text[:9000], text[9000:], "python3", "-c", "pass")
    assert (tmp_path / "modelcar" / "steps" / "stream.py").is_file()


def test_code_is_unpacked_by_the_first_python_3_11_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tarfile knows no filters, which came with 3.11.4 (PEP 706)."""
    extract = tarfile.TarFile.extractall
    monkeypatch.setattr(tarfile.TarFile, "extractall", lambda tar, path=".", members=None: extract(tar, path, members))
    unpack.main(str(tmp_path), "1", code(), "python3")
    assert (tmp_path / "modelcar" / "steps" / "stream.py").is_file()


@pytest.mark.parametrize(
    "ending",
    ["system-container-impl-77", "retry-system-container-impl-77", "metadata-0-1-system-container-impl-77", "77"],
)
def test_code_in_the_runs_workflow_is_found_by_the_pods_name(
    ending: str, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = marked_parts(code())
    assert len(parts) > 1
    served = cluster(parts)
    monkeypatch.setenv("KFP_POD_NAME", f"{served.name}-{ending}")

    unpack.main(str(tmp_path), "1", reference(code()), "python3", "-c", "pass")

    assert (tmp_path / "modelcar" / "steps" / "stream.py").is_file()


def test_many_parts_come_in_their_order_and_once(cluster: Cluster) -> None:
    text = "".join(f"{n}!" for n in range(40))
    digest = hashlib.sha256(text.encode()).hexdigest()
    parts = [f"{unpack.IN_RUN}{digest}:{n}:{n}!" for n in range(40)]
    cluster([*reversed(parts), parts[3]])

    assert unpack.archive_in_run(digest) == text


def test_another_archive_in_the_same_run_is_not_taken(cluster: Cluster) -> None:
    other = archive("from modelcar.steps.mirror import mirror")
    cluster([*marked_parts(other), *marked_parts(code())])

    assert unpack.archive_in_run(digest()) == code()


@pytest.mark.parametrize("parts", [[], ["in-run:{digest}:0:half"]])
def test_code_that_is_not_whole_is_not_run(parts: list[str], cluster: Cluster) -> None:
    cluster([part.format(digest=digest()) for part in parts])
    assert_refused("it is not there as a whole")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "the API server answers 401"),
        (403, "the API server answers 403"),
        (404, "none has a name that this pod's begins with"),
        (500, "HTTP Error 500"),
    ],
)
def test_an_api_server_that_refuses_is_said_with_the_remedy(status: int, says: str, cluster: Cluster) -> None:
    served = cluster(marked_parts(code()))
    served.api.answers[served.path] = status, {"message": "no"}
    assert_refused(says)


def assert_refused(says: str) -> None:
    with pytest.raises(SystemExit) as ended:
        unpack.archive_in_run(digest())
    said = str(ended.value.code)
    assert said.startswith("error: the steps' code stands in this run's Workflow, which cannot be read: ")
    assert says in said
    assert said.endswith("get workflows.argoproj.io, or compile with --image or --package")
    assert "\n" not in said


def test_a_pipeline_compiled_without_code_says_how_it_is_compiled(tmp_path: Path) -> None:
    command = sharing_command(["true"], "six==1.17.0")
    step = Bootstrapped.parse(command)
    assert step is not None
    with pytest.raises(SystemExit, match=r"^error: this pipeline was compiled without .*\.compile_pipeline$"):
        unpack.main(str(tmp_path), "1", step.archive, *step.command)


@pytest.mark.parametrize("lost", ["KUBERNETES_SERVICE_PORT", "KFP_POD_NAME"])
def test_outside_of_a_cluster_it_ends_in_one_line(lost: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(marked_parts(code()))
    monkeypatch.delenv(lost)
    assert_refused("which cannot be read")


def test_a_pod_without_a_token_ends_in_one_line(cluster: Cluster) -> None:
    (cluster(marked_parts(code())).account / "token").unlink()
    assert_refused("No such file")


def test_a_server_that_is_busy_is_asked_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    served = cluster(marked_parts(code()))
    answers = iter([(503, {}), (429, {}), served.api.answers[served.path]])

    def recover(pause: float) -> None:
        served.api.answers[served.path] = next(answers)

    recover(0)
    monkeypatch.setattr(unpack.time, "sleep", recover)

    assert unpack.archive_in_run(digest()) == code()


def test_no_letter_of_the_program_is_replaced_on_its_way() -> None:
    """Kubernetes replaces $(, Argo and Kubeflow {{."""
    program = Path(unpack.__file__).read_text()
    assert "$(" not in program.replace("$( and {{$", "")
    assert "{{" not in program.replace("$( and {{$", "")


def test_it_knows_the_pod_as_our_other_code_does() -> None:
    assert f'SERVICE_ACCOUNT = Path("{unpack.ACCOUNT}")' in Path(pod.__file__).read_text()
    assert f'"{pod.POD_NAME}"' in Path(unpack.__file__).read_text()
