"""Secrets are planted, runs succeed and fail, and nothing that is left of them, or is seen of them, holds a secret."""

import base64
import contextlib
import io
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from huggingface_hub import close_session

from modelcar.errors import ModelcarError
from modelcar.image.buildah import _NOT_FOR_BUILDAH
from tests.conftest import LogIn
from tests.parts.forward_proxy import forward_proxy
from tests.parts.hub import Hub
from tests.parts.model_registry import ModelRegistryServer
from tests.parts.registries import BasicAuthRegistry, TokenAuthRegistry

MODEL = "example/planted"
HF_TOKEN = "hf_plantedPlantedPlanted"
MODEL_REGISTRY_TOKEN = "sha256~plantedForTheModelRegistry"
PROXY_PASSWORD = "planted-for-the-proxy"
COSIGN_PASSWORD = "planted-for-cosign"


@dataclass
class Seen:
    """What a run left, and what was seen of its processes."""

    place: Path
    arguments: set[str] = field(default_factory=set)
    of_buildah: dict[str, str] = field(default_factory=dict)

    def look(self, until: threading.Event) -> None:
        """Look at every process below this one until the run has ended."""
        while not until.wait(0.005):
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    command = child.cmdline()
                    if "proxy" in command:
                        # The proxy itself, which is told its password in this way.
                        continue
                    self.arguments.update(command)
                    if Path((command or [""])[0]).name == "buildah":
                        self.of_buildah.update(child.environ())

    def holding(self, secrets: Mapping[str, str]) -> list[str]:
        """Which secrets are where, as they are or in base64."""
        written = {}
        for name, secret in secrets.items():
            written[name] = secret.encode()
            written[f"{name} in base64"] = base64.b64encode(secret.encode()).rstrip(b"=")[:-1]
        found = [f"{name} in arguments" for name, text in written.items() if text in "\0".join(self.arguments).encode()]
        for file in self.place.rglob("*"):
            if file.is_file() and not file.is_symlink():
                content = file.read_bytes()
                found += [f"{name} in {file}" for name, text in written.items() if text in content]
        return found


