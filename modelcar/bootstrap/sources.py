"""Our own sources as they travel: the definitions that something needs, without what only people read.

A run's record in the cluster holds every step's command, several times, and has to stay below etcd's 1.5 MiB.
"""

import ast
import io
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import modelcar
from modelcar.bootstrap.reachable import Program

ROOT = Path(modelcar.__file__).parent
_LEFT_OUT = ("cli", "components", "pipelines", "__pycache__")
_STATEMENTS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Parts of a statement that hold statements."""


def needed(code: str) -> dict[Path, str]:
    """Returns what a piece of code needs of our modules: for each file, the definitions that it can reach.

    Args:
        code: Source code; imports within functions count.
    """
    return {file: bare(source) for file, source in Program(modelcar.__name__, ROOT).reach(code).items()}


def every() -> dict[Path, str]:
    """Returns all our files that are there, but for those that only compile pipelines."""
    files = (path for path in ROOT.rglob("*.py") if not set(_LEFT_OUT) & set(path.relative_to(ROOT).parts))
    return {file: bare(file.read_text()) for file in sorted(files)}


@cache
def stripped(source: str) -> str:
    """Returns source code without comments and docstrings; what is left stays on its line, for tracebacks."""
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


@cache
def bare(source: str) -> str:
    """Returns source code of ours without annotations of functions, too, which nothing but kfp reads of its steps."""
    lines = stripped(source).splitlines()
    for annotation in _annotations(ast.parse(source)):
        # One that goes over several lines stays.
        if annotation.end_lineno == annotation.lineno:
            line = lines[annotation.lineno - 1].encode()
            before, behind = line[: annotation.col_offset].decode(), line[annotation.end_col_offset :].decode()
            lines[annotation.lineno - 1] = before.rstrip().removesuffix("->").removesuffix(":").rstrip() + behind
    return "\n".join(lines) + "\n"


def _annotations(tree: ast.AST) -> list[ast.expr]:
    """Returns the annotations of functions' parameters and results, the last of the file first."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(returns=ast.expr() as annotation) | ast.arg(annotation=ast.expr() as annotation):
                found.append(annotation)
    return sorted(found, key=lambda one: (one.lineno, one.col_offset), reverse=True)


def _texts(node: ast.AST) -> Iterator[ast.Expr]:
    """Yields the statements that are nothing but a string: docstrings of modules, classes, functions and attributes."""
    for part in _STATEMENTS:
        for each in getattr(node, part, ()):
            match each:
                case ast.Expr(ast.Constant(str())):
                    yield each
                case _:
                    yield from _texts(each)
