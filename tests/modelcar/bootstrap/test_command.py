"""Our code in a command: where it is not installed it arrives, can be handed on, and is never too long to start."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import modelcar
from modelcar import pod
from modelcar.bootstrap.command import (
    MAX_ARGUMENT_BYTES,
    Bootstrapped,
    command_for_other_pod,
    self_contained_command,
)
from modelcar.errors import BuildError

SHOWS = (
    "import modelcar.bootstrap.command as e; print(e.__file__); print(*e.command_for_other_pod(['true'])[:3], sep='|')"
)


def run(command: list[str], python: Path | str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", pod.REQUIREMENTS)}
    environment |= {"PATH": f"{python}:/usr/bin:/bin", "TMPDIR": str(folder)}
    return subprocess.run(command, check=False, env=environment, cwd=folder, capture_output=True, text=True)


def test_where_modelcar_is_installed_nothing_is_carried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(pod.REQUIREMENTS, raising=False)
    assert command_for_other_pod(["python3", "-m", "modelcar"]) == ["python3", "-m", "modelcar"]

    command = self_contained_command([sys.executable, "-c", SHOWS], "no-such-package==1")
    done = run(command, Path(sys.executable).parent, tmp_path)

    assert done.stdout.splitlines() == [str(Path(modelcar.__file__).parent / "bootstrap/command.py"), "true"]


@pytest.mark.parametrize("option", ["-m", "-c"])
def test_what_lies_beside_a_step_is_not_taken_for_our_code(option: str, bare_python: Path, tmp_path: Path) -> None:
    """As where an image begins in / and the claim, to which others write, is at /modelcar."""
    claim = tmp_path / "modelcar"
    claim.mkdir()
    (claim / "__init__.py").write_text("import sys; sys.exit('what lies on the claim was run')")

    for python in (bare_python, Path(sys.executable).parent):
        program = "modelcar.bootstrap.command" if option == "-m" else "import modelcar.bootstrap.command"
        command = [str(python / "python3"), option, program]
        done = run(self_contained_command(command, "six==1.17.0"), python, tmp_path)

        assert done.returncode == 0, done.stderr


def test_a_step_that_was_given_our_code_hands_on_the_very_same(bare_python: Path, tmp_path: Path) -> None:
    one = "six==1.17.0"
    script = (
        "import glob, json, sys, modelcar.bootstrap.command as e; "
        "compiled = [found for place in sys.path for found in glob.glob(f'{place}/__pycache__/six.*')]; "
        "print(json.dumps([e.command_for_other_pod(['python3', '-c', 'print(7)']), compiled]))"
    )

    first = run(self_contained_command(["python3", "-c", script], one), bare_python, tmp_path)

    command, compiled = json.loads(first.stdout)
    assert compiled == [], "pip compiled what may never be imported"
    assert command == self_contained_command(["python3", "-c", "print(7)"], one)
    second = run(command, bare_python, tmp_path)
    assert second.stdout == "7\n"


def test_a_published_package_is_installed_by_the_next_pod_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "--index-url https://nexus.example/simple\nsix==1.17.0\nmodelcar-pipelines==9.8"
    (tmp_path / "requirements.txt").write_text(f"{lines}\n")
    monkeypatch.setenv(pod.REQUIREMENTS, str(tmp_path / "requirements.txt"))

    parts = Bootstrapped.parse(command_for_other_pod(["true"]))

    assert parts == Bootstrapped("", lines, "9.8", ["true"])


def test_what_linux_could_not_start_is_refused_when_it_is_compiled() -> None:
    with pytest.raises(BuildError, match=r"131072 bytes and may have 131071.*modelcar compile --image"):
        self_contained_command(["python3", "-c", "x" * MAX_ARGUMENT_BYTES], "")

    longest = self_contained_command(["python3", "-c", "#" * (MAX_ARGUMENT_BYTES - 1)], "")[-1]
    assert subprocess.run([sys.executable, "-c", longest], check=False).returncode == 0
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run([sys.executable, "-c", longest + "#"], check=False)


def test_a_command_is_taken_apart_as_it_was_put_together() -> None:
    whole = self_contained_command(["true"], "x==1")
    parts = Bootstrapped.parse(whole)
    assert parts is not None
    assert parts.command == ["true"]
    assert parts.whole() == whole
    assert Bootstrapped.parse(["true"]) is None
