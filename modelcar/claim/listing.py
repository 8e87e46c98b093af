"""List of the downloads in a folder or on a claim, and their removal.

It needs nothing but Python, so that it also runs as it stands in a pod that mounts the claim.
"""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

NOTE, PARTIAL = ".modelcar/snapshot.json", ".modelcar/partial"


def list_downloads(root: str) -> list[dict[str, object]]:
    """Lists the downloads below a folder, the largest first.

    Args:
        root: The folder, or where the claim is mounted.

    Returns:
        For each its model, commit, bytes, whether it is complete, and seconds since 1970 of its last change.
    """
    found = []
    for place in _places(Path(root)):
        model = place.parent.name.replace("--", "/", 1)
        size = sum(_size(Path(folder, name)) for folder, _, names in os.walk(place) for name in names)
        complete = (place / NOTE).is_file()
        changed = place.lstat().st_mtime
        found.append(
            {"model": model, "commit": place.name, "bytes": size, "complete": complete, "changed": round(changed)}
        )
    return sorted(found, key=lambda one: -int(str(one["bytes"])))


def remove_downloads(root: str, model: str, commit: str) -> list[dict[str, object]]:
    """Removes a model's downloads.

    Args:
        root: The folder, or where the claim is mounted.
        model: The model's id.
        commit: The beginning of the commit; empty for all of them.

    Returns:
        Those that were removed, and those that are being downloaded, which are left, with `busy`.
    """
    done = []
    for one in list_downloads(root):
        if one["model"] != model or not str(one["commit"]).startswith(commit):
            continue
        place = Path(root, model.replace("/", "--"), str(one["commit"]))
        busy = _is_busy(place)
        if not busy:
            shutil.rmtree(place)
            with suppress(OSError):
                place.parent.rmdir()
        done.append({**one, "busy": busy})
    return done


def _places(root: Path) -> Iterator[Path]:
    for model in sorted(root.iterdir()) if root.is_dir() else ():
        # A hidden one, such as a file system's lost+found, is none of ours, and a link leads elsewhere.
        if "--" in model.name and model.is_dir() and not model.is_symlink():
            yield from (one for one in sorted(model.iterdir()) if one.is_dir() and not one.is_symlink())


def _size(file: Path) -> int:
    with suppress(OSError):
        return file.lstat().st_size
    return 0


def _is_busy(place: Path) -> bool:
    """Tells whether a download holds one of its files that have not arrived."""
    folder = place / PARTIAL
    for file in folder.iterdir() if folder.is_dir() else ():
        with file.open() as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
    return False


def main(words: list[str]) -> None:
    """Prints, as one line of JSON, what is there or was removed."""
    print(json.dumps(remove_downloads(*words) if len(words) > 1 else list_downloads(*words)))


if __name__ == "__main__":
    main(sys.argv[1:])
