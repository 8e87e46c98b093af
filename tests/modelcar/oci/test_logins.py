"""Logins that are kept elsewhere than in a file: helpers, stores, and the account that a cloud gives a pod."""

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from modelcar.errors import CredentialsError
from modelcar.oci import cloud_identity, credential_helpers, credentials
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from tests.parts.registries import BasicAuthRegistry

ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder of programs that comes first on the PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def helper(programs: Path, name: str, script: str) -> Path:
    """Write a helper; what it was asked stands beside it."""
    program = programs / f"docker-credential-{name}"
    program.write_text(f'#!/bin/sh\nread server\necho "$1 $server" >> {program}.asked\n{script}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def answering(username: str, secret: str = "secret") -> str:
    return f"""echo '{json.dumps({"ServerURL": "x", "Username": username, "Secret": secret})}'"""


def asked(program: Path) -> list[str]:
    file = program.with_name(f"{program.name}.asked")
    return file.read_text().splitlines() if file.exists() else []


def write(home: Path, document: dict[str, Any]) -> Path:
    file = home / ".docker" / "config.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))
    return file


def test_helper_of_a_registry_comes_before_the_file(programs: Path, isolated: Path) -> None:
    program = helper(programs, "ecr-login", answering("AWS"))
    write(isolated, {"credHelpers": {ECR: "ecr-login"}, "auths": {ECR: {"auth": "dTpw"}, "quay.io": {"auth": "dTpw"}}})

    found, other = credentials.find(ECR, "team/model"), credentials.find("quay.io", "team/model")

    assert found is not None
    assert (found.username, found.password, found.source) == ("AWS", "secret", "docker-credential-ecr-login")
    assert other is not None
    assert other.username == "u"
    assert asked(program) == [f"get {ECR}"]


@pytest.mark.parametrize(
    ("registry", "auths", "server"),
    [
        ("quay.io", {"quay.io": {}}, "quay.io"),
        ("docker.io", {"https://index.docker.io/v1/": {}}, "https://index.docker.io/v1/"),
        ("docker.io", {}, "https://index.docker.io/v1/"),
        ("registry.example", {"https://registry.example": {}}, "https://registry.example"),
    ],
)
def test_store_holds_what_docker_login_put_there(
    registry: str, auths: dict[str, Any], server: str, programs: Path, isolated: Path
) -> None:
    program = helper(programs, "desktop", answering("me"))
    write(isolated, {"credsStore": "desktop", "auths": auths})

    found = credentials.find(registry, "team/model")

    assert found is not None
    assert found.username == "me"
    assert asked(program) == [f"get {server}"]


def test_identity_token_of_a_store(programs: Path, isolated: Path) -> None:
    helper(programs, "desktop", answering("<token>", "a-token"))
    write(isolated, {"credsStore": "desktop", "auths": {"quay.io": {}}})

    found = credentials.find("quay.io", "team/model")

    assert found is not None
    assert (found.identity_token, found.password) == ("a-token", "")


@pytest.mark.parametrize(
    "script",
    [
        "echo 'credentials not found in native keychain'; exit 1",
        "echo 'no credentials server URL' >&2; exit 1",
        answering("", ""),
    ],
)
def test_store_without_a_login_is_none(script: str, programs: Path, isolated: Path) -> None:
    helper(programs, "desktop", script)
    write(isolated, {"credsStore": "desktop", "auths": {"quay.io": {}}})

    assert credentials.find("quay.io", "team/model") is None


def test_login_in_the_file_beside_a_store_counts(isolated: Path) -> None:
    write(isolated, {"credsStore": "desktop", "auths": {"quay.io": {"auth": "dTpw"}}})

    found = credentials.find("quay.io", "team/model")

    assert found is not None
    assert found.username == "u"


def test_store_that_is_not_here_is_named_only_where_a_login_is_in_it(isolated: Path) -> None:
    file = write(isolated, {"credsStore": "desktop", "auths": {"quay.io": {}}})

    assert credentials.find("ghcr.io", "team/model") is None
    with pytest.raises(CredentialsError, match=rf"{file} keeps the login to quay.io in docker-credential-desktop"):
        credentials.find("quay.io", "team/model")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'the keychain is locked'; exit 1", "the keychain is locked"),
        ("echo nonsense", "answered with what is no login"),
        ("echo '[1]'", "answered with what is no login"),
        ("""echo '{"Username": 7, "Secret": [1]}'""", "answered with what is no login"),
    ],
)
def test_helper_that_fails_is_named(script: str, words: str, programs: Path, isolated: Path) -> None:
    helper(programs, "pass", script)
    write(isolated, {"credHelpers": {"quay.io": "pass"}})

    with pytest.raises(CredentialsError, match=words):
        credentials.find("quay.io", "team/model")


