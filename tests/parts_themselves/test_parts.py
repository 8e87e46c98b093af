"""The real parts, judged by real clients: skopeo, requests and Model Registry's own Python client."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from urllib.request import parse_http_list, parse_keqv_list

import pytest
import requests
from model_registry import ModelRegistry
from modelcar_base_image.embedded_oci_layout import embedded_oci_layout

from tests.parts.go_programs import BuildError
from tests.parts.model_registry import ModelRegistryServer, model_registry, server_program
from tests.parts.process import StartError, listening, running
from tests.parts.registries import (
    BasicAuthRegistry,
    Registry,
    TokenAuthRegistry,
    auth_file,
    registry_plain,
    registry_with_basic_auth,
    registry_with_token_auth,
)
from tests.parts.shaping_proxy import ShapingProxy
from tests.parts.skopeo.program import run_skopeo

ROOT = Path(__file__).parents[2]
Start = Callable[[Path], AbstractContextManager[Registry]]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout = tmp_path_factory.mktemp("image")
    embedded_oci_layout(layout)
    return layout


@pytest.fixture(params=["plain_registry", "basic_registry", "token_registry"])
def registry(request: pytest.FixtureRequest) -> Registry:
    running_registry: Registry = request.getfixturevalue(request.param)
    return running_registry


@pytest.fixture(params=["basic_registry", "token_registry"])
def guarded(request: pytest.FixtureRequest) -> Registry:
    guarded_registry: Registry = request.getfixturevalue(request.param)
    return guarded_registry


def push(image: Path, registry: Registry, name: str, authfile: Path) -> subprocess.CompletedProcess[str]:
    options = [f"--dest-authfile={authfile}", *registry.tls_options("dest-")]
    return run_skopeo("copy", "--quiet", "--all", *options, f"oci:{image}:latest", f"docker://{registry.host}/{name}")


def inspect(registry: Registry, name: str, authfile: Path) -> subprocess.CompletedProcess[str]:
    options = [f"--authfile={authfile}", *registry.tls_options(), "--format={{.Digest}}"]
    return run_skopeo("inspect", *options, f"docker://{registry.host}/{name}")


def digest(image: Path) -> str:
    return run_skopeo("inspect", "--format={{.Digest}}", f"oci:{image}:latest").stdout


def test_pushed_image_is_read_back(registry: Registry, image: Path, tmp_path: Path) -> None:
    authfile = auth_file(tmp_path / "auth.json", registry)

    pushed = push(image, registry, "models/read-back:1", authfile)
    read = inspect(registry, "models/read-back:1", authfile)

    assert pushed.returncode == 0, pushed.stderr
    assert read.stdout == digest(image) != ""


def test_wrong_password_is_refused(guarded: Registry, image: Path, tmp_path: Path) -> None:
    credentials = f"{guarded.username}:wrong"
    target = f"docker://{guarded.host}/models/refused:1"

    pushed = run_skopeo(
        "copy", f"--dest-creds={credentials}", *guarded.tls_options("dest-"), f"oci:{image}:latest", target
    )

    assert pushed.returncode != 0
    assert "unauthorized" in pushed.stderr or "authentication required" in pushed.stderr
    assert not (guarded.storage / "docker/registry/v2/repositories/models/refused").exists()


def test_missing_credentials_are_refused(guarded: Registry, tmp_path: Path) -> None:
    response = requests.get(f"{guarded.url}/v2/", verify=str(guarded.ca_file) if guarded.ca_file else None)

    assert response.status_code == 401
    assert inspect(guarded, "models/any:1", auth_file(tmp_path / "auth.json")).returncode != 0


def test_one_auth_file_serves_two_registries(
    basic_registry: BasicAuthRegistry, token_registry: TokenAuthRegistry, image: Path, tmp_path: Path
) -> None:
    authfile = auth_file(tmp_path / "auth.json", basic_registry, token_registry)
    assert push(image, basic_registry, "models/copied:1", authfile).returncode == 0

    copied = run_skopeo(
        *[
            "copy",
            "--all",
            f"--authfile={authfile}",
            *basic_registry.tls_options("src-"),
            *token_registry.tls_options("dest-"),
        ],
        *[f"docker://{basic_registry.host}/models/copied:1", f"docker://{token_registry.host}/models/copied:1"],
    )

    assert copied.returncode == 0, copied.stderr
    assert inspect(token_registry, "models/copied:1", authfile).stdout == digest(image)


def test_unknown_authority_is_refused(token_registry: TokenAuthRegistry, tmp_path: Path) -> None:
    authfile = auth_file(tmp_path / "auth.json", token_registry)

    read = run_skopeo("inspect", f"--authfile={authfile}", f"docker://{token_registry.host}/models/any:1")

    assert read.returncode != 0
    assert "x509" in read.stderr


@pytest.mark.parametrize("start", [registry_with_basic_auth, registry_with_token_auth])
def test_rotated_password_replaces_the_old_one(start: Start, image: Path, tmp_path: Path) -> None:
    with start(tmp_path / "registry") as registry:
        assert isinstance(registry, BasicAuthRegistry | TokenAuthRegistry)
        old = auth_file(tmp_path / "old.json", registry)
        assert push(image, registry, "models/rotated:1", old).returncode == 0

        registry.rotate()

        assert inspect(registry, "models/rotated:1", old).returncode != 0
        assert inspect(registry, "models/rotated:1", auth_file(old, registry)).stdout == digest(image)


def test_identity_token_is_taken(token_registry: TokenAuthRegistry, image: Path, tmp_path: Path) -> None:
    by_token = replace(token_registry, by_identity_token=True)
    authfile = auth_file(tmp_path / "auth.json", by_token)
    assert token_registry.token_server
    token_registry.token_server.forms.clear()

    pushed = push(image, token_registry, "models/by-identity:1", authfile)

    assert pushed.returncode == 0, pushed.stderr
    assert {form["grant_type"] for form in token_registry.token_server.forms} == {"refresh_token"}


def fetch_token(registry: TokenAuthRegistry, repository: str, password: str | None = None) -> requests.Response:
    realm, service = bearer_challenge(registry, repository)
    return requests.get(
        realm,
        params={"service": service, "scope": f"repository:{repository}:pull"},
        auth=(registry.username or "", password or registry.password or ""),
        verify=str(registry.ca_file),
    )


def bearer_challenge(registry: TokenAuthRegistry, repository: str) -> tuple[str, str]:
    response = requests.get(f"{registry.url}/v2/{repository}/tags/list", verify=str(registry.ca_file))
    challenge = parse_keqv_list(parse_http_list(response.headers["WWW-Authenticate"].removeprefix("Bearer ")))
    assert challenge["scope"] == f"repository:{repository}:pull"
    return challenge["realm"], challenge["service"]


def tags_status(registry: TokenAuthRegistry, repository: str, token: str) -> int:
    return requests.get(
        f"{registry.url}/v2/{repository}/tags/list",
        headers={"Authorization": f"Bearer {token}"},
        verify=str(registry.ca_file),
    ).status_code


def test_token_ends_after_its_lifetime(tmp_path: Path) -> None:
    with registry_with_token_auth(tmp_path, token_lifetime=2) as registry:
        seconds = 2.0
        while seconds > 1.0:
            # A busy machine may need longer for both than a token lives.
            begun = time.monotonic()
            answer = fetch_token(registry, "models/none").json()
            status = tags_status(registry, "models/none", answer["token"])
            seconds = time.monotonic() - begun
        # The repository does not exist: 404 says that the token was accepted.
        assert status == 404

        time.sleep(3.5)

        assert answer["expires_in"] == 2
        assert tags_status(registry, "models/none", answer["token"]) == 401
        assert tags_status(registry, "models/none", fetch_token(registry, "models/none").json()["token"]) == 404


def test_token_is_good_for_its_scope_only(token_registry: TokenAuthRegistry) -> None:
    token = fetch_token(token_registry, "models/mine").json()["token"]

    assert tags_status(token_registry, "models/mine", token) == 404
    assert tags_status(token_registry, "models/theirs", token) == 401


def test_issued_tokens_are_counted(tmp_path: Path) -> None:
    with registry_with_token_auth(tmp_path) as registry:
        assert fetch_token(registry, "models/any", password="wrong").status_code == 401
        assert registry.tokens_issued == 0

        assert fetch_token(registry, "models/any").status_code == 200
        assert registry.tokens_issued == 1


def test_requests_of_a_push_are_logged(image: Path, tmp_path: Path) -> None:
    with registry_plain(tmp_path / "registry") as registry:
        assert push(image, registry, "models/logged:1", auth_file(tmp_path / "auth.json")).returncode == 0
        first = registry.requests()
        assert push(image, registry, "models/logged:1", auth_file(tmp_path / "auth.json")).returncode == 0
        second = registry.requests()[len(first) :]

    answered = [(request.method, request.status) for request in first]
    assert ("PUT", 201, "/v2/models/logged/manifests/1") in [(r.method, r.status, r.path) for r in first]
    assert answered.count(("PATCH", 202)) == answered.count(("POST", 202)) > 0
    assert "PATCH" not in [request.method for request in second]


def test_logged_size_is_the_answers(image: Path, tmp_path: Path) -> None:
    with registry_plain(tmp_path / "registry") as registry:
        assert push(image, registry, "models/sized:1", auth_file(tmp_path / "auth.json")).returncode == 0
        manifest = requests.get(
            f"{registry.url}/v2/models/sized/manifests/1",
            headers={"Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"},
        )
        last = registry.requests()[-1]

    assert manifest.status_code == 200
    assert (last.method, last.status, last.size) == ("GET", 200, len(manifest.content))


def test_image_can_be_deleted(image: Path, tmp_path: Path) -> None:
    authfile = auth_file(tmp_path / "auth.json")
    with registry_plain(tmp_path / "registry") as registry:
        assert push(image, registry, "models/deleted:1", authfile).returncode == 0

        deleted = run_skopeo("delete", *registry.tls_options(), f"docker://{registry.host}/models/deleted:1")

        assert deleted.returncode == 0, deleted.stderr
        assert inspect(registry, "models/deleted:1", authfile).returncode != 0


def test_two_registries_share_nothing(image: Path, tmp_path: Path) -> None:
    authfile = auth_file(tmp_path / "auth.json")
    with registry_plain(tmp_path / "one") as one, registry_plain(tmp_path / "two") as two:
        assert push(image, one, "models/apart:1", authfile).returncode == 0

        assert inspect(one, "models/apart:1", authfile).returncode == 0
        assert inspect(two, "models/apart:1", authfile).returncode != 0


def client(server: ModelRegistryServer) -> ModelRegistry:
    return ModelRegistry(server.address, server.port, author="tests", is_secure=False)


def register(server: ModelRegistryServer, name: str) -> None:
    client(server).register_model(
        name,
        "oci://registry.example/models/granite:1",
        version="1",
        model_format_name="safetensors",
        model_format_version="1",
        metadata={"license": "apache-2.0"},
    )


def test_registered_model_is_read_back(model_registry_server: ModelRegistryServer) -> None:
    register(model_registry_server, "read-back")

    read = client(model_registry_server)
    version = read.get_model_version("read-back", "1")
    artifact = read.get_model_artifact("read-back", "1")

    assert version is not None
    assert artifact is not None
    assert version.custom_properties == {"license": "apache-2.0"}
    assert artifact.uri == "oci://registry.example/models/granite:1"


def test_two_model_registries_share_nothing(model_registry_server: ModelRegistryServer, tmp_path: Path) -> None:
    register(model_registry_server, "apart")

    with model_registry(tmp_path) as other:
        assert client(model_registry_server).get_registered_model("apart") is not None
        assert client(other).get_registered_model("apart") is None


def test_server_is_built_once(model_registry_server: ModelRegistryServer) -> None:
    program = server_program()
    built = program.stat()

    assert server_program().stat().st_ino == built.st_ino


def test_missing_go_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    with pytest.raises(BuildError, match=r"Go 1\.\d+ or newer is needed"):
        server_program()


def test_too_old_go_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go version go1.19.8 linux/amd64\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    with pytest.raises(BuildError, match=r"Go 1\.\d+ or newer is needed"):
        server_program()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    # A zombie has ended; it only waits for a parent, which in a container may never ask.
    return state != "Z"


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(descendant for child in children for descendant in family(int(child)))]


def refuses_connections(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("start", [registry_plain, registry_with_basic_auth, registry_with_token_auth])
def test_left_registry_is_gone(start: Start, tmp_path: Path) -> None:
    with start(tmp_path / "registry") as registry:
        ports = [int(registry.host.rpartition(":")[2])]
        if isinstance(registry, TokenAuthRegistry) and registry.token_server:
            ports.append(registry.token_server.server_port)
        assert alive(registry.pid)
        assert not any(map(refuses_connections, ports))

    assert not alive(registry.pid)
    assert all(map(refuses_connections, ports))


def test_left_model_registry_is_gone(tmp_path: Path) -> None:
    with model_registry(tmp_path) as server:
        processes = [server.pid, *family(server.database.pid)]
        assert len(processes) > 2
        assert all(map(alive, processes))

    assert not any(map(alive, processes))
    assert refuses_connections(server.port)
    assert not server.database.cluster.exists()


SLEEPER = """
import sys, time
from pathlib import Path
from tests.parts.model_registry import model_registry
from tests.parts.registries import registry_with_token_auth
folder = Path(sys.argv[1])
with registry_with_token_auth(folder / "registry") as registry, model_registry(folder / "server") as server:
    print(registry.pid, server.pid, server.database.pid, server.database.cluster, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("killer", [signal.SIGKILL, signal.SIGTERM])
def test_killed_test_run_leaves_no_orphan(killer: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLEEPER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        *pids, cluster = owner.stdout.readline().split()
        processes = [process for pid in pids for process in family(int(pid))]
        assert len(processes) > len(pids) == 3
        assert all(map(alive, processes))
        owner.send_signal(killer)
        owner.wait()

    deadline = time.monotonic() + 600
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, processes))
    # Only the killed run knew of it.
    shutil.rmtree(cluster)


