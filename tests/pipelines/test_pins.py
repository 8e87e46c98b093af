"""Our own supply chain: every package is pinned, with hashes where pip can be told to check them, and what is imported
is installed."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
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


def distribution(requirement: str) -> str:
    """The name of a requirement's distribution, as indexes write it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


# It reads the records of all distributions each time.
distributions = cache(packages_distributions)


def uninstalled(source: str, installed: set[str]) -> Iterator[str]:
    """The packages of others that a source imports, anywhere in it, and that no distribution brings."""
    found = distributions()
    for node in ast.walk(ast.parse(source)):
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"modelcar"}:
            if not {distribution(one) for one in found.get(top, ())} & installed:
                yield top


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


@pytest.mark.parametrize("folder", ["modelcar", "components", "pipelines"])
def test_what_the_package_imports_is_installed_with_it(folder: str) -> None:
    """The tests' environment has packages that nobody else gets."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["vertex"]
    lines = [*requirements(ROOT / "requirements" / "runtime.txt"), *extra]
    installed = {distribution(line) for line in lines}
    for file in sorted((ROOT / folder).rglob("*.py")):
        assert not set(uninstalled(file.read_text(), installed)), name(file)