@pytest.mark.parametrize(
    "script",
    [
        f"echo 'WARNING: the token ends soon'; {answering('me')}",
        f"echo '{{not json}}'; {answering('me')}",
        f"{answering('me')}; echo 'a newer version is there'",
        f"echo 'gcloud is old' >&2; {answering('me')}",
        """echo '{"username": "me", "secret": "secret"}'""",
        """printf '\\n{\\n "ServerURL": "x",\\n "Username": "me",\\n "Secret": "secret"\\n}\\n'""",
    ],
)
def test_helper_that_prints_more_than_its_answer(script: str, programs: Path, isolated: Path) -> None:
    helper(programs, "pass", script)
    write(isolated, {"credHelpers": {"quay.io": "pass"}})

    found = credentials.find("quay.io", "team/model")

    assert found is not None
    assert (found.username, found.password) == ("me", "secret")


@pytest.mark.parametrize("program", ["", "#!/nowhere/sh", "\x7fELF"])
def test_helper_that_cannot_be_run_is_named(program: str, programs: Path, isolated: Path) -> None:
    helper(programs, "pass", "").write_text(program)
    write(isolated, {"credHelpers": {"quay.io": "pass"}})

    with pytest.raises(CredentialsError, match=r"docker-credential-pass, which .* names, "):
        credentials.find("quay.io", "team/model")


def test_helper_that_does_not_answer_is_ended(programs: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential_helpers, "ANSWER_SECONDS", 0.5)
    helper(programs, "pass", "sleep 100")
    write(isolated, {"credHelpers": {"quay.io": "pass"}})

    with pytest.raises(CredentialsError, match="did not answer within"):
        credentials.find("quay.io", "team/model")


@pytest.mark.parametrize("name", ["../../bin/sh", "a/b", "-x", "a b", "$(id)"])
def test_only_names_of_helpers_are_run(name: str, isolated: Path) -> None:
    write(isolated, {"credHelpers": {"quay.io": name}})

    with pytest.raises(CredentialsError, match="no name of a program"):
        credentials.find("quay.io", "team/model")


def test_helpers_that_nobody_names_are_not_run(programs: Path, isolated: Path) -> None:
    program = helper(programs, "desktop", answering("me"))
    write(isolated, {"auths": {"quay.io": {}}})

    assert credentials.find("quay.io", "team/model") is None
    assert asked(program) == []


def test_helper_of_registries_conf_is_asked(programs: Path, isolated: Path) -> None:
    helper(programs, "secretservice", answering("me"))
    file = isolated / ".config" / "containers" / "registries.conf"
    file.parent.mkdir(parents=True)
    file.write_text('credential-helpers = ["containers-auth.json", "secretservice"]\n')

    found = credentials.find("quay.io", "team/model")

    assert found is not None
    assert found.username == "me"


