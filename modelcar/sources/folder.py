"""Folders with a model's files: of this machine, and of a claim that is mounted into a step's pod."""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from modelcar import pod
from modelcar.errors import SourceError
from modelcar.sources.shelf import READ_BYTES, name_of
from modelcar.user_input import path_of

_CLAIM = re.compile(r"pvc://(?P<claim>[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)(/(?P<path>.*))?")
_OF_THE_FILE_SYSTEM = "lost+found"
"""A directory of ext4's own at the top of a volume, which root alone may read."""

_TO_SUBMIT = "Run it in the cluster that has the claim: modelcar submit, or the pipeline claim-to-registry in its UI"


class FolderShelf:
    """A folder.

    Args:
        folder: The folder.
        uri: What to call it; empty for the name that it has on this machine.
        within: A folder above it, out of which no link may lead; None where links may lead anywhere.

    Raises:
        SourceError: It is below a home that there is not, or below a working directory that is gone.
    """

    def __init__(self, folder: str | Path, uri: str = "", within: Path | None = None) -> None:
        self._folder = path_of(folder, SourceError)
        self._within = within
        try:
            name = name_of(self._folder.absolute().name)
        except FileNotFoundError:
            raise SourceError(f"{folder} cannot be found: the working directory is gone", "Change to another") from None
        self.uri, self.model = uri or f"file:{name}", f"local/{name}"

    def sizes(self) -> Mapping[str, int]:
        """Returns the files' sizes by their paths; folders that are hidden, such as .git, are not looked into.

        Raises:
            SourceError: It is no folder, or may not be read, or a link leads out of where it may.
        """
        try:
            if not stat.S_ISDIR(os.stat(self._folder).st_mode):
                raise NotADirectoryError
            return self._sizes()
        except (FileNotFoundError, NotADirectoryError):
            what = f"there is no folder {self._shown()}"
            raise SourceError(what, "Name the folder that holds the model's files") from None
        except (OSError, ValueError) as error:
            # The second is that of a name with a NUL in it.
            self._refuse(error)

    def _sizes(self) -> dict[str, int]:
        found = {}
        for place, folders, names in os.walk(self._folder, onerror=self._refuse):
            folders[:] = [one for one in folders if not one.startswith(".") and one != _OF_THE_FILE_SYSTEM]
            for file in (Path(place, name) for name in names):
                # A file that is a link is what it leads to, as in Hugging Face's own cache.
                if file.is_file():
                    path = file.relative_to(self._folder).as_posix()
                    self._check_place(path, os.path.realpath(file))
                    found[path] = file.stat().st_size
        return found

    def hashes(self) -> Mapping[str, str]:
        """Knows none: nobody published them."""
        return {}

    def read(self, path: str, start: int, end: int) -> Iterator[bytes]:
        """Gives the bytes of a file from an offset to before another.

        Raises:
            SourceError: It cannot be read.
        """
        try:
            with open(self._open(path), "rb", buffering=0) as file:
                file.seek(start)
                while start < end and (chunk := file.read(min(READ_BYTES, end - start))):
                    start += len(chunk)
                    yield chunk
        except OSError as error:
            raise SourceError(f"cannot read {self._shown(path)}: {error.strerror}") from None
        if start < end:
            raise SourceError(f"{self._shown(path)} became shorter while it was read", "Run again once it is whole")

    def close(self) -> None:
        """Does nothing."""

    def _open(self, path: str) -> int:
        """Opens an ordinary file; what is checked is what was opened, for a claim has other users."""
        opened = os.open(self._folder / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise SourceError(f"{self._shown(path)} is no ordinary file any more")
            if self._within is not None:
                self._check_place(path, os.readlink(f"/proc/self/fd/{opened}"))
        except BaseException:
            os.close(opened)
            raise
        return opened

    def _check_place(self, path: str, real: str) -> None:
        if self._within is not None and not Path(real).is_relative_to(self._within.resolve()):
            raise SourceError(
                f"{self._shown(path)} is a link that leads out of the claim", "Put the file itself in its place"
            )

    def _shown(self, path: str = "") -> str:
        place = f"{self.uri}/{path}" if self._within is not None else str(self._folder / path)
        return place.rstrip("/")

    def _refuse(self, error: Exception) -> NoReturn:
        place = Path(getattr(error, "filename", None) or self._folder)
        path = place.relative_to(self._folder).as_posix() if place.is_relative_to(self._folder) else ""
        raise SourceError(
            f"cannot read {self._shown(path.removeprefix('.'))}: {getattr(error, 'strerror', None) or error}",
            "Make it readable for you, or name another folder",
        ) from None


class ClaimShelf(FolderShelf):
    """A folder of a PersistentVolumeClaim that is mounted for it, and for nothing else, into a step's pod.

    That is why a pod reads it, and no other folder of its own: whoever starts a run chose the claim that is mounted
    there, and no link leads out of it.

    Args:
        uri: pvc://claim/folder.

    Raises:
        SourceError: It is no such address, or no claim is mounted.
    """

    def __init__(self, uri: str) -> None:
        claim, path = claim_and_folder(uri)
        mount = pod.SOURCE_CLAIM
        if not mount.is_dir():
            raise SourceError(f"the claim {claim} is not mounted here", _TO_SUBMIT)
        super().__init__(mount / path, f"pvc://{claim}/{path}".rstrip("/"), mount)
        self.model = f"{name_of(claim)}/{name_of(path.rpartition('/')[2] or claim)}"


def claim_and_folder(uri: str) -> tuple[str, str]:
    """Returns the claim's name and the folder on it; empty for all of it.

    Raises:
        SourceError: It is no such address.
    """
    match = _CLAIM.fullmatch(uri)
    path = (match["path"] or "").strip("/") if match else ""
    if match is None or any(part in ("", ".", "..") for part in path.split("/") if path):
        raise SourceError(f"{uri!r} is no folder of a claim", "Write it as pvc://claim/folder")
    return match["claim"], path
