"""Our own sources as they travel: the modules that something needs, without what only people read.

A run's record in the cluster holds every step's command, several times, and has to stay below etcd's 1.5 MiB.
"""

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import modelcar

ROOT = Path(modelcar.__file__).parent
_LEFT_OUT = ("cli", "components", "pipelines", "__pycache__")


def needed(code: str) -> list[Path]:
    """The files of the modules that a piece of code imports, and of those that they import.

    Args:
        code: Source code; imports within functions count.
    """
    found: set[Path] = set()
    open_files = _imported(code)
    while open_files:
        file = open_files.pop()
        if file not in found:
            found.add(file)
            open_files |= _imported(file.read_text())
    return sorted(found)


def every() -> list[Path]:
    """All our files that are there, but for those that only compile pipelines."""
    return sorted(path for path in ROOT.rglob("*.py") if not set(_LEFT_OUT) & set(path.relative_to(ROOT).parts))


def stripped(source: str) -> str:
    """Source code without comments and docstrings. What is left stays on its line, so that tracebacks are right."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    for text in _texts(ast.parse(source)):
        assert text.end_lineno is not None
        first = lines[text.lineno - 1]
        lines[text.lineno - 1] = first[: len(first) - len(first.lstrip())] + '""'
        for row in range(text.lineno, text.end_lineno):
            lines[row] = ""
    return "\n".join(lines) + "\n"


def _texts(tree: ast.Module) -> Iterator[ast.Expr]:
    """Statements that are nothing but a string: docstrings of modules, classes, functions and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node


def _imported(code: str) -> set[Path]:
    files: set[Path] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names: Iterable[str] = (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        else:
            continue
        for name in names:
            files |= _files(name)
    return files


def _files(name: str) -> set[Path]:
    """A module's file and those of the packages that it is in; none for a name that is not one of ours."""
    package, *parts = name.split(".")
    if package != modelcar.__name__:
        return set()
    places = [ROOT.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
    both = (candidate for place in places for candidate in (place / "__init__.py", place.with_suffix(".py")))
    return {file for file in both if file.is_file() and file.is_relative_to(ROOT)}
