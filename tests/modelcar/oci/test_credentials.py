"""Registry credentials, found in every file that people keep them in."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from modelcar import google_cloud, pod
from modelcar.errors import CredentialsError
from modelcar.oci import credentials
from modelcar.oci.credentials import Credentials

REGISTRY = "quay.io"
REPOSITORY = "team/models/granite"


def auth(username: str, password: str = "secret") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def write(path: Path, auths: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"auths": auths}))
    return path


def username() -> str:
    found = credentials.find(REGISTRY, REPOSITORY)
    return found.username if found else ""


@pytest.fixture
def home_file(isolated: Path) -> Path:
    return isolated / ".docker" / "config.json"


def test_nothing_is_found_on_an_empty_machine() -> None:
    assert credentials.find(REGISTRY, REPOSITORY) is None
    assert credentials.auth_files() == []


@pytest.mark.parametrize(
    ("place", "variable", "value"),
    [
        ("secrets/mirror/.dockerconfigjson", None, ""),
        ("mine.json", "REGISTRY_AUTH_FILE", "mine.json"),
        ("run/containers/auth.json", "XDG_RUNTIME_DIR", "run"),
        (".config/containers/auth.json", None, ""),
        ("configuration/containers/auth.json", "XDG_CONFIG_HOME", "configuration"),
        (".docker/config.json", None, ""),
        ("docker/config.json", "DOCKER_CONFIG", "docker"),
    ],
)
def test_each_file_is_found(
    place: str, variable: str | None, value: str, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(isolated / place, {REGISTRY: auth("me", "p:w")})
    if variable:
        monkeypatch.setenv(variable, str(isolated / value))

    found = credentials.find(REGISTRY, REPOSITORY)

    assert found == Credentials("me", "p:w", source=str(file))
    assert credentials.auth_files() == [file]


def test_a_variable_that_is_empty_names_no_folder(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.setenv(name, "")
    monkeypatch.chdir(tmp_path)
    # In the working directory, which may be anybody's.
    write(tmp_path / "config.json", {REGISTRY: auth("docker")})
    write(tmp_path / "containers/auth.json", {REGISTRY: auth("podman")})
    mine = write(isolated / ".docker/config.json", {REGISTRY: auth("mine")})
    assert credentials.auth_files() == [mine]


def test_first_file_that_knows_the_registry_wins(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(isolated / "mine.json"))
    write(isolated / ".docker/config.json", {REGISTRY: auth("docker")})
    write(isolated / ".config/containers/auth.json", {REGISTRY: auth("podman")})
    assert username() == "podman"

    write(isolated / "mine.json", {REGISTRY: auth("mine")})
    assert username() == "mine"

    write(isolated / "secrets/b/.dockerconfigjson", {REGISTRY: auth("second secret")})
    write(isolated / "secrets/a/.dockerconfigjson", {"other.example": auth("first secret")})
    assert username() == "second secret"


def test_longest_path_wins(home_file: Path) -> None:
    entries = {key: auth(key) for key in ("quay.io", "quay.io/team", "quay.io/team/models/granite", "quay.io/te")}
    for expected in ("quay.io/team/models/granite", "quay.io/team", "quay.io", ""):
        write(home_file, entries)
        assert username() == expected
        entries.pop(expected, None)


@pytest.mark.parametrize("key", ["https://quay.io", "http://quay.io/", "quay.io/v1/", "https://quay.io/v2/"])
def test_dockers_keys_are_understood(key: str, home_file: Path) -> None:
    write(home_file, {key: auth("me")})

    assert username() == "me"


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"])
def test_dockers_own_registry_is_found_under_each_of_its_names(key: str, host: str, home_file: Path) -> None:
    """Docker keeps the login to docker.io under the first key."""
    write(home_file, {key: auth("me")})

    found = credentials.find(host, "library/busybox")

    assert found is not None
    assert found.username == "me"


def test_another_port_is_another_registry(home_file: Path) -> None:
    write(home_file, {f"{REGISTRY}:5000": auth("me")})

    assert username() == ""


def test_rotated_file_is_read_again(home_file: Path) -> None:
    write(home_file, {REGISTRY: auth("old")})
    assert username() == "old"

    fresh = write(home_file.with_suffix(".new"), {REGISTRY: auth("new")})
    fresh.replace(home_file)

    assert username() == "new"


def test_plain_username_and_password_are_read(home_file: Path) -> None:
    write(home_file, {REGISTRY: {"username": "me", "password": "secret"}})

    found = credentials.find(REGISTRY, REPOSITORY)

    assert found is not None
    assert (found.username, found.password) == ("me", "secret")
    assert found.entry() == auth("me")


def test_identity_token_is_read_and_written(home_file: Path) -> None:
    token = {"auth": base64.b64encode(b"00000000-0000-0000-0000-000000000000:").decode(), "identitytoken": "long"}
    write(home_file, {REGISTRY: token})

    found = credentials.find(REGISTRY, REPOSITORY)

    assert found is not None
    assert found.identity_token == "long"
    assert found.entry()["identitytoken"] == "long"


def test_secrets_are_not_shown() -> None:
    shown = repr(Credentials("me", "hush", "hush-too"))

    assert "hush" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[1]",
        "1",
        "\ud800",
        '{"auths": [1]}',
        '{"auths": {"quay.io": "text"}}',
        '{"auths": {"quay.io": {"username": "u", "password": 7}}}',
        '{"auths": {"quay.io": {"identitytoken": ["x"]}}}',
        '{"auths": 7}',
        '// mine\n{"auths": {}}',
        '{"auths": {},}',
    ],
)
def test_malformed_file_is_named(text: str, home_file: Path) -> None:
    home_file.parent.mkdir()
    home_file.write_bytes(text.encode(errors="surrogatepass"))

    with pytest.raises(CredentialsError, match="is not a docker configuration") as raised:
        credentials.find(REGISTRY, REPOSITORY)

    assert str(home_file) in str(raised.value)


@pytest.mark.parametrize("value", ["no base64!", "bm9jb2xvbg==", "/////w==", 7, ["x"]])
def test_malformed_entry_is_named(value: object, home_file: Path) -> None:
    write(home_file, {REGISTRY: {"auth": value}})

    with pytest.raises(CredentialsError, match="is not base64 of user:password") as raised:
        credentials.find(REGISTRY, REPOSITORY)

    assert str(home_file) in str(raised.value)
    assert REGISTRY in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        *("", " \n", "null", "{}", '{"auths": null}', '{"auths": {}}', '{"auths": {"quay.io": {}}}'),
        *('{"auths": {"quay.io": null}}', '{"auths": {"quay.io": {"auth": null, "username": ""}}}', "[]"),
    ],
)
def test_file_without_logins_is_passed_over(text: str, home_file: Path, isolated: Path) -> None:
    write(isolated / ".config/containers/auth.json", {}).write_text(text)
    write(home_file, {REGISTRY: auth("me")})

    assert username() == "me"


@pytest.mark.parametrize(
    "other",
    [None, {}, {"auth": "!!!"}, {"username": "u", "password": 123}, {"auth": 1}, "text", 7, [], {"identitytoken": [1]}],
)
def test_what_is_wrong_with_other_logins_does_not_matter(other: object, home_file: Path) -> None:
    write(home_file, {"other.example": other, REGISTRY: auth("me"), f"{REGISTRY}/another": other})

    assert username() == "me"


@pytest.mark.parametrize(
    "more",
    [
        *({"credsStore": 1}, {"credsStore": None}, {"credHelpers": []}, {"credHelpers": None}, {"credHelpers": 7}),
        {"credHelpers": {"other.example": 1, REGISTRY: ""}},
        {"HttpHeaders": {"User-Agent": "x"}, "plugins": {"a": {"b": "c"}}, "detachKeys": "ctrl-a"},
    ],
)
def test_other_settings_do_not_matter(more: dict[str, Any], home_file: Path) -> None:
    write(home_file, {}).write_text(json.dumps({"auths": {REGISTRY: auth("me")}, **more}))

    assert username() == "me"


def test_names_have_no_case(home_file: Path) -> None:
    """Go, in which docker and podman are written, takes a field's name in any."""
    entry = {"Auth": auth("me")["auth"], "identityToken": "a-token"}
    write(home_file, {}).write_text(json.dumps({"Auths": {REGISTRY: entry}}))

    found = credentials.find(REGISTRY, REPOSITORY)

    assert found is not None
    assert (found.username, found.identity_token) == ("me", "a-token")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_files_of_windows_and_of_other_times_are_read(encoding: str, home_file: Path) -> None:
    text = f'{{"note": "\xe9", "auths": {{"{REGISTRY}": {json.dumps(auth("me"))}}}}}'
    write(home_file, {}).write_bytes(text.encode(encoding))

    assert username() == "me"


