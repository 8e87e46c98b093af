"""Our code in a command: where it is not installed it arrives, can be handed on, and is never too long to start."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import modelcar
from modelcar.bootstrap.command import LONGEST_ARGUMENT, REQUIREMENTS, archive, carrying, handed_on, without_bootstrap
from modelcar.errors import BuildError

COMPONENTS = Path(__file__).parents[3] / "components"
PACKAGES = COMPONENTS / "mirror" / "requirements.txt"
SHOWS = "import modelcar.bootstrap.command as e; print(e.__file__); print(*e.handed_on(['true'])[:3], sep='|')"


def run(command: list[str], python: Path | str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", REQUIREMENTS)}
    environment |= {"PATH": f"{python}:/usr/bin:/bin", "TMPDIR": str(folder)}
    return subprocess.run(command, check=False, env=environment, cwd=folder, capture_output=True, text=True)


def test_where_modelcar_is_installed_nothing_is_carried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(REQUIREMENTS, raising=False)
    assert handed_on(["python3", "-m", "modelcar"]) == ["python3", "-m", "modelcar"]

    done = run(carrying([sys.executable, "-c", SHOWS], "no-such-package==1"), Path(sys.executable).parent, tmp_path)

    assert done.stdout.splitlines() == [str(Path(modelcar.__file__).with_name("bootstrap") / "command.py"), "true"]


def test_a_step_that_was_given_our_code_hands_on_the_very_same(tmp_path: Path) -> None:
    venv.create(tmp_path / "python", with_pip=True)
    one = "six==1.17.0"
    script = (
        "import json, modelcar.bootstrap.command as e; print(json.dumps(e.handed_on(['python3', '-c', 'print(7)'])))"
    )

    first = run(carrying(["python3", "-c", script], one), tmp_path / "python" / "bin", tmp_path)

    command = json.loads(first.stdout)
    assert command == carrying(["python3", "-c", "print(7)"], one)
    second = run(command, tmp_path / "python" / "bin", tmp_path)
    assert second.stdout == "7\n"


def test_what_linux_could_not_start_is_refused_when_it_is_compiled() -> None:
    with pytest.raises(BuildError, match=r"131072 bytes and may have 131071.*modelcar compile --image"):
        carrying(["python3", "-c", "x" * LONGEST_ARGUMENT], "")

    longest = carrying(["python3", "-c", "#" * (LONGEST_ARGUMENT - 1)], "")[-1]
    assert subprocess.run([sys.executable, "-c", longest], check=False).returncode == 0
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run([sys.executable, "-c", longest + "#"], check=False)


def test_what_was_put_before_a_command_can_be_taken_off() -> None:
    assert without_bootstrap(carrying(["true"], "x==1")) == ["true"]
    assert without_bootstrap(["true"]) == ["true"]


@pytest.mark.parametrize("step", [file.parent.name for file in COMPONENTS.glob("*/component.py")])
def test_what_a_step_carries_has_room_to_grow(step: str) -> None:
    assert 0 < len(archive(COMPONENTS.joinpath(step, "component.py").read_text())) < LONGEST_ARGUMENT * 0.8