def test_answer_is_kept_for_a_while_and_dropped_when_refused(
    programs: Path, isolated: Path, basic_registry: BasicAuthRegistry
) -> None:
    """A password is needed for each request; one that has changed is asked for anew."""
    program = helper(programs, "pass", answering("modelcar", "old"))
    write(isolated, {"credHelpers": {basic_registry.host: "pass"}})
    reference = Reference.parse(f"{basic_registry.host}/logins/model:1")
    with Repository(reference) as repository, pytest.raises(CredentialsError, match="docker-credential-pass"):
        repository.find_manifest("1")
    helper(programs, "pass", answering("modelcar", str(basic_registry.password)))

    with Repository(reference) as repository:
        for _ in range(5):
            assert repository.find_manifest("1") is None

    assert len(asked(program)) < 8


@pytest.mark.parametrize(
    ("registry", "name", "variable"),
    [
        (ECR, "ecr-login", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        (ECR, "ecr-login", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ("public.ecr.aws", "ecr-login", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "ecr-login", "AWS_PROFILE"),
        ("team.azurecr.io", "acr-env", "AZURE_FEDERATED_TOKEN_FILE"),
    ],
)
def test_account_of_the_cloud_logs_in_without_a_secret(
    registry: str, name: str, variable: str, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cloud in cloud_identity._CLOUDS:
        for one in cloud.variables:
            monkeypatch.delenv(one, raising=False)
    program = helper(programs, name, answering("AWS"))
    assert credentials.find(registry, "team/model") is None
    monkeypatch.setenv(variable, "set")

    found = credentials.find(registry, "team/model")

    assert found is not None
    assert found.username == "AWS"
    assert asked(program) == [f"get {registry}"]
    assert credentials.find("evil.example", "x") is None


def test_missing_helper_of_a_cloud_is_in_the_remedy() -> None:
    assert cloud_identity.missing_helper(ECR) == "docker-credential-ecr-login"
    assert cloud_identity.missing_helper("quay.io") == ""


@pytest.mark.parametrize("text", ["dTpw\n", "dT\npw", " dTpw ", "dT\r\npw\r\n"])
def test_line_ends_in_base64_are_passed_over(text: str, isolated: Path) -> None:
    """Go's base64 does so; `base64` wraps at 76 columns."""
    write(isolated, {"auths": {"quay.io": {"auth": text}}})

    found = credentials.find("quay.io", "team/model")

    assert found is not None
    assert (found.username, found.password) == ("u", "p")


@pytest.mark.parametrize(
    "auths",
    [
        {"quay.io": {}, "https://quay.io/v2/": {"auth": "dTpw"}},
        {"https://quay.io": {"auth": ""}, "quay.io": {"auth": "dTpw"}},
        {"https://quay.io/v1/": {"auth": "eDp4"}, "quay.io": {"auth": "dTpw"}},
        {"QUAY.IO": {"auth": "dTpw"}},
        {"quay.io/other": {"auth": "eDp4"}, "http://quay.io": {"username": "u", "password": "p"}},
    ],
)
def test_one_host_may_stand_there_several_times(auths: dict[str, Any], isolated: Path) -> None:
    write(isolated, {"auths": auths})

    found = credentials.find("quay.io", "team/model")

    assert found is not None
    assert (found.username, found.password) == ("u", "p")


def test_older_kind_of_secret_is_read(isolated: Path) -> None:
    """Of type kubernetes.io/dockercfg, as OpenShift makes them for service accounts."""
    file = isolated / "secrets" / "old" / ".dockercfg"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"quay.io": {"auth": "dTpw"}}))

    found = credentials.find("quay.io", "team/model")

    assert found is not None
    assert (found.username, found.source) == ("u", str(file))


def test_helpers_answer_is_kept_no_longer_than_it_may(
    programs: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = helper(programs, "pass", answering("me"))
    write(isolated, {"credHelpers": {"quay.io": "pass"}})
    credentials.find("quay.io", "a")
    credentials.find("quay.io", "b")
    assert len(asked(program)) == 1
    later = time.monotonic() + credential_helpers.KEPT_SECONDS + 1
    monkeypatch.setattr("modelcar.oci.credential_helpers.time.monotonic", lambda: later)

    credentials.find("quay.io", "a")

    assert len(asked(program)) == 2
