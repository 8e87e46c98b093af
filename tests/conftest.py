"""The real parts, started once for each test process, and an environment that holds nothing of the machine's own."""

import gc
import itertools
import os
import re
import signal
import socket
import subprocess
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
from huggingface_hub import constants

from modelcar import pod
from modelcar.oci import capabilities, credential_helpers, registries_conf, trust
from modelcar.retries import pause_before
from modelcar.steps.download import Downloaded
from tests.parts.fsync import skip_fsync
from tests.parts.go_programs import CACHE_VARIABLE, cache
from tests.parts.hub import Hub as HubServer
from tests.parts.model_registry import ModelRegistryServer, model_registry
from tests.parts.models import tiny_llama
from tests.parts.registries import (
    BasicAuthRegistry,
    Registry,
    TokenAuthRegistry,
    auth_file,
    registry_plain,
    registry_with_basic_auth,
    registry_with_token_auth,
)
from tests.parts.steps import download

# What was built is kept there from run to run, although HOME is another one within the tests.
os.environ[CACHE_VARIABLE] = str(cache())
REMOVED = (
    *("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "DOCKER_CONFIG"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "HF_HOME", "HF_HUB_CACHE", "GOOGLE_APPLICATION_CREDENTIALS"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"),
    *("HF_TOKEN_PATH", "MODEL_REGISTRY_TOKEN", "MODEL_REGISTRY_TOKEN_PATH", "KF_PIPELINES_SA_TOKEN_PATH"),
    *("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KFP_POD_NAME", "MODELCAR_CLAIM", "MODELCAR_TERMINAL"),
    # pytest-xdist sets these two.
    *("COLUMNS", "LINES"),
)

EXAMPLES, EXAMPLES_OF_A_SOAK = 25, 2000
"""Inputs that a property is held against."""

# A suite that was started in the background inherits that Ctrl-C is ignored, and so would the commands under test.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Under nohup it is the end of the terminal that is ignored. The suite goes on, but a handler is not inherited.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# `make soak` takes the second one (--hypothesis-profile soak), which comes after this.
hypothesis.settings.register_profile("tests", database=None, deadline=None, max_examples=EXAMPLES)
hypothesis.settings.register_profile("soak", database=None, deadline=None, max_examples=EXAMPLES_OF_A_SOAK)
hypothesis.settings.load_profile("tests")

Mount = Callable[..., Path]
LogIn = Callable[..., Path]


MUTATIONS = 25
"""Random changes of an honest image that run with the other tests; 10,000 are for `make soak`."""

SHORT_SOAK = 2
"""Schedules of random faults for each step that run with the other tests; the rest is for `make soak`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the random faults of tests/soak be chosen, and pictures be kept."""
    group = parser.getgroup("soak", "random faults (tests/soak)")
    group.addoption("--soak-runs", type=int, default=SHORT_SOAK, help="schedules for each step")
    group.addoption("--soak-seed", type=int, default=0, help="seed of the first one; each further one's is one more")
    group.addoption("--mutations", type=int, default=MUTATIONS, help="random changes of an image that are verified")
    group.addoption("--soak-report", default="", help="file to which how they ended is added")
    docs = parser.getgroup("docs", "pictures of the docs (make pictures)")
    docs.addoption("--pictures", default="", help="folder that takes those of a run on the test cluster")


def pytest_configure(config: pytest.Config) -> None:
    """Waits for no disk. Processes of pytest-xdist inherit that from the one that starts them."""
    if not hasattr(config, "workerinput"):
        skip_fsync()


def pytest_collection_finish() -> None:
    """Leaves what was imported and collected out of later collections of garbage: it stays to the end, and is large."""
    gc.freeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Draw the schedules' seeds."""
    if "soak_seed" in metafunc.fixturenames:
        first, runs = metafunc.config.getoption("--soak-seed"), metafunc.config.getoption("--soak-runs")
        marks = [() if number < SHORT_SOAK else (pytest.mark.soak,) for number in range(runs)]
        seeds = [pytest.param(first + number, marks=mark) for number, mark in enumerate(marks)]
        metafunc.parametrize("soak_seed", seeds)


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty folder. pytest's own fixture looks through those of all tests before, thousands, for a number."""
    return _new_folder(tmp_path_factory, re.sub(r"\W", "_", request.node.name)[:30])


