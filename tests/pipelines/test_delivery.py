"""The ways of our code to the pods of a compiled pipeline: embedded, in an image, or as a package of an index."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import modelcar
from modelcar.bootstrap.command import Bootstrapped
from modelcar.errors import BuildError
from modelcar.pipelines.compilation import STREAMING, compile_one, documents_in
from modelcar.pipelines.delivery import Delivery
from tests.parts.command import modelcar as command
from tests.parts.source_copy import copy_source

PACKAGE = f"modelcar-pipelines=={modelcar.__version__}"
PUBLIC_INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple")


class PackageIndex(ThreadingHTTPServer):
    """An index that has a release of modelcar, and all else from the public one (PEP 503)."""

    daemon_threads = True

    def __init__(self, wheel: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.wheel = wheel
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        """Where pip finds it."""
        return f"http://127.0.0.1:{self.server_address[1]}/simple"


class _Answers(BaseHTTPRequestHandler):
    server: PackageIndex

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        name = self.path.rstrip("/").rpartition("/")[2]
        if name == self.server.wheel.name:
            self._answer(200, self.server.wheel.read_bytes())
        elif name == "modelcar-pipelines":
            self._answer(200, f'<a href="{self.server.wheel.name}">{self.server.wheel.name}</a>'.encode())
        else:
            self.send_response(302)
            self.send_header("Location", f"{PUBLIC_INDEX}/{name}/")
            self.end_headers()

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    """Give a package index with a release of what is tested."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, copy_source(tmp_path / "source")], check=True, capture_output=True)
    with PackageIndex(next(tmp_path.glob("*.whl"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def containers(folder: Path, delivery: Delivery) -> dict[str, dict[str, Any]]:
    document = documents_in(compile_one(STREAMING, folder, delivery))[0]
    executors = document["deploymentSpec"]["executors"]
    executors.pop("exec-code", None)
    return {name.removeprefix("exec-"): executor["container"] for name, executor in executors.items()}


def parts_of(container: dict[str, Any]) -> Bootstrapped:
    parts = Bootstrapped.parse(container["command"])
    assert parts is not None
    return parts


def test_a_step_installs_the_published_package_from_an_index_of_ones_own(
    index: PackageIndex, bare_python: Path, tmp_path: Path
) -> None:
    container = containers(tmp_path, Delivery(package=PACKAGE, index_url=index.url))["mirror"]
    given = {"inputs": {"parameterValues": {"image": "quay.io/x/y:1"}}, "outputs": {"outputFile": str(tmp_path / "o")}}
    arguments = [json.dumps(given) if part == "{{$}}" else part for part in container["args"]]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PATH": f"{bare_python}:/usr/bin:/bin", "TMPDIR": str(tmp_path)}

    done = subprocess.run(
        [*container["command"], *arguments], check=False, env=environment, cwd=tmp_path, capture_output=True, text=True
    )

    assert "no mirror was asked for" in done.stdout + done.stderr
    assert done.returncode == 0
    assert any(path.endswith(index.wheel.name) for path in index.asked)
    assert max(map(len, container["command"])) < 2_000, "no code travels in the command"


def test_every_step_is_told_of_package_index_and_image(tmp_path: Path) -> None:
    delivery = Delivery(
        package=PACKAGE, index_url="https://nexus.example/simple", python_image="quay.example/python:3.12"
    )
    for name, container in containers(tmp_path, delivery).items():
        lines = parts_of(container).requirements.splitlines()
        assert lines[0] == "--index-url https://nexus.example/simple", name
        assert lines[-1] == PACKAGE
        assert parts_of(container).archive == ""
        assert container["image"] == "quay.example/python:3.12"


def test_code_that_is_embedded_has_its_packages_from_the_index_as_well(tmp_path: Path) -> None:
    for container in containers(tmp_path, Delivery(index_url="https://nexus.example/simple")).values():
        assert parts_of(container).archive
        assert parts_of(container).requirements.startswith("--index-url https://nexus.example/simple\n")


def test_without_a_choice_the_image_of_the_steps_is_of_one_version(tmp_path: Path) -> None:
    for container in containers(tmp_path, Delivery()).values():
        name, _, version = container["image"].rpartition(":")
        assert name
        assert version[0].isdigit(), container["image"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--image", "quay.io/x/y:1", "--package", PACKAGE], "--image and --package do not go together"),
        (["--image", "quay.io/x/y:1", "--index-url", "https://x"], "--image and --index-url do not go together"),
        (["--index-url", "https://["], "'https://[' is not the address of a package index. Write --index-url https://"),
        (["--package", "modelcar-pipelines"], f"is not one version of modelcar-pipelines. Write --package {PACKAGE}"),
        (["--package", "modelcar-pipelines>=0.1"], "is not one version of modelcar-pipelines"),
        (["--package", "modelcar-pipelines==0.1.*"], "is not one version of modelcar-pipelines"),
        (["--package", "kfp==2.17"], "is not one version of modelcar-pipelines"),
        (["--package", "???"], "names no package"),
        (
            ["--index-url", "https://me:secret@nexus.example/simple"],
            "the address of the package index holds a password",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(
    words: list[str], says: str, tmp_path: Path
) -> None:
    done = command("compile", "--output", str(tmp_path / "out"), *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "secret" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_name_may_be_written_as_python_allows(tmp_path: Path) -> None:
    for container in containers(tmp_path, Delivery(package=f"Modelcar_Pipelines == {modelcar.__version__}")).values():
        assert parts_of(container).requirements.splitlines()[-1] == PACKAGE


def test_another_version_than_the_compiling_one_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    Delivery(package="modelcar-pipelines==99.0")
    assert "modelcar-pipelines==99.0 is not the version that compiles" in capsys.readouterr().err


def test_no_choice_at_all_is_no_error() -> None:
    with pytest.raises(BuildError):
        Delivery(package="x")
    assert Delivery() == Delivery()
