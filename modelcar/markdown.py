"""Markdown that shows text as it is: file names and servers' words come from others, and must not become markup."""

import html
import re
from collections.abc import Iterable, Sequence

from modelcar.errors import on_one_line

_MARKUP = re.compile(r"([\\`*_{}\[\]|~#])")


def text(words: str) -> str:
    """Words on one line, in which nothing is markup; what cannot be seen, such as a change of direction, is shown."""
    return _plain(on_one_line(words))


def sentence(words: str) -> str:
    """The same, but for what stands between backticks: that is shown as code. Not for use in a table."""
    parts = on_one_line(words).split("`")
    if len(parts) % 2 == 0:
        return text(words)
    return "".join(f"`{part}`" if place % 2 and part.strip() else _plain(part) for place, part in enumerate(parts))


def _plain(words: str) -> str:
    return _MARKUP.sub(r"\\\1", html.escape(words, quote=False))


def code(lines: str) -> str:
    """Lines to copy, as a block; no run of backticks in them can end it."""
    longest = max((len(run) for run in re.findall("`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{lines}\n{fence}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain text. A head that ends in a colon, which is not shown, stands over figures."""
    aligned = ["---:" if head.endswith(":") else ":---" for head in heads]
    lines = [[head.removesuffix(":") for head in heads], aligned, *([text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
