"""Homes, streams and files that are not as a program expects them: a line, never a traceback."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcar import pod
from modelcar.cli import folders
from modelcar.oci.credentials import auth_files
from tests.parts.hub import Hub
from tests.parts.other_account import WITHOUT_RIGHTS
from tests.parts.registries import Registry

ROOT = Path(__file__).parents[2]
TARGET = "{registry}/x/y:1"
COMMANDS = [
    ["plan", "--model", "a/b", "--target", TARGET],
    ["run", "--model", "a/b", "--target", TARGET],
    ["verify", TARGET],
    ["status"],
    ["presets"],
]


@pytest.fixture
def closed_home(tmp_path: Path) -> Iterator[Path]:
    """Give a directory that this user may not look into, be it root."""
    home = tmp_path / "home"
    home.mkdir()
    if os.geteuid() == 0:
        os.chown(home, 65534, 65534)
    home.chmod(0)
    yield home
    home.chmod(0o700)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_home_that_is_somebody_elses_is_passed_over(
    command: list[str], closed_home: Path, tmp_path: Path, hub: Hub, plain_registry: Registry
) -> None:
    # Both answer, with nothing: what does not is asked again, for some time.
    command = [word.format(registry=plain_registry.host) for word in command]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "KUBE", "HF_"))}
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    env |= {"HOME": str(closed_home), "HF_ENDPOINT": hub.url, "PYTHONPATH": str(ROOT)}
    env["TMPDIR"] = str(temporary)

    done = subprocess.run(
        [*WITHOUT_RIGHTS, sys.executable, "-m", "modelcar.cli.program", *command],
        check=False,
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
    )

    assert "Traceback" not in done.stderr
    assert "Permission denied" not in done.stderr
    assert done.returncode == (0 if command == ["presets"] else 1)
    if command[0] == "run":
        instead = temporary / f"modelcar-{os.getuid()}"
        assert f"{closed_home}/.cache/modelcar cannot be written" in done.stderr
        assert f"goes to {instead}" in done.stderr
        assert instead.stat().st_mode & 0o077 == 0
        assert (instead / "reports" / "a--b" / "plan.md").is_file()


def test_a_temporary_folder_that_others_may_write_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nothing")
    monkeypatch.setattr(os, "access", lambda *_: False)
    instead = tmp_path / f"modelcar-{os.getuid()}"
    assert folders.cache() == instead
    instead.chmod(0o777)
    assert folders.cache() == folders.wanted_cache()
    instead.rmdir()
    instead.symlink_to(tmp_path)
    assert folders.cache() == folders.wanted_cache()


def test_a_user_without_a_home_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    assert not pod.home().exists()
    assert auth_files() == []
