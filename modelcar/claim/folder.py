"""Directories on the claim, held open: what is below them is reached without following a symbolic link.

A claim has other users, who may put a link in the place of a directory at any moment. So nothing is looked at by its
path first and opened by its path then: each directory on the way is opened within the one before it, and what is
checked is what was opened.
"""

import errno
import os
import shlex
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Self

from rich.filesize import decimal

from modelcar import pod
from modelcar.errors import ClaimError

FILE_MODE, DIRECTORY_MODE = 0o664, 0o775
"""Group 0 may do what the owner may: the next step may run under another random UID."""

MAX_NOTE_BYTES = 64 << 20
"""The largest file that we write ourselves: the record of 100,000 files takes 20 MB."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Folder:
    """A directory, opened when it is first needed and held open from then on.

    Paths below it are relative, with forward slashes.

    Args:
        path: The directory.
        top: A directory above it, from which on no link is followed; by default where the claim is mounted, or, for a
            path elsewhere, the directory itself.
        create: Make what is missing between the two.

    Attributes:
        path: The directory.
        top: The one above it from which on no link is followed.
    """

    def __init__(self, path: Path, top: Path | None = None, *, create: bool = False) -> None:
        self.path = path
        self.top = top or (pod.CLAIM if path.is_relative_to(pod.CLAIM) else path)
        self._create = create
        self._opened = -1
        self._opening = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Folder) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def close(self) -> None:
        """Closes the directory."""
        opened, self._opened = self._opened, -1
        if opened >= 0:
            os.close(opened)

    def open(self) -> Self:
        """Opens the directory now.

        Raises:
            ClaimError: A directory on the way is a symbolic link.
            OSError: It cannot be opened.
        """
        _ = self._descriptor
        return self

    @property
    def _descriptor(self) -> int:
        with self._opening:
            if self._opened < 0:
                self._opened = self._open()
            return self._opened

    def _open(self) -> int:
        if self._create:
            self.top.mkdir(parents=True, exist_ok=True)
        opened = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return _descend(opened, self.top, str(self.path.relative_to(self.top)), create=self._create)

    def below(self, relative: str, *, create: bool = False) -> "Folder":
        """Opens a directory below this one."""
        folder = Folder(self.path / relative)
        folder._opened = _descend(os.dup(self._descriptor), self.path, relative, create=create)
        return folder

    def open_file(self, relative: str, flags: int = os.O_RDONLY) -> int:
        """Opens an ordinary file: no symbolic link, and nothing that would keep us waiting, such as a pipe.

        Args:
            relative: The file. With os.O_CREAT the directories above it are made as well.
            flags: As os.open takes them.

        Returns:
            The file's descriptor.

        Raises:
            ClaimError: A directory on the way is a symbolic link.
            OSError: It cannot be opened, or is something else (ELOOP).
        """
        with self._place(relative, create=bool(flags & os.O_CREAT)) as (parent, name):
            try:
                opened = os.open(name, flags | _FILE, FILE_MODE, dir_fd=parent)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise _link_error(self.path / relative) from None
                raise
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            raise OSError(errno.ELOOP, "it is no ordinary file", str(self.path / relative))
        return opened

    def size(self, relative: str) -> int:
        """Returns the size of an ordinary file in bytes, or -1 where there is none."""
        try:
            with self._place(relative) as (parent, name):
                found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError:
            return -1
        return found.st_size if stat.S_ISREG(found.st_mode) else -1

    def is_the_file(self, relative: str, descriptor: int) -> bool:
        """Tells whether an open file is still the one under this path."""
        with suppress(OSError), self._place(relative) as (parent, name):
            found, opened = os.stat(name, dir_fd=parent, follow_symlinks=False), os.fstat(descriptor)
            return os.path.samestat(found, opened)
        return False

    def is_writable(self) -> bool:
        """Tells whether this user may make something in this directory."""
        return os.access(".", os.W_OK | os.X_OK, dir_fd=self._descriptor)

    def names(self) -> list[str]:
        """Returns the names of what is directly in this directory."""
        return sorted(os.listdir(self._descriptor))

    def move(self, relative: str, to: str) -> None:
        """Moves a file to another place below this directory, over what is there."""
        with self._place(relative) as (parent, name), self._place(to, create=True) as (other_parent, other):
            os.replace(name, other, src_dir_fd=parent, dst_dir_fd=other_parent)

    def link_from(self, other: "Folder", relative: str) -> None:
        """Links a file from the same path below another directory, over what is there."""
        with other._place(relative) as (source, name), self._place(relative, create=True) as (target, _):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=target)
            os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)

    def link_to(self, relative: str, path: Path) -> None:
        """Links a file to a path outside; a link in its place is not followed."""
        with self._place(relative) as (parent, name):
            os.link(name, path, src_dir_fd=parent, follow_symlinks=False)

    def remove(self, relative: str) -> None:
        """Removes a file, or a link in its place, if it is there."""
        with suppress(FileNotFoundError, NotADirectoryError), self._place(relative) as (parent, name):
            os.unlink(name, dir_fd=parent)

    def remove_empty(self, relative: str) -> None:
        """Removes a directory that is empty."""
        with self._place(relative) as (parent, name):
            os.rmdir(name, dir_fd=parent)

    def remove_tree(self, relative: str) -> None:
        """Removes a directory with all that is in it; a link in its place stays."""
        with suppress(FileNotFoundError), self._place(relative) as (parent, name):
            shutil.rmtree(name, ignore_errors=True, dir_fd=parent)

    def read_note(self, relative: str) -> bytes:
        """Returns what is in a file that we wrote ourselves.

        Raises:
            ClaimError: It is too large to be that.
            OSError: It cannot be read.
        """
        with os.fdopen(self.open_file(relative), "rb") as file:
            content = file.read(MAX_NOTE_BYTES + 1)
        if len(content) > MAX_NOTE_BYTES:
            raise ClaimError(
                f"{self.path / relative} has more than {decimal(MAX_NOTE_BYTES)}",
                "Remove it, and run the download again",
            )
        return content

    def write_note(self, relative: str, content: bytes) -> None:
        """Writes a file in one step: it is there whole or not at all, and group 0 may replace it."""
        draft = f"{relative}.{os.getpid()}"
        self.remove(draft)
        with os.fdopen(self.open_file(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(content)
        self.move(draft, relative)
        self.open_to_group(relative)

    def open_to_group(self, relative: str) -> None:
        """Lets group 0 write a file, or a directory, and the directories above it, up to but without this one."""
        for path in (PurePosixPath(relative), *PurePosixPath(relative).parents[:-1]):
            with self._place(str(path)) as (parent, name):
                opened = os.open(name, os.O_RDONLY | _FILE, dir_fd=parent)
                state = os.fstat(opened)
                mode = DIRECTORY_MODE if stat.S_ISDIR(state.st_mode) else FILE_MODE
                if state.st_mode & 0o777 != mode and state.st_uid == os.geteuid():
                    os.fchmod(opened, mode)
                os.close(opened)

    @contextmanager
    def _place(self, relative: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Opens the directory that has a path, and gives the last part of the path."""
        path = PurePosixPath(relative)
        with self.below(str(path.parent), create=create) as folder:
            try:
                yield folder._descriptor, path.name
            except OSError as error:
                error.filename = str(self.path / relative)
                raise


def _descend(opened: int, path: Path, relative: str, *, create: bool) -> int:
    """Opens a directory below an open one, which it closes."""
    for name in PurePosixPath(relative).parts:
        path = path / name
        try:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(name, DIRECTORY_MODE, dir_fd=opened)
            below = os.open(name, _DIRECTORY, dir_fd=opened)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(name, opened):
                raise _link_error(path) from None
            error.filename = str(path)
            raise
        finally:
            os.close(opened)
        opened = below
    return opened


def _link_error(path: Path) -> ClaimError:
    return ClaimError(
        f"{path} is a symbolic link, which is not followed", f"Remove it, and run again: rm {shlex.quote(str(path))}"
    )


def _is_link(name: str, folder: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
