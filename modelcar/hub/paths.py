"""Paths of a repository's files that are safe to use below a directory and in a tar file."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from modelcar.errors import UnsafeNameError

DOWNLOAD_NOTE = Path(".modelcar", "snapshot.json")
"""Where a download leaves its record, within the snapshot's directory."""


LONGEST_NAME, LONGEST_PATH = 255, 2048
"""Bytes. Linux takes 4096 for a path; before this one stand the claim's or the builder's directories."""


_CHANGES_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


_UNPRINTED = ("Cc", "Cs", "Zl", "Zp")


def safe_path(path: str) -> str:
    """A path from a repository, if it can be used as it stands below a directory.

    Raises:
        UnsafeNameError: It would lead out of the directory, or is a name that file systems or tar cannot keep.
    """
    parts = path.split("/")
    if (
        any(part in ("", ".", "..") for part in parts)
        or any(_bytes(part) > LONGEST_NAME for part in parts)
        or _bytes(path) > LONGEST_PATH
        or "\\" in path
        or any(unicodedata.category(character) in _UNPRINTED for character in path)
        or _CHANGES_DIRECTION.search(path)
        # On claims whose file system takes capitals for small letters as well.
        or parts[0].casefold() == DOWNLOAD_NOTE.parent.name
    ):
        shown = path if len(path) <= LONGEST_NAME else f"{path[:LONGEST_NAME]}…"
        raise _unsafe(f"the repository has a file named {shown!r}, which cannot be used as it stands")
    return path


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
