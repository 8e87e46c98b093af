"""The notebooks as a person fills them in, and what their cells showed."""

from pathlib import Path
from typing import Any

import nbformat

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

EXECUTE = """
import sys
import nbclient, nbformat
book = nbformat.read(sys.argv[1], as_version=4)
try:
    nbclient.NotebookClient(book, timeout=int(sys.argv[2]), kernel_name="python3").execute()
finally:
    for cell in book.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            print(output.get("text") or data.get("text/markdown") or data.get("text/plain") or output.get("evalue", ""))
"""
"""Runs a notebook in a pod, from a fresh kernel, and prints all that it showed."""


def filled_in(name: str, **parameters: Any) -> Any:
    """Reads a notebook and puts other parameters after its own.

    Args:
        name: How its file's name begins.
        **parameters: What a person would change.
    """
    [file] = NOTEBOOKS.glob(f"{name}*.ipynb")
    book = nbformat.read(file, as_version=4)
    place = next(number for number, cell in enumerate(book.cells) if "parameters" in cell.metadata.get("tags", []))
    lines = [f"{key} = {value!r}" for key, value in parameters.items()]
    book.cells.insert(place + 1, nbformat.v4.new_code_cell("\n".join(lines)))
    return book


def shown(cell: Any) -> str:
    """Returns what a cell printed and displayed."""
    parts = []
    for output in cell.outputs:
        data = output.get("data", {})
        parts.append(output.get("text") or data.get("text/markdown") or data.get("text/html") or "")
    return "\n".join(parts)
