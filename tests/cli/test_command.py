"""The `modelcar` command, as a person uses it: the pipeline on real parts, and what is said when something is wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

import modelcar
from tests.conftest import REMOVED
from tests.parts.hub import Hub
from tests.parts.model_registry import ModelRegistryServer
from tests.parts.models import tiny_llama, variants
from tests.parts.registries import BasicAuthRegistry, TokenAuthRegistry, auth_file
from tests.parts.terminal import shown_on_terminal

MODELCAR = str(Path(sys.executable).with_name("modelcar"))
MODEL = "example/tiny-llama"


@dataclass
class Parts:
    """All that a run of the whole pipeline touches. The model is gated, and `hf auth login` was run."""

    hub: Hub
    target: BasicAuthRegistry
    mirror: TokenAuthRegistry
    entries: ModelRegistryServer
    claim: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a run: a home and logins of its own."""
        login = {"REGISTRY_AUTH_FILE": f"{self.home}/auth.json", "SSL_CERT_FILE": str(self.mirror.ca_file)}
        own = {"HOME": str(self.home), "HF_HOME": str(self.home / "huggingface")}
        kept = {name: value for name, value in os.environ.items() if name not in REMOVED}
        return {**kept, **login, **own, "HF_ENDPOINT": self.hub.url, "NO_PROXY": "127.0.0.1,localhost"}

    def command(self, name: str, **changed: str) -> list[str]:
        """The run command; an empty value leaves an option out."""
        options = {
            "model": MODEL,
            "target": f"{self.target.host}/{name}/model:1",
            "mirror": f"{self.mirror.host}/{name}/mirrored:1",
            "model_registry": self.entries.url,
            "registered_name": name,
            "claim": str(self.claim),
            **changed,
        }
        return [MODELCAR, "run", *(f"--{key.replace('_', '-')}={value}" for key, value in options.items())]

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        environment = {**self.environment, **variables}
        return subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def parts(
    model: Path,
    basic_registry: BasicAuthRegistry,
    token_registry: TokenAuthRegistry,
    model_registry_server: ModelRegistryServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Parts]:
    home = tmp_path_factory.mktemp("command")
    auth_file(home / "auth.json", basic_registry, token_registry)
    (home / "huggingface").mkdir()
    (home / "huggingface" / "token").write_text("granted\n")
    with Hub(home / "hub") as hub:
        hub.publish(MODEL, model, gated="manual")
        hub.tokens["granted"] = {MODEL}
        yield Parts(hub, basic_registry, token_registry, model_registry_server, home / "claim", home)


@pytest.fixture(scope="module")
def first(parts: Parts) -> dict[str, str]:
    """Give what the first run of all says, which goes the whole way."""
    done = parts.run(*parts.command("whole"), "--json")
    assert done.returncode == 0, done.stderr
    result: dict[str, str] = json.loads(done.stdout)
    return result


def test_a_model_goes_the_whole_way_and_a_second_run_moves_nothing(parts: Parts, first: dict[str, str]) -> None:
    assert first["image"].startswith(f"{parts.mirror.host}/whole/mirrored@sha256:")
    assert first["model"] == "whole"
    assert _artifact(parts, first)["uri"] == f"oci://{first['image']}"

    served = parts.hub.bytes_served
    written = [request for request in parts.target.requests() if request.method not in ("GET", "HEAD")]
    second = parts.run(*parts.command("whole"), "--json")
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout) == {**first, "unchanged": True}
    assert not first["unchanged"]
    # The plan reads the model's small files each time; no weights.
    assert parts.hub.bytes_served - served < 100_000
    assert [request for request in parts.target.requests() if request.method not in ("GET", "HEAD")] == written


def test_streaming_gives_the_same_image_and_keeps_nothing_here(parts: Parts, first: dict[str, str]) -> None:
    kept = {path for path in parts.claim.rglob("*") if path.is_file()}
    done = parts.run(*parts.command("streamed"), "--streaming", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["image"].partition("@")[2] == first["image"].partition("@")[2]
    assert result["image"].startswith(f"{parts.mirror.host}/streamed/mirrored@")
    assert result["model"] == "streamed"
    assert {path for path in parts.claim.rglob("*") if path.is_file()} == kept


def test_a_new_commit_makes_a_new_version(parts: Parts, first: dict[str, str], tmp_path: Path) -> None:
    parts.hub.publish(MODEL, tiny_llama(tmp_path / "changed", seed=1), branch="next")
    target = f"{parts.target.host}/whole/model:2"
    done = parts.run(*parts.command("whole", target=target, mirror="", revision="next"), "--json")
    assert done.returncode == 0, done.stderr
    second = json.loads(done.stdout)
    assert first["model"] == second["model"] == "whole"
    assert first["version"] != second["version"]
    assert first["image"].partition("@")[2] != second["image"].partition("@")[2]
    for each in (first, second):
        assert _artifact(parts, each)["uri"] == f"oci://{each['image']}"


@pytest.mark.usefixtures("first")
def test_a_token_of_hf_auth_login_opens_a_gated_model(parts: Parts, tmp_path: Path) -> None:
    assert not any("granted" in line for line in parts.command("whole"))
    for path in ("/resolve/", "/api/models/"):
        assert all(request.authorized for request in parts.hub.requests if path in request.path)

    done = parts.run(*parts.command("without"), HF_HOME=str(tmp_path))

    assert done.returncode == 1
    assert "gives no access" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"model": "example/nowhere"}, "there is no model example/nowhere"),
        (
            {"max_layer_size": "1000000", "model_registry": "registry.example"},
            "this run cannot succeed (2 reasons, all in this log): model-00001-of-00004.safetensors makes a layer",
        ),
    ],
)
def test_bad_input_is_one_line_that_names_the_remedy(changed: dict[str, str], says: str, parts: Parts) -> None:
    done = parts.run(*parts.command("bad", **changed))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert says in last
    assert "Traceback" not in done.stdout + done.stderr
    if len(changed) > 1:
        assert "makes a layer of 1.5 MB, and --max-layer-size is 1.0 MB" in last
        assert "is not the address of a Model Registry" in " ".join(done.stdout.split())


