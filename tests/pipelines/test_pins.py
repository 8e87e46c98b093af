"""Our own supply chain: every package is pinned, with hashes where pip can be told to check them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALLED = [file for file in ROOT.glob("requirements/*.txt") if file.name != "constraints.txt"]
HASHED = [*INSTALLED, *ROOT.glob("tests/*/*/requirements.txt")]
STEPS = sorted(ROOT.glob("components/*/requirements.txt"))


def requirements(file: Path) -> list[str]:
    """Each requirement with its options, on a line of its own."""
    lines = re.sub(r"\\\n\s*", "", file.read_text()).splitlines()
    return [line for line in lines if line and not line.lstrip().startswith("#")]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("file", HASHED, ids=name)
def test_every_package_has_its_hashes(file: Path) -> None:
    assert requirements(file)
    for line in requirements(file):
        assert re.fullmatch(r"[a-z0-9._-]+==\S+( ;[^\\]+?)?( --hash=sha256:[0-9a-f]{64})+", line), line


@pytest.mark.parametrize("file", STEPS, ids=name)
def test_a_step_installs_what_is_tested(file: Path) -> None:
    tested = {line.split()[0] for line in requirements(ROOT / "requirements" / "dev.txt")}
    assert {line.split()[0] for line in requirements(file)} <= tested


def test_audit_looks_at_every_list_of_ours() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\naudit:")[2].partition("\n\n")[0]
    assert {word for word in re.split(r"[\s;]+", recipe) if word.endswith(".txt")} == {name(file) for file in INSTALLED}
