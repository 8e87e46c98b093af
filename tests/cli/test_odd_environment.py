"""Variables, paths, addresses and tokens that cannot be used: a line with its remedy, and nothing else on stdout."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelcar.errors import ModelRegistryError
from modelcar.model_registry import check_write
from tests.parts.command import modelcar
from tests.parts.hub import Hub
from tests.parts.other_account import WITHOUT_RIGHTS
from tests.parts.registries import Registry
from tests.parts.steps import stream

ROOT = Path(__file__).parents[2]
PLAN = ["plan", "a/b", "--here", "--json"]
INSPECT = ["inspect", "registry.example/a/b:1", "--json"]
STATUS = ["status", "--server", "https://pipelines.example", "--json"]
SOCKS, NO_PROXY = "the environment names a SOCKS proxy", "the proxy that the environment names is no address"
BAD_PROXY = "http://user:secret%@[::/"


def run(
    *words: str | Path, without: tuple[str, ...] = (), **variables: str | None
) -> "subprocess.CompletedProcess[str]":
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    env |= {name: value for name, value in variables.items() if value is not None}
    for name in (name for name, value in variables.items() if value is None):
        env.pop(name, None)
    return subprocess.run(
        [*without, sys.executable, "-m", "modelcar", *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=env,
    )


def holds_one_line(done: "subprocess.CompletedProcess[str]", says: str, *, code: int = 1) -> None:
    assert "Traceback" not in done.stderr
    assert says in done.stderr
    assert done.returncode == code
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == done.stderr.splitlines()[-1:]
    assert done.stdout == "" or json.loads(done.stdout)


@pytest.mark.parametrize(
    ("command", "variables", "says"),
    [
        (PLAN, {"HF_ENDPOINT": "http://["}, "HF_ENDPOINT is 'http://[', which is no address. Write it as"),
        (PLAN, {"HF_ENDPOINT": "http://a:b"}, "HF_ENDPOINT is 'http://a:b', which is no address"),
        (["doctor", "--json"], {"HF_ENDPOINT": "hub"}, "HF_ENDPOINT is 'hub', which is no address"),
        (PLAN, {"HF_HUB_DOWNLOAD_TIMEOUT": "x"}, "HF_HUB_DOWNLOAD_TIMEOUT is 'x', and not a number of seconds"),
        (INSPECT, {"HF_HUB_ETAG_TIMEOUT": "1.5"}, "HF_HUB_ETAG_TIMEOUT is '1.5', and not a number of seconds"),
        (PLAN, {"HF_TOKEN_PATH": "/tmp"}, "the Hub's token /tmp cannot be read: Is a directory. Name its file"),
        (PLAN, {"HF_TOKEN": "tok→en"}, "the Hub's token has letters that no token has. Log in again"),
        (PLAN, {"HTTPS_PROXY": "socks5://127.0.0.1:1"}, f"{SOCKS}, and those are not spoken to. Name an HTTP proxy"),
        (PLAN, {"ALL_PROXY": "socks5h://127.0.0.1:1"}, SOCKS),
        (PLAN, {"HTTPS_PROXY": "ftp://127.0.0.1:1"}, NO_PROXY),
        (PLAN, {"HTTPS_PROXY": BAD_PROXY}, NO_PROXY),
        (INSPECT, {"HTTPS_PROXY": "socks5://127.0.0.1:1"}, SOCKS),
        (INSPECT, {"HTTPS_PROXY": BAD_PROXY}, NO_PROXY),
        (INSPECT, {"https_proxy": "http://"}, NO_PROXY),
        (STATUS, {"ALL_PROXY": "socks4://127.0.0.1:1"}, SOCKS),
        (["plan", "s3://bucket/folder", "--here", "--json"], {"HTTPS_PROXY": "socks5://127.0.0.1:1"}, SOCKS),
        (PLAN, {"SSL_CERT_FILE": "/nope"}, "/nope, which SSL_CERT_FILE names, cannot be used: [Errno 2]"),
        (PLAN, {"SSL_CERT_FILE": "/tmp"}, "/tmp, which SSL_CERT_FILE names, cannot be used: [Errno 21]"),
        (PLAN, {"SSL_CERT_FILE": __file__}, "which SSL_CERT_FILE names, cannot be used: [X509"),
        (STATUS, {"SSL_CERT_FILE": "/nope"}, "the authorities' file /nope cannot be read: [Errno 2] No such file"),
        (STATUS, {"KFP_EXISTING_TOKEN": "tok\nen"}, "what is in KFP_EXISTING_TOKEN is no token"),
        (STATUS, {"KFP_EXISTING_TOKEN": "tok→en"}, "what is in KFP_EXISTING_TOKEN is no token"),
        (STATUS, {"KF_PIPELINES_SA_TOKEN_PATH": sys.executable}, f"what is in {sys.executable} is no token"),
        (STATUS, {"KF_PIPELINES_SA_TOKEN_PATH": "/tmp"}, "the token file /tmp cannot be read: Is a directory"),
        (
            ["plan", "s3://bucket/folder", "--here", "--json"],
            {"AWS_S3_ENDPOINT": "http://["},
            "'http://[' is not the address of an S3 server. Write AWS_S3_ENDPOINT=https://host",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, Mapping) else None,
)
def test_a_variable_that_cannot_be_used_is_one_line(command: list[str], variables: dict[str, str], says: str) -> None:
    done = run(*command, **{"HTTPS_PROXY": None, "ALL_PROXY": None, **variables})

    holds_one_line(done, says)
    assert "secret" not in done.stderr + done.stdout


def test_proxies_that_nothing_goes_by_do_not_matter(hub: Hub, model: Path, plain_registry: Registry) -> None:
    hub.publish("example/tiny-llama", model)
    image = stream("example/tiny-llama", f"{plain_registry.host}/proxied/tiny:1").image

    socks = {"ALL_PROXY": "socks5://127.0.0.1:1", "HTTP_PROXY": "socks5://127.0.0.1:1"}
    assert run("inspect", str(image), "--offline", **socks, NO_PROXY="127.0.0.1").returncode == 0
    assert run("inspect", str(image), HF_ENDPOINT=hub.url, **socks, NO_PROXY="*").returncode == 0


def test_a_claim_that_may_not_be_entered_is_one_line(model: Path, tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0)
    claim = str(tmp_path / "shut" / "claim")
    done = run("plan", model, "--here", "--json", without=WITHOUT_RIGHTS, MODELCAR_CLAIM=claim)
    (tmp_path / "shut").chmod(0o700)
    holds_one_line(done, f"the claim cannot be written: {claim}: Permission denied. Mount it read-write")


@pytest.mark.parametrize("name", ["HF_ENDPOINT", "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"])
def test_a_variable_that_is_empty_is_none(name: str) -> None:
    program = "from modelcar.hub.client import Hub; print(Hub().endpoint)"
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT), name: ""}
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, env=env)
    assert (done.stdout, done.stderr) == ("https://huggingface.co\n", "")


@pytest.mark.usefixtures("hub")
def test_a_home_that_is_no_folder_has_no_token() -> None:
    program = "from modelcar.hub.identity import identity_headers; print(sorted(identity_headers()))"
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT), "HF_HOME": "/dev/null"}
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, env=env)
    assert (done.stdout, done.stderr) == ("['user-agent']\n", "")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["downloads", "--claim", "~nouser/x"], 1, "~nouser/x cannot be found: there is no user nouser with a home"),
        (["presets", "show", "~nouser/x.yaml"], 2, "~nouser/x.yaml cannot be found"),
        (["plan", "--preset", "~nouser/x.yaml"], 2, "Write all of the path, from / on"),
        (["status", "--server", "https://["], 1, "'https://[' is not the address of a server. Write --server https://"),
        (["status", "--server", "https://localhost:abc"], 1, "'https://localhost:abc' is not the address of a server"),
    ],
)
def test_a_path_or_an_address_that_is_none_is_one_line(words: list[str], code: int, says: str) -> None:
    done = modelcar(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("MODEL_REGISTRY_TOKEN", "tok→en", "what is in MODEL_REGISTRY_TOKEN is no token"),
        ("MODEL_REGISTRY_TOKEN_PATH", sys.executable, f"what is in {sys.executable} is no token"),
        ("KF_PIPELINES_SA_TOKEN_PATH", sys.executable, f"what is in {sys.executable} is no token"),
        ("SSL_CERT_FILE", "/nope", "/nope, which SSL_CERT_FILE names, cannot be used"),
        ("HTTPS_PROXY", BAD_PROXY, NO_PROXY),
    ],
)
def test_a_model_registry_is_not_blamed_for_what_is_ours(
    variable: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable in ("SSL_CERT_FILE", "HTTPS_PROXY"):
        monkeypatch.setenv("MODEL_REGISTRY_TOKEN", "token")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ModelRegistryError, match=says):
        check_write("https://registry.example")


def test_a_folder_of_presets_below_no_home_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELCAR_PRESETS", "~nouser/x")
    done = modelcar("presets", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"].startswith("~nouser/x cannot be found")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["files", "compiled", "--to", "{shut}/x"], 2, "cannot write to {shut}/x: Permission denied. Name another"),
        (["compile", "--output", "{shut}/x"], 1, "cannot write to {shut}/x: Permission denied. Name another"),
        (["plan", "{shut}/x", "--here", "--json"], 1, "cannot read {shut}/x: Permission denied. Make it readable"),
        (["plan", "{shut}", "--here", "--json"], 1, "cannot read {shut}: Permission denied. Make it readable"),
        (["downloads", "--claim", "{shut}/x", "--json"], 1, "cannot look at {shut}/x: Permission denied"),
        (["presets", "--json"], 2, "presets are looked for in {shut}/x, which cannot be read: Permission denied"),
        (["presets", "show", "{shut}/x.yaml"], 2, "the preset {shut}/x.yaml cannot be read"),
        (["status", "--server", "https://a.example", "--ca", "{shut}/x"], 1, "file {shut}/x cannot be read"),
        (["verify", "quay.io/a/b:1", "--key", "{shut}/x"], 3, "{shut}/x"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_what_may_not_be_entered_is_one_line(words: list[str], code: int, says: str, tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    shut.mkdir(mode=0)

    done = run(*(word.format(shut=shut) for word in words), without=WITHOUT_RIGHTS, MODELCAR_PRESETS=f"{shut}/x")

    shut.chmod(0o700)
    holds_one_line(done, says.format(shut=shut), code=code)


def test_a_file_in_a_folder_that_may_not_be_entered_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "config.json").write_text("{}")
    # It can be listed, and what is in it not looked at.
    (tmp_path / "inner").chmod(0o400)

    done = run("plan", tmp_path, "--here", "--json", without=WITHOUT_RIGHTS)

    (tmp_path / "inner").chmod(0o700)
    holds_one_line(done, f"cannot read {tmp_path}/inner/config.json: Permission denied")


def test_without_a_home_none_is_looked_for(plain_registry: Registry) -> None:
    if not WITHOUT_RIGHTS:
        pytest.skip("only root can be a user that nobody knows")
    unknown = ("setpriv", "--reuid", "1000700000", "--clear-groups", "--")
    if subprocess.run([*unknown, "test", "-r", __file__], check=False).returncode:
        pytest.skip("another account cannot enter this folder")
    done = run("doctor", "--registry", plain_registry.host, without=unknown, HOME=None)
    assert (done.returncode, done.stderr) == (0, "")
    for words in (["plan", "~/model"], ["downloads", "--claim", "~/x"]):
        done = run(*words, without=unknown, HOME=None)
        assert "cannot be found: this user has no home. Write all of the path" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_working_directory_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"cd {gone} && rmdir {gone} && {sys.executable} -m modelcar plan ./model --here"
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True, env=env)
    assert "Traceback" not in done.stderr
    assert "model cannot be found: the working directory is gone. Change to another" in done.stderr


def test_help_without_words_has_no_codes_in_a_file() -> None:
    done = run(NO_COLOR="1", TERM="dumb")
    assert done.returncode == 2
    assert done.stdout.rstrip("\n") == run("--help").stdout.rstrip("\n")
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_ends_the_command_as_any_other(unbuffered: str) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered}
    with os.fdopen(write_end) as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "modelcar", "config"], check=False, stdout=stdout, stderr=subprocess.PIPE, env=env
        )
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize(
    "words", [["diff", "{host}/a/b:1", "{host}/a/b:2"], ["verify", "{host}/a/b:1"]], ids=lambda words: words[0]
)
def test_a_question_that_stays_open_is_no_answer(words: list[str], closed_port: int, waits: list[float]) -> None:
    done = modelcar(*(word.format(host=f"127.0.0.1:{closed_port}") for word in words), "--json")
    assert done.returncode == 3
    assert "cannot reach the registry" in json.loads(done.stdout)["error"]