@pytest.fixture
def secrets(
    hub: Hub,
    basic_registry: BasicAuthRegistry,
    token_registry: TokenAuthRegistry,
    log_in: LogIn,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[dict[str, str]]:
    """Plant a secret of each kind."""
    log_in(basic_registry, token_registry)
    hub.publish(MODEL, {"config.json": "{}", "weights.data": os.urandom(2_000_000)}, private=True)
    hub.tokens[HF_TOKEN] = {MODEL}
    (tmp_path / "proxy").mkdir()
    with forward_proxy(tmp_path / "proxy", f"clerk:{PROXY_PASSWORD}") as proxy:
        environment = {
            "HF_TOKEN": HF_TOKEN,
            "MODEL_REGISTRY_TOKEN": MODEL_REGISTRY_TOKEN,
            "COSIGN_PASSWORD": COSIGN_PASSWORD,
            "HTTP_PROXY": proxy.url,
            "HTTPS_PROXY": proxy.url,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        close_session()
        assert basic_registry.password
        assert token_registry.password
        yield {
            "the Hub's token": HF_TOKEN,
            "the Model Registry's token": MODEL_REGISTRY_TOKEN,
            "cosign's password": COSIGN_PASSWORD,
            "the proxy's password": PROXY_PASSWORD,
            "the target's password": basic_registry.password,
            "the mirror's password": token_registry.password,
        }
    close_session()


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """Keep what a run would tidy up, and look at its processes."""
    place = tmp_path / "left"
    place.mkdir()
    monkeypatch.setenv("MODELCAR_TERMINATION_LOG", str(place / "termination-log"))

    @contextlib.contextmanager
    def kept(prefix: str) -> Iterator[str]:
        yield tempfile.mkdtemp(prefix=prefix, dir=place)

    from modelcar.cli import local_run

    monkeypatch.setattr(local_run.tempfile, "TemporaryDirectory", kept)
    looking, ended = Seen(place), threading.Event()
    thread = threading.Thread(target=looking.look, args=(ended,), daemon=True)
    thread.start()
    yield looking
    ended.set()
    thread.join()


def run(seen: Seen, *, streaming: bool = False, **arguments: object) -> str:
    """Run the pipeline on this machine; gives its log, which is kept too."""
    from modelcar.cli import local_run
    from modelcar.pipelines.model_to_registry import model_to_registry
    from modelcar.pipelines.model_to_registry_streaming import model_to_registry_streaming

    pipeline = model_to_registry_streaming if streaming else model_to_registry
    log, ended = io.StringIO(), ""
    try:
        # All that kfp and the steps say is looked through, and what is kept to be read as well.
        setting = local_run.Setting(seen.place / "claim", seen.place / "report", log, verbose=True)
        local_run.run(pipeline, {"model": MODEL, **arguments}, setting)
    except ModelcarError as error:
        ended = str(error)
    (seen.place / f"log-{len(list(seen.place.iterdir()))}").write_text(f"{log.getvalue()}\n{ended}")
    return ended


@pytest.mark.parametrize("streaming", [pytest.param(False, marks=pytest.mark.soak), True])
def test_a_run_that_succeeds_shows_no_secret(
    streaming: bool,
    secrets: dict[str, str],
    seen: Seen,
    basic_registry: BasicAuthRegistry,
    token_registry: TokenAuthRegistry,
    model_registry_server: ModelRegistryServer,
) -> None:
    name = f"planted/streaming-{streaming}".lower()
    ended = run(
        seen,
        streaming=streaming,
        target=f"{basic_registry.host}/{name}:1",
        mirror_target=f"{token_registry.host}/{name}:1",
        model_registry=model_registry_server.url,
    )

    assert ended == ""
    for registry in (basic_registry, token_registry):
        (seen.place / registry.host).symlink_to(registry.storage)
        assert Seen(registry.storage / "docker/registry/v2/repositories/planted").holding(secrets) == []
        assert Seen(registry.storage / "docker/registry/v2/blobs").holding(secrets) == []
    assert seen.holding(secrets) == []
    assert len(list(seen.place.rglob("*"))) > 10
    assert not set(seen.of_buildah) & set(_NOT_FOR_BUILDAH)
    compiled = subprocess.run(
        ["grep", "-rlF", *(f"-e{one}" for one in secrets.values()), "compiled"], capture_output=True
    )
    assert compiled.stdout == b""


@pytest.mark.soak
@pytest.mark.parametrize("refuses", ["Hub", "target", "mirror", "Model Registry", "proxy"])
def test_a_run_that_is_refused_shows_no_secret(
    refuses: str,
    secrets: dict[str, str],
    seen: Seen,
    hub: Hub,
    basic_registry: BasicAuthRegistry,
    token_registry: TokenAuthRegistry,
    log_in: LogIn,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if refuses == "Hub":
        hub.tokens.clear()
    elif refuses in ("target", "mirror"):
        registry = basic_registry if refuses == "target" else token_registry
        wrong = {"password": "planted-and-wrong"}
        secrets["a wrong password"] = wrong["password"]
        log_in(
            *(
                one if one is not registry else type(one)(**{**vars(one), **wrong})
                for one in (basic_registry, token_registry)
            )
        )
    elif refuses == "proxy":
        monkeypatch.setenv("HTTPS_PROXY", "http://clerk:planted-and-wrong@127.0.0.1:9")
        monkeypatch.setenv("HTTP_PROXY", "http://clerk:planted-and-wrong@127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "")
        secrets["a wrong password"] = "planted-and-wrong"
        close_session()

    ended = run(
        seen,
        streaming=True,
        target=f"{basic_registry.host}/planted/refused:1",
        mirror_target=f"{token_registry.host}/planted/refused:1",
        model_registry="https://127.0.0.1:9" if refuses == "Model Registry" else "",
    )

    assert ended
    assert seen.holding(secrets) == []


def test_a_secret_with_a_line_break_is_not_shown_by_a_refusing_client(
    monkeypatch: pytest.MonkeyPatch, basic_registry: BasicAuthRegistry
) -> None:
    from modelcar import model_registry

    monkeypatch.setenv("MODEL_REGISTRY_TOKEN", "planted\r\nX-Injected: planted")
    with pytest.raises(ModelcarError) as raised:
        model_registry.check_write("http://127.0.0.1:9")
    assert "planted" not in str(raised.value)