def test_a_model_registry_that_is_down_is_named_and_the_image_stays(
    parts: Parts, first: dict[str, str], closed_port: int
) -> None:
    changed = {"model_registry": f"http://127.0.0.1:{closed_port}", "mirror": ""}
    done = parts.run(*parts.command("down", **changed))
    assert done.returncode == 1
    assert f"cannot reach the Model Registry at http://127.0.0.1:{closed_port}" in done.stderr

    done = parts.run(*parts.command("down", mirror=""), "--json")
    assert done.returncode == 0
    assert re.search(r"^✓ download +(\d+ s +)?was there already$", done.stderr, re.MULTILINE)


@pytest.mark.usefixtures("first")
def test_the_next_run_registers_what_is_there_and_moves_nothing(parts: Parts) -> None:
    assert parts.run(*parts.command("late", model_registry="")).returncode == 0

    done = parts.run(*parts.command("late"), "--json")

    assert done.returncode == 0
    assert json.loads(done.stdout)["model"] == "late"
    for step in ("download", "build", "mirror"):
        assert re.search(rf"^✓ {step} +(\d+ s +)?was there already$", done.stderr, re.MULTILINE), done.stderr


def test_wrong_credentials_name_the_registry_and_their_file(parts: Parts, tmp_path: Path) -> None:
    entries = json.loads((parts.home / "auth.json").read_text())
    entries["auths"][parts.target.host] = {"auth": "bm9ib2R5Ondyb25n"}
    file = tmp_path / "auth.json"
    file.write_text(json.dumps(entries))
    done = parts.run(*parts.command("refused"), REGISTRY_AUTH_FILE=str(file))
    assert done.returncode == 1
    assert (
        f"{parts.target.host} does not let us push to refused/model (401): it refused 'nobody' from {file}"
        in done.stderr
    )


def test_file_names_that_need_escaping_reach_the_image(parts: Parts, tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "odd")
    odd = variants(folder, "odd")
    parts.hub.publish("example/odd", folder)
    done = parts.run(*parts.command("odd", model="example/odd", mirror="", model_registry=""), "--json")
    assert done.returncode == 0, done.stderr
    image = json.loads(done.stdout)["image"]
    copy = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{image}", f"oci:{tmp_path}/layout:latest"]
    subprocess.run(copy, check=True, env=parts.environment)
    subprocess.run(
        ["umoci", "unpack", "--rootless", "--image", f"{tmp_path}/layout:latest", f"{tmp_path}/unpacked"],
        check=True,
        capture_output=True,
    )
    for name in odd:
        assert (tmp_path / "unpacked/rootfs/models" / name).read_bytes() == (folder / name).read_bytes()


def test_a_stopped_run_leaves_no_scratch_and_goes_on_later(parts: Parts, tmp_path: Path) -> None:
    command = parts.command("stopped", mirror="", model_registry="", claim=str(tmp_path / "claim"))
    for stop in (signal.SIGINT, signal.SIGTERM):
        parts.hub.requests.clear()
        parts.hub.delay(1.0)
        process = subprocess.Popen(
            command,
            env=parts.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        # Into the first of the Hub's answers, each of which waits a second.
        while not parts.hub.requests and process.poll() is None:
            time.sleep(0.1)
        os.killpg(process.pid, stop)
        said, _ = process.communicate(timeout=600)
        parts.hub.delay(0.0)
        assert process.returncode != 0
        assert "Traceback" not in said
    assert parts.run(*command).returncode == 0
    assert not list((tmp_path / "claim").glob("*/*/.modelcar/build-*"))


def test_on_a_terminal_progress_is_live_and_how_to_serve_comes_last(parts: Parts) -> None:
    code, shown = shown_on_terminal(parts.command("live", mirror="", model_registry=""), **parts.environment)
    assert code == 0
    assert b"\x1b[?25l" in shown, "nothing hid the cursor, as a live display does"
    assert "✓ download".encode() in shown
    assert f"to serve    storageUri: oci://{parts.target.host}/live/model@sha256:".encode() in shown


def test_help_and_version(parts: Parts) -> None:
    assert parts.run(MODELCAR, "--version").stdout.strip() == modelcar.__version__
    for command in ("run", "compile"):
        done = parts.run(MODELCAR, command, "--help")
        assert done.returncode == 0
        assert "Usage: modelcar" in done.stdout
    assert parts.run(MODELCAR, "run", "--nonsense").returncode == 2


def _artifact(parts: Parts, result: dict[str, str]) -> dict[str, str]:
    """The Model Registry's entry for what a run made."""
    api = f"{parts.entries.url}/api/model_registry/v1alpha3"

    def get(path: str, **params: str) -> dict[str, str]:
        found: dict[str, str] = requests.get(f"{api}/{path}", params=params, timeout=600).json()
        return found

    model = get("registered_model", name=result["model"])
    version = get("model_version", name=result["version"], parentResourceId=model["id"])
    return get("model_artifact", name=result["model"], parentResourceId=version["id"])