def test_server_that_ignores_the_stop_signal_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tests.parts.process.STOP_SECONDS", 0.2)
    stubborn = ["sh", "-c", "trap '' TERM; echo deaf; while true; do sleep 0.1; done"]
    with running(stubborn, log=tmp_path / "log") as process:
        while "deaf" not in (tmp_path / "log").read_text():
            time.sleep(0.01)

    assert process.returncode == -signal.SIGKILL


def test_failed_start_shows_the_log(tmp_path: Path) -> None:
    configuration = tmp_path / "config.yml"
    configuration.write_text("version: 0.1\nstorage: {nowhere: {}}\n")
    command = ["docker-registry", "serve", str(configuration)]

    with (
        pytest.raises(StartError, match=r"docker-registry ended with status \d+(.|\n)*nowhere"),
        listening(command, answers=bool, log=tmp_path / "log"),
    ):
        pass


def test_missing_program_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(StartError, match="no-such-server is not installed"),
        running(["no-such-server"], log=tmp_path / "log"),
    ):
        pass


def test_bytes_come_no_faster_than_a_line_and_its_links(tmp_path: Path) -> None:
    with (
        registry_plain(tmp_path) as registry,
        ShapingProxy(registry.host, rate=8 << 20, connection_rate=4 << 20) as far,
    ):
        upload = requests.post(f"http://{far.host}/v2/far/away/blobs/uploads/", timeout=600).headers["Location"]
        assert upload.startswith(f"http://{far.host}/")
        begun = time.monotonic()
        assert requests.patch(upload, data=bytes(3 << 20), timeout=600).headers["Range"] == f"0-{(3 << 20) - 1}"
        assert time.monotonic() - begun > 0.7
