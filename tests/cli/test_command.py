"""The `modelcar` command, as a person uses it: the pipeline on real parts, and what is said when something is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

import modelcar
from tests.parts.hub import Hub
from tests.parts.model_registry import ModelRegistryServer
from tests.parts.models import tiny_llama, variants
from tests.parts.registries import BasicAuthRegistry, TokenAuthRegistry
from tests.parts.terminal import shown_on_terminal

MODELCAR = str(Path(sys.executable).with_name("modelcar"))
MODEL = "example/tiny-llama"


@dataclass
class Parts:
    """All that a run of the whole pipeline touches."""

    hub: Hub
    target: BasicAuthRegistry
    mirror: TokenAuthRegistry
    entries: ModelRegistryServer
    claim: Path

    def command(self, name: str, **changed: str) -> list[str]:
        """The run command; None as a value leaves an option out."""
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


@pytest.fixture
def parts(
    hub: Hub,
    model: Path,
    basic_registry: BasicAuthRegistry,
    token_registry: TokenAuthRegistry,
    model_registry_server: ModelRegistryServer,
    log_in: Callable[..., Path],
    tmp_path: Path,
) -> Parts:
    log_in(basic_registry, token_registry)
    hub.publish(MODEL, model)
    return Parts(hub, basic_registry, token_registry, model_registry_server, tmp_path / "claim")


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)


def test_a_model_goes_the_whole_way_and_a_second_run_moves_nothing(parts: Parts) -> None:
    first = run([*parts.command("whole"), "--json"])
    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout)
    assert result["image"].startswith(f"{parts.mirror.host}/whole/mirrored@sha256:")
    assert result["model"] == "whole"

    api = f"{parts.entries.url}/api/model_registry/v1alpha3"
    found = requests.get(
        f"{api}/model_artifact", params={"name": "whole", "parentResourceId": _version(api, "whole")}, timeout=9
    )
    assert found.json()["uri"] == f"oci://{result['image']}"

    served = parts.hub.bytes_served
    written = [request for request in parts.target.requests() if request.method not in ("GET", "HEAD")]
    second = run([*parts.command("whole"), "--json"])
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout) == {**result, "unchanged": True}
    assert not result["unchanged"]
    # The plan reads the model's small files each time; no weights.
    assert parts.hub.bytes_served - served < 100_000
    assert [request for request in parts.target.requests() if request.method not in ("GET", "HEAD")] == written


def test_streaming_gives_the_same_image_and_keeps_nothing_here(parts: Parts) -> None:
    first = run([*parts.command("claimed", model_registry=""), "--json"])
    assert first.returncode == 0, first.stderr
    through_claim = json.loads(first.stdout)
    kept = {path for path in parts.claim.rglob("*") if path.is_file()}
    done = run([*parts.command("streamed"), "--streaming", "--json"])
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["image"].partition("@")[2] == through_claim["image"].partition("@")[2]
    assert result["image"].startswith(f"{parts.mirror.host}/streamed/mirrored@")
    assert result["model"] == "streamed"
    assert {path for path in parts.claim.rglob("*") if path.is_file()} == kept


def test_a_new_commit_makes_a_new_version(parts: Parts, tmp_path: Path) -> None:
    first = json.loads(run([*parts.command("twice"), "--json"]).stdout)
    changed = tiny_llama(tmp_path / "changed", seed=1)
    parts.hub.publish(MODEL, changed)
    second = json.loads(run([*parts.command("twice"), "--json"]).stdout)
    assert first["model"] == second["model"] == "twice"
    assert first["version"] != second["version"]
    assert first["image"] != second["image"]


@pytest.mark.parametrize("more", [[], ["--streaming"]], ids=["claim", "streaming"])
def test_a_token_of_hf_auth_login_opens_a_gated_model(
    more: list[str], parts: Parts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parts.hub.publish("example/gated", {"model.onnx": "x", "config.json": "{}"}, gated="manual")
    parts.hub.tokens["granted"] = {"example/gated"}
    (tmp_path / "token").write_text("granted\n")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    done = run([*parts.command("gated", model="example/gated", mirror="", model_registry=""), *more])
    assert done.returncode == 0, done.stderr


def test_the_summary_says_how_to_serve_the_image(parts: Parts) -> None:
    done = run(parts.command("summary", mirror="", model_registry=""))
    assert done.returncode == 0, done.stderr
    assert f"to serve    storageUri: oci://{parts.target.host}/summary/model@sha256:" in done.stdout


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"model": "example/nowhere"}, "there is no model example/nowhere"),
        ({"revision": "v9"}, "has no revision 'v9'"),
        ({"include": "*.gguf"}, "the include pattern '*.gguf' matches no file"),
        ({"max_layer_size": "1000000"}, "makes a layer of 1.5 MB, and --max-layer-size is 1.0 MB"),
        ({"model_registry": "registry.example"}, "is not the address of a Model Registry"),
    ],
)
def test_bad_input_is_one_line_that_names_the_remedy(changed: dict[str, str], says: str, parts: Parts) -> None:
    done = run(parts.command("bad", **changed))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert says in last
    assert "Traceback" not in done.stdout + done.stderr


def test_a_model_registry_that_is_down_is_named_and_the_image_stays(parts: Parts, closed_port: int) -> None:
    done = run(parts.command("down", model_registry=f"http://127.0.0.1:{closed_port}"))
    assert done.returncode == 1
    assert f"cannot reach the Model Registry at http://127.0.0.1:{closed_port}" in done.stderr
    assert run([*parts.command("down"), "--json"]).returncode == 0


def test_wrong_credentials_name_the_registry_and_their_file(parts: Parts) -> None:
    file = Path(os.environ["REGISTRY_AUTH_FILE"])
    entries = json.loads(file.read_text())
    entries["auths"][parts.target.host] = {"auth": "bm9ib2R5Ondyb25n"}
    file.write_text(json.dumps(entries))
    done = run(parts.command("refused"))
    assert done.returncode == 1
    assert (
        f"{parts.target.host} does not let us push to refused/model (401): it refused 'nobody' from {file}"
        in done.stderr
    )


def test_file_names_that_need_escaping_reach_the_image(parts: Parts, tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "odd")
    odd = variants(folder, "odd")
    parts.hub.publish("example/odd", folder)
    done = run([*parts.command("odd", model="example/odd", mirror="", model_registry=""), "--json"])
    assert done.returncode == 0, done.stderr
    image = json.loads(done.stdout)["image"]
    copy = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{image}", f"oci:{tmp_path}/layout:latest"]
    subprocess.run(copy, check=True)
    subprocess.run(
        ["umoci", "unpack", "--rootless", "--image", f"{tmp_path}/layout:latest", f"{tmp_path}/unpacked"],
        check=True,
        capture_output=True,
    )
    for name in odd:
        assert (tmp_path / "unpacked/rootfs/models" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_no_scratch_and_goes_on_later(stop: signal.Signals, parts: Parts) -> None:
    parts.hub.delay(1.0)
    command = parts.command(f"stopped-{int(stop)}", mirror="", model_registry="")
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout is not None
    # Into the first of the Hub's answers, each of which waits a second.
    while not parts.hub.requests:
        time.sleep(0.1)
    os.killpg(process.pid, stop)
    said, _ = process.communicate(timeout=600)
    assert process.returncode != 0
    assert "Traceback" not in said
    parts.hub.delay(0.0)
    assert run(command).returncode == 0
    assert not list(parts.claim.glob("*/*/.modelcar/build-*"))


def test_on_a_terminal_progress_is_a_live_display(parts: Parts) -> None:
    code, shown = shown_on_terminal(parts.command("live", mirror="", model_registry=""))
    assert code == 0
    assert b"\x1b[?25l" in shown, "nothing hid the cursor, as a live display does"
    assert "✓ download".encode() in shown


def test_help_and_version() -> None:
    assert run([MODELCAR, "--version"]).stdout.strip() == modelcar.__version__
    for command in ("run", "compile"):
        done = run([MODELCAR, command, "--help"])
        assert done.returncode == 0
        assert "Usage: modelcar" in done.stdout
    assert run([MODELCAR, "run", "--nonsense"]).returncode == 2


def _version(api: str, model: str) -> str:
    found = requests.get(f"{api}/registered_model", params={"name": model}, timeout=600).json()
    versions = requests.get(f"{api}/registered_models/{found['id']}/versions", timeout=600).json()
    return str(versions["items"][0]["id"])