def test_pods_own_token_opens_openshifts_registry(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = isolated / "account"
    account.mkdir()
    (account / "token").write_text("one\n")
    monkeypatch.setattr(pod, "SERVICE_ACCOUNT", account)
    internal = f"{pod.OPENSHIFT_REGISTRY}:5000"

    found = credentials.find(internal, REPOSITORY)
    (account / "token").write_text("two\n")
    rotated = credentials.find(internal, REPOSITORY)

    assert found is not None
    assert rotated is not None
    assert (found.password, rotated.password, found.source) == ("one", "two", str(account / "token"))
    assert credentials.find(REGISTRY, REPOSITORY) is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "was not found"),
        ("a key", "is not a valid json file"),
        ("[]", "another form"),
        ('{"type": "service_account"}', "Failed to load service account credentials"),
        ("", "Is a directory"),
    ],
)
def test_login_to_google_cloud_that_is_none_is_named(
    content: str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key.json"
    if content:
        file.write_text(content)
    elif content is not None:
        file.mkdir()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    google_cloud.account.cache_clear()
    with pytest.raises(CredentialsError, match=f"^{file}, which GOOGLE_APPLICATION_CREDENTIALS names, is no.*{why}"):
        credentials.find("europe-docker.pkg.dev", REPOSITORY)
