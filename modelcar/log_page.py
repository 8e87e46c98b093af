"""A page in Markdown as text: for a terminal, or for a log that is read in a browser."""

import os
from typing import ClassVar

LOG_COLUMNS = 140
"""Columns of a page in a log, where nobody says how wide it is shown."""


def show(page: str) -> None:
    """Prints a page, as wide as the terminal or as COLUMNS says; no word of a table is cut, such as a digest.

    Args:
        page: The page in Markdown.
    """
    # Only here: most steps show none.
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.markdown import Markdown, MarkdownElement, TableElement
    from rich.table import Table

    class WholeTable(TableElement):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for made in super().__rich_console__(console, options):
                for column in made.columns if isinstance(made, Table) else ():
                    column.overflow = "fold"
                yield made

    class Page(Markdown):
        elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "table_open": WholeTable}

    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=LOG_COLUMNS, highlight=False)
    with console.capture() as shown:
        console.print(Page(page))
    # Tables are filled up with spaces, which a narrower reader breaks into lines of their own.
    print("\n".join(line.rstrip() for line in shown.get().splitlines()), flush=True)
