"""Homes, streams and files that are not as a program expects them: a line, never a traceback."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcar import pod
from modelcar.oci.credentials import auth_files

ROOT = Path(__file__).parents[2]
COMMANDS = [
    ["plan", "--model", "a/b", "--target", "127.0.0.1:1/x/y:1"],
    ["run", "--model", "a/b", "--target", "127.0.0.1:1/x/y:1"],
    ["verify", "127.0.0.1:1/x/y:1"],
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
def test_a_home_that_is_somebody_elses_is_passed_over(command: list[str], closed_home: Path, tmp_path: Path) -> None:
    rights = "-dac_override,-dac_read_search"
    without = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", "--"] if os.geteuid() == 0 else []
    env = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "KUBE", "HF_"))}
    env |= {"HOME": str(closed_home), "HF_ENDPOINT": "http://127.0.0.1:1", "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        [*without, sys.executable, "-m", "modelcar.cli.program", *command],
        check=False,
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
    )

    assert "Traceback" not in done.stderr
    assert "Permission denied" not in done.stderr
    assert done.returncode == (0 if command == ["presets"] else 1)


def test_a_user_without_a_home_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    assert not pod.home().exists()
    assert auth_files() == []
