"""A layer of an image, made of this machine's files."""

import io
import tarfile
from collections.abc import Iterable
from importlib.util import cache_from_source
from pathlib import Path, PurePosixPath


class FileLayer:
    """A layer's tar stream in the making, with everything readable by every user."""

    def __init__(self) -> None:
        self._stream = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._stream, mode="w", format=tarfile.GNU_FORMAT)  # noqa: SIM115
        self._names: set[str] = set()

    def directory(self, path: PurePosixPath | str, mode: int = 0o755) -> None:
        if (entry := self._entry(path, mode)) is not None:
            entry.type = tarfile.DIRTYPE
            self._tar.addfile(entry)

    def link(self, path: PurePosixPath | str, target: str) -> None:
        if (entry := self._entry(path, 0o777)) is not None:
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            self._tar.addfile(entry)

    def file(self, path: PurePosixPath | str, content: bytes | Path, mode: int = 0o644) -> None:
        """Adds a file: of this content, or one of this machine's, with what its Python has compiled it to."""
        if (entry := self._entry(path, mode)) is None:
            return
        data = content.read_bytes() if isinstance(content, Path) else content
        entry.size = len(data)
        if isinstance(content, Path):
            entry.mode = 0o755 if content.stat().st_mode & 0o100 else mode
            # Python takes compiled code for that of a source of just this time.
            entry.mtime = int(content.stat().st_mtime)
        self._tar.addfile(entry, io.BytesIO(data))
        if isinstance(content, Path) and content.suffix == ".py":
            self._compiled(PurePosixPath(path).parent, content)

    def tree(self, path: PurePosixPath, folder: Path, left_out: Iterable[str] = ("__pycache__",)) -> None:
        for item in sorted(folder.iterdir()):
            if item.name in left_out or item.name.startswith("config-"):
                continue
            if item.is_dir():
                self.tree(path / item.name, item, left_out)
            else:
                self.file(path / item.name, item)

    def finished(self) -> bytes:
        self._tar.close()
        return self._stream.getvalue()

    def _compiled(self, folder: PurePosixPath, source: Path) -> None:
        """Adds what a module was compiled to, if it was: else every pod would compile all that it imports."""
        compiled = Path(cache_from_source(str(source)))
        if compiled.is_file():
            self.file(folder / compiled.parent.name / compiled.name, compiled)

    def _entry(self, path: PurePosixPath | str, mode: int) -> tarfile.TarInfo | None:
        place = PurePosixPath(str(path).lstrip("/"))
        if str(place) in self._names:
            return None
        self._names.add(str(place))
        if place.parent != PurePosixPath("."):
            self.directory(place.parent)
        entry = tarfile.TarInfo(str(place))
        entry.mode = mode
        return entry
