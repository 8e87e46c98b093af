"""Paths of a repository's files that are safe to use below a directory and in a tar file."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from modelcar.errors import UnsafeNameError

DOWNLOAD_NOTE = Path(".modelcar", "snapshot.json")
"""Place where a download leaves its record, within the snapshot's directory."""


MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 2048
"""Bytes. Linux takes 4096 for a path; before this one stand the claim's or the builder's directories."""


_CHANGES_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


WHITEOUT = ".wh."
"""Start of a whiteout's name: in a layer it removes a file of the layers below it, or all of a directory.

https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
"""

_UNPRINTED = ("Cc", "Cs", "Zl", "Zp")


def safe_path(path: str) -> str:
    """A path from a repository, if it can be used as it stands below a directory.

    Raises:
        UnsafeNameError: It would lead out of the directory, or is a name that file systems or tar cannot keep.
    """
    parts = path.split("/")
    if (
        any(part in ("", ".", "..") for part in parts)
        or any(_bytes(part) > MAX_NAME_BYTES for part in parts)
        or _bytes(path) > MAX_PATH_BYTES
        or "\\" in path
        or any(unicodedata.category(character) in _UNPRINTED for character in path)
        or _CHANGES_DIRECTION.search(path)
        # On claims whose file system takes capitals for small letters as well.
        or parts[0].casefold() == DOWNLOAD_NOTE.parent.name
    ):
        raise _unsafe(f"the repository has a file named {_shown(path)!r}, which cannot be used as it stands")
    if any(part.startswith(WHITEOUT) for part in parts):
        raise _unsafe(
            f"the repository has a file {_shown(path)!r}; in an image a name that begins with {WHITEOUT} removes a file"
        )
    return path


def find_twins(paths: Iterable[str]) -> list[tuple[str, ...]]:
    """Finds files and directories whose paths differ only by case or by their Unicode form.

    On Linux they are different files, as they are in the image. On file systems that take one for the other (macOS,
    Windows, some network storage) the one written last is left; and a reader cannot tell them apart.

    Args:
        paths: Paths of files.

    Returns:
        The twins, the paths of each group sorted.
    """
    every = {"/".join(parts[:end]) for parts in (path.split("/") for path in paths) for end in range(1, len(parts) + 1)}
    alike: dict[str, list[str]] = {}
    for path in sorted(every):
        alike.setdefault(_folded(path), []).append(path)
    return [tuple(group) for group in alike.values() if len({path.rpartition("/")[2] for path in group}) > 1]


def _folded(path: str) -> str:
    # Unicode's own caseless match, https://www.unicode.org/versions/latest/core-spec/chapter-3/ (D146).
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path.casefold()).casefold())


def _shown(path: str) -> str:
    return path if len(path) <= MAX_NAME_BYTES else f"{path[:MAX_NAME_BYTES]}…"


def check_places(paths: Sequence[str]) -> None:
    """Sees that each file can lie beside the others.

    Raises:
        UnsafeNameError: Two have one name, or one has the name of a directory.
    """
    for path, count in Counter(paths).items():
        if count > 1:
            raise _unsafe(f"the repository lists the file {path!r} {count} times")
    directories = {path[:place] for path in paths for place, letter in enumerate(path) if letter == "/"}
    for path in directories.intersection(paths):
        raise _unsafe(f"the repository has a file {path!r} and a directory of that name")


def _unsafe(what: str) -> UnsafeNameError:
    return UnsafeNameError(what, "Use another revision, or ask its owner to rename the file")


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
