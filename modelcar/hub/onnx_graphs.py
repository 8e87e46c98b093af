"""External data of ONNX graphs: the files that hold a graph's weights, which only the graph itself names.

See https://github.com/onnx/onnx/blob/main/docs/ExternalData.md. No graph is loaded: the entries that name a file are
looked for in its bytes.
"""

import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from modelcar.hub.formats import supports_weights
from modelcar.hub.snapshot import PublishedFile

MAX_GRAPHS_READ = 24
MAX_GRAPH_BYTES = 8 << 20
"""Size of a graph above which its weights are taken to be in it. Llama's graphs without weights have 0.3 MB."""

SMALL_GRAPH_BYTES = 2 << 20
"""Size of a graph below which it is looked into even if no file beside it can hold its weights: one may be missing."""

MAX_READ_BYTES = 48 << 20
_READERS = 8
_LOCATION = re.compile(rb"\x0a\x08location\x12(?P<length>[\x01-\x7f]|[\x80-\xff]\x01)")
"""Entry of a StringStringEntryProto whose key is `location`, up to the length of its value."""

ReadFile = Callable[[PublishedFile], bytes | None]
"""A function that gives all of a file's bytes; None if the Hub has none."""


def read_external_data(files: Collection[PublishedFile], read: ReadFile) -> dict[str, frozenset[str]]:
    """Reads which files the graphs of a repository keep their weights in.

    Args:
        files: The repository's files.
        read: Gives all of a file's bytes.

    Returns:
        The paths that each graph names, by its own path; graphs that name none, or cannot be read, are not among them.
    """
    graphs = list(_worth_reading(sorted(files, key=lambda file: (file.size, file.path)), _largest_beside(files)))
    with ThreadPoolExecutor(_READERS) as pool:
        contents = list(pool.map(read, graphs))
    named = {graph.path: _named(graph.path, content or b"") for graph, content in zip(graphs, contents, strict=True)}
    return {path: names for path, names in named.items() if names}


def _worth_reading(files: Iterable[PublishedFile], beside: Mapping[str, int]) -> Iterator[PublishedFile]:
    total = count = 0
    for file in files:
        may_lack = file.size <= SMALL_GRAPH_BYTES or beside.get(posixpath.dirname(file.path), 0) > file.size
        if not file.path.endswith(".onnx") or not 0 < file.size <= MAX_GRAPH_BYTES or not may_lack:
            continue
        total, count = total + file.size, count + 1
        if count <= MAX_GRAPHS_READ and total <= MAX_READ_BYTES:
            yield file


def _largest_beside(files: Iterable[PublishedFile]) -> dict[str, int]:
    """Returns for each folder the size of its largest file that may hold a graph's weights."""
    sizes: dict[str, int] = {}
    for file in files:
        if not file.path.endswith(".onnx") and not supports_weights(file.path):
            folder = posixpath.dirname(file.path)
            sizes[folder] = max(sizes.get(folder, 0), file.size)
    return sizes


def _named(path: str, content: bytes) -> frozenset[str]:
    names = set()
    for match in _LOCATION.finditer(content):
        length = match["length"]
        size = length[0] if len(length) == 1 else (length[0] & 0x7F) | length[1] << 7
        name = content[match.end() : match.end() + size]
        try:
            place = posixpath.normpath(str(PurePosixPath(path).parent / name.decode()))
        except UnicodeDecodeError:
            continue
        if len(name) == size and not place.startswith(("..", "/")):
            names.add(place)
    return frozenset(names)