_numbers = itertools.count()


def _new_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    folder = factory.getbasetemp() / f"{name}_{next(_numbers)}"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty home, and keep every test from what the machine has: logins, tokens, authorities, proxies."""
    home = _new_folder(tmp_path_factory, "home")
    for name in REMOVED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("MODELCAR_TERMINATION_LOG", str(home / "termination-log"))
    # `modelcar plan --here` names another, of which the next command in this process must not hear.
    monkeypatch.setattr(pod, "CLAIM", pod.CLAIM)
    monkeypatch.setenv(pod.LOCAL_CLAIM, "")
    monkeypatch.delenv(pod.LOCAL_CLAIM)
    monkeypatch.setattr(pod, "SECRETS", home / "secrets")
    monkeypatch.setattr(pod, "SERVICE_ACCOUNT", home / "serviceaccount")
    monkeypatch.setattr(trust, "CERTIFICATES", (home / "certs.d",))
    monkeypatch.setattr(registries_conf, "SYSTEM", home / "etc-containers")
    capabilities.forget()
    credential_helpers.forget()
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    return home


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let all pauses between attempts pass at once, and give how long they would have been."""
    pauses: list[float] = []

    def passed_at_once(*arguments: Any) -> float:
        pauses.append(pause_before(*arguments))
        return 0.0

    clock = SimpleNamespace(**{**vars(time), "sleep": pauses.append})
    monkeypatch.setattr("modelcar.retries.time", clock)
    monkeypatch.setattr("tenacity.nap.time", clock)
    monkeypatch.setattr("modelcar.oci.transfer.pause_before", passed_at_once)
    monkeypatch.setattr("modelcar.oci.destination.pause_before", passed_at_once)
    monkeypatch.setattr("huggingface_hub.file_download.time", clock)
    monkeypatch.setattr("huggingface_hub.utils._http.time", clock)
    return pauses


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """Give an empty Hub, to which modelcar goes."""
    with HubServer(tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a Python that has nothing installed but pip. It must stay so."""
    place = tmp_path_factory.mktemp("python")
    venv.create(place, with_pip=True)
    return place / "bin"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a model of four shards, with the same weights once more in one file. It must not be changed."""
    return tiny_llama(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def downloaded(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Downloaded:
    """Give a finished download of the model, which must not be changed."""
    folder = tmp_path_factory.mktemp("downloaded")
    with HubServer(folder / "hub") as hub, pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ENDPOINT", hub.url)
        hub.publish("example/tiny-llama", model)
        return download("example/tiny-llama", folder / "claim")


@pytest.fixture(scope="session")
def basic_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BasicAuthRegistry]:
    """Give a registry with passwords."""
    with registry_with_basic_auth(tmp_path_factory.mktemp("basic")) as registry:
        yield registry


@pytest.fixture(scope="session")
def token_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenAuthRegistry]:
    """Give a registry with tokens, over TLS whose authority nobody knows."""
    with registry_with_token_auth(tmp_path_factory.mktemp("token")) as registry:
        yield registry


@pytest.fixture(scope="session")
def plain_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Give a registry that lets everyone in."""
    with registry_plain(tmp_path_factory.mktemp("plain")) as registry:
        yield registry


@pytest.fixture(scope="session")
def model_registry_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelRegistryServer]:
    """Give a Model Registry."""
    with model_registry(tmp_path_factory.mktemp("model-registry")) as server:
        yield server


@pytest.fixture
def log_in(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> LogIn:
    """Give a function that logs in to registries and trusts their authorities; it returns the file it wrote."""

    def logged_in(*registries: Registry) -> Path:
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(isolated / "auth.json"))
        for registry in registries:
            if registry.ca_file:
                monkeypatch.setenv("SSL_CERT_FILE", str(registry.ca_file))
        return auth_file(isolated / "auth.json", *registries)

    return logged_in


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Give a function that makes file systems of their own, which are gone afterwards."""
    mounted: list[Path] = []

    def mount_tmpfs(name: str, megabytes: int, options: str = "rw") -> Path:
        place = tmp_path / name
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,{options}", "tmpfs", str(place)]
        subprocess.run(command, check=True)
        mounted.append(place)
        return place

    yield mount_tmpfs
    for place in reversed(mounted):
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Give a port at which nobody listens, and which nobody else can take."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
