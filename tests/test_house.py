"""The house: who may use whom, how large its parts are, and how its docstrings begin."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = {
    "deadline": set(),
    "errors": set(),
    "given": set(),
    "html_page": set(),
    "log_page": set(),
    "markdown": {"errors"},
    "pod": set(),
    "progress": {"errors", "pod"},
    "retries": {"errors"},
    "user_input": {"errors"},
    "google_cloud": {"errors", "retries"},
    "bootstrap": {"errors", "pod"},
    "records": {"errors", "pod", "progress", "retries"},
    "tls": {"errors"},
    "hub": {"deadline", "errors", "given", "pod", "progress", "retries", "tls", "user_input"},
    "oci": {"errors", "google_cloud", "pod", "progress", "retries", "tls", "user_input"},
    "sources": {"hub", "oci"},
    "claim": {"hub", "oci"},
    "attestation": {"hub", "oci"},
    "image": {"attestation", "claim"},
    "model_registry_api": set(),
    "model_registry": {"image", "model_registry_api"},
    "cluster": {"bootstrap", "markdown", "records", "user_input"},
    "serving": {"cluster", "image"},
    "steps": {"cluster", "html_page", "log_page", "model_registry", "serving", "sources"},
    "components": {"steps"},
    "pipelines": {"components"},
    "cli": {"pipelines"},
    "__main__": {"cli"},
}
"""Each room of modelcar/ with the rooms that it stands on; it may use those, and what they stand on."""

ASIDE = {("build_in_job", "build"), ("preflight", "vertex_upload"), ("report", "vertex_upload")}
"""Steps that use another: a build in a Job is the build, in another pod; plan and report of a run on Vertex AI ask its
Model Registry what an upload asks."""

MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS, MAX_TEST_NAME = 400, 50, 8, 70
FACES = ("components/*/component.py", "pipelines/*/pipeline.py")
"""kfp reads a form's fields from their parameters."""


RIDDLES = re.compile(r"(What|Whether|Where|How|Who|Which|Why|When|The way)\b")
NO_NOUN = re.compile(
    r"(Of|For|In|As|After|Before|Below|Between|By|With|Without|At|On|From|Among|And|Not|No|Less|We|It|To|Also|Only|Both|"
    r"Is|Has|Are|Makes|Brings|Takes|Gives|Kept|Ends|Stands|Said|Read|Put|Raise|Answered|Decorates|Says|Lets)\b"
)
"""Openings of a constant's docstring that leave out what it is."""


@cache
def sources() -> dict[str, Path]:
    """The modules of the package by their dotted names; components and pipelines live in it once it is installed."""
    found = {}
    for folder in ("modelcar", "components", "pipelines"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            parts = parts if folder == "modelcar" else ("modelcar", *parts)
            found[".".join(parts).removesuffix(".__init__")] = file
    return found


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imports(file: Path) -> Iterator[str]:
    """The modules of ours that a file imports, anywhere in it but for types alone."""
    nodes: list[ast.AST] = [tree(file)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in sources())
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield from (one for one in [name if name in sources() else node.module] if one in sources())
        nodes += ast.iter_child_nodes(node)


def room(module: str) -> str:
    return f"{module}.".split(".")[1]


def below(name: str) -> set[str]:
    return {name} | {further for one in FLOORS[name] for further in below(one)}


@pytest.mark.parametrize("module", [name for name in sources() if room(name)])
def test_arrows_go_down(module: str) -> None:
    assert room(module) in FLOORS, f"{room(module)} has no place in FLOORS"
    used = {room(one) for one in imports(sources()[module]) if room(one)}
    assert used <= below(room(module)), f"{module} may not use {used - below(room(module))}"


def test_no_room_stands_on_itself() -> None:
    for name in FLOORS:
        assert name not in {further for one in FLOORS[name] for further in below(one)}


def test_no_step_uses_another() -> None:
    for module, file in sources().items():
        if room(module) == "steps" and module.count(".") > 1:
            step = module.split(".")[2]
            others = {one.split(".")[2] for one in imports(file) if room(one) == "steps" and one.count(".") > 1}
            assert {(step, other) for other in others - {step}} <= ASIDE, module


def test_no_two_modules_of_a_room_need_each_other() -> None:
    arrows = {name: set(imports(file)) - {name} for name, file in sources().items()}

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            for one in arrows[ahead.pop()] - seen:
                seen.add(one)
                ahead.append(one)
        return seen

    assert [name for name in arrows if name in reached(name)] == []


@pytest.mark.parametrize("file", sources().values(), ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_or_function_is_too_large(file: Path) -> None:
    assert len(file.read_text().splitlines()) < MAX_FILE_LINES
    is_face = any(file.match(pattern) for pattern in FACES)
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef) and not is_face:
            assert _lines(node) <= MAX_FUNCTION_LINES, f"{node.name} has {_lines(node)} lines"
            given = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            few = len(set(given) - {"self", "cls"}) <= MAX_PARAMETERS
            assert few or _is_command(node), f"{node.name} has {len(given)} parameters"


def _is_command(node: ast.FunctionDef) -> bool:
    """Tells whether a function is a command: each parameter is an option, which nobody gives by its place."""
    return all("typer." in ast.unparse(one.annotation) for one in node.args.args if one.annotation)


@pytest.mark.parametrize("file", sources().values(), ids=lambda file: str(file.relative_to(ROOT)))
def test_docstrings_open_with_a_verb_or_a_noun(file: Path) -> None:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    texts = [ast.get_docstring(node) for node in ast.walk(tree(file)) if isinstance(node, documented)]
    assert [text.splitlines()[0] for text in texts if text and RIDDLES.match(text)] == []


@pytest.mark.parametrize("file", sources().values(), ids=lambda file: str(file.relative_to(ROOT)))
def test_docstrings_of_constants_open_with_a_noun(file: Path) -> None:
    texts = [text for node in ast.walk(tree(file)) for text in _texts_of_constants(getattr(node, "body", None))]
    assert [text.splitlines()[0] for text in texts if RIDDLES.match(text) or NO_NOUN.match(text)] == []


def _texts_of_constants(body: object) -> Iterator[str]:
    """The strings that stand below assignments."""
    for pair in pairwise(body if isinstance(body, list) else []):
        match pair:
            case ast.Assign() | ast.AnnAssign(), ast.Expr(ast.Constant(str(text))):
                yield text


def test_names_of_tests_can_be_read() -> None:
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert len(node.name) <= MAX_TEST_NAME, f"{file.relative_to(ROOT)}: {node.name}"


def _lines(function: ast.FunctionDef) -> int:
    """The lines of a function without its docstring."""
    has_text = ast.get_docstring(function) is not None
    text = function.body[0] if has_text else None
    assert function.end_lineno is not None
    own = function.end_lineno - function.lineno + 1
    return own - ((text.end_lineno or 0) - text.lineno + 1 if text else 0)


if __name__ == "__main__":
    every = {(room(one), room(other)) for one, file in sources().items() for other in imports(file)}
    print(*sorted(pair for pair in every if all(pair) and pair[0] != pair[1]), sep="\n", file=sys.stdout)
