"""Files that hold Python pickles, which run whatever code they hold when they are loaded: by their names, before any
byte is fetched, and by their first bytes, or an archive's list of members, where the name does not decide.

Nothing here unpickles or unpacks anything.
"""

import fnmatch
import io
import pickletools
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from enum import Enum
from pathlib import PurePosixPath

from modelcar.hub.formats import NO_WEIGHTS, Format, weights_format

PICKLE_REMEDY = (
    "Choose a revision that has safetensors (https://huggingface.co/spaces/safetensors/convert makes one), leave them "
    "out with --exclude, or, if you trust their owner like your own code, --allow-pickle with their names "
    "(the pipeline's allow_pickle)"
)

SUFFIXES = frozenset((
    ".pt", ".pth", ".ckpt", ".distcp",
    ".pkl", ".pickle", ".pckl", ".pk", ".p", ".sav", ".joblib", ".dill", ".cloudpickle",
))  # fmt: skip
"""Suffixes of files that the loaders of PyTorch, Lightning, scikit-learn and others unpickle."""

_SUSPECT = frozenset((".nemo", ".mar", ".pt2", ".th", ".torch", ".pyt", ".ptl", ".pdparams", ".pdopt", ".params"))
"""Suffixes of archives that mostly hold pickles, and of what PyTorch, Paddle and MXNet save, pickled or not."""

ARCHIVES = (".nemo", ".mar", ".pt2", ".zip", ".tar", ".npz", ".keras")
"""Archives, which may hold pickles."""

_HARMLESS = frozenset(Format) - {
    *(Format.TORCH, Format.PICKLE, Format.NUMPY, Format.PADDLE, Format.NEMO, Format.UNKNOWN),
    *(Format.XGBOOST, Format.LIGHTGBM, Format.CATBOOST, Format.SKOPS),
}
"""Formats that no loader unpickles, whatever the file holds."""

HEAD_BYTES = 4096
"""Size of that beginning of a file which is looked at."""

_TORCH_BINS = re.compile(
    r"((diffusion_)?pytorch_|open_clip_pytorch_)?(model|weights)([-_.].*)?\.bin|pytorch_.*\.bin|adapter_model.*\.bin"
    r"|(.*_)?state_dict\.bin|pytorch_lora_weights\.bin|training_args\.bin|.*(optimizer|optim|scheduler|states?)\.bin"
)
"""Names that libraries on PyTorch give their pickles; other .bin files may be anything."""

_DISTRIBUTED = ".metadata"
"""torch.distributed.checkpoint's own file, beside its .distcp: a pickle."""

_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95}\](cXU\x8a\x8cKJM)GqCBT]|c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n[(}\])q]")
"""A pickle's protocol (2 to 5), and its frame or one of the operations with which pickles begin; or, of a protocol
before that, the import of what is called."""

_ARRAY_OF_OBJECTS = re.compile(rb"\x93NUMPY[\x01-\x03]\x00.{2,4}\{[^}]*'descr': *(?:\[[^}]*)?'[|<>=]?O", re.DOTALL)
_ZIP, _TAR = b"PK\x03\x04", b"ustar"
_TAR_MAGIC = 257
_COMPRESSED = (
    b"\x1f\x8b",
    b"\x78\x01",
    b"\x78\x5e",
    b"\x78\x9c",
    b"\x78\xda",
    b"BZh",
    b"\xfd7zXZ",
    b"\x28\xb5\x2f\xfd",
)
_COMPRESSED_SUFFIXES = frozenset((".gz", ".xz", ".bz2", ".zst"))
_ZIP_HEADER = struct.Struct("<4s5H3L2H")
"""Header of a member: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.7."""

_PICKLED_MEMBERS = ("*.pkl", "*.pickle", "*/data.pkl", "*.pth", "*.pt", "*.ckpt", "*.joblib")
_IMPORTS = ("GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID")
MAX_MEMBERS = 64
"""Number of a tar's members that are looked at: each of them is a read of its own."""

ReadPart = Callable[[int, int], bytes | None]
"""A function that gives a file's bytes from one offset to before another; None if the Hub has none."""


class ByName(Enum):
    """The answer of a file's name to the question of a pickle."""

    YES = "yes"
    NO = "no"
    MAYBE = "maybe"
    """The bytes decide; where they cannot be read it is taken to be one."""

    PERHAPS = "perhaps"
    """The bytes decide; where they cannot be read it is taken to be none."""


def by_name(path: str, beside: Collection[str] = ()) -> ByName:
    """Tells by a file's name whether it holds a pickle.

    Args:
        path: Its path in the repository.
        beside: All paths there: what OpenVINO and CTranslate2 call .bin is known by its neighbours.
    """
    pure = PurePosixPath(path)
    suffix = pure.suffix.lower()
    if suffix in SUFFIXES or pure.name.lower().endswith(".pth.tar") or pure.name == _DISTRIBUTED:
        return ByName.YES
    if suffix == ".bin":
        found = weights_format(path, beside)
        if found is not Format.TORCH:
            return ByName.NO
        return ByName.YES if _TORCH_BINS.fullmatch(pure.name) else ByName.MAYBE
    if suffix in _SUSPECT:
        return ByName.MAYBE
    if suffix in ARCHIVES or suffix in ("", ".npy"):
        return ByName.PERHAPS
    if weights_format(path, beside) in _HARMLESS or suffix in NO_WEIGHTS - _COMPRESSED_SUFFIXES:
        return ByName.NO
    # A piece of a pickle, or a pickle in an archive: `model.pt.part0`, `model.pkl.gz`.
    is_around = any(inner.lower() in SUFFIXES for inner in pure.suffixes[:-1])
    return ByName.MAYBE if is_around else ByName.PERHAPS


def is_pickle_by_name(path: str, beside: Collection[str] = ()) -> bool:
    """Tells whether a file's name says that it holds a pickle, or may hold one.

    Args:
        path: Its path in the repository.
        beside: All paths there.
    """
    return by_name(path, beside) in (ByName.YES, ByName.MAYBE)


def is_pickle(head: bytes) -> bool:
    """Tells whether first bytes are a pickle's, an array of objects', or an archive's that begins with one."""
    if head.startswith(_ZIP) and len(head) >= _ZIP_HEADER.size:
        fields = _ZIP_HEADER.unpack_from(head)
        method, name_length, extra_length = fields[3], fields[-2], fields[-1]
        start = _ZIP_HEADER.size + name_length
        name = head[_ZIP_HEADER.size : start].decode(errors="replace")
        inside = head[start + extra_length :] if method == 0 else b""
        return _is_pickled_member(name) or _is_pickled(inside)
    return _is_pickled(head)


def is_one(path: str) -> str:
    """Says, for an error, that a file is a pickle."""
    return f"{path} is a Python pickle, or holds one, which runs code when it is loaded"


def look(size: int, read: ReadPart, *, is_suspect: bool) -> bool | None:
    """Tells by a file's bytes whether it holds a pickle, where its name does not decide.

    Args:
        size: Its size in bytes.
        read: Gives its bytes; a few KiB are read, of an archive its members' names.
        is_suspect: Whether its name says that it may be one: then it must also not look like one of an old protocol.

    Returns:
        None if the bytes cannot be read, or tell nothing.
    """
    head = read(0, min(size, HEAD_BYTES))
    if not head or not any(head):
        return None
    if is_pickle(head):
        return True
    if head.startswith(_ZIP):
        return _any_pickled(lambda file: zipfile.ZipFile(file).namelist(), size, read)
    if head[_TAR_MAGIC : _TAR_MAGIC + len(_TAR)] == _TAR:
        return _any_pickled(_tar_names, size, read)
    if head.startswith(_COMPRESSED):
        return None
    return is_suspect and may_run_code(head)


def may_run_code(head: bytes) -> bool:
    """Tells whether an unpickler that is given these bytes may import something before it meets what it cannot read.

    Protocols 0 and 1 have no mark at their beginning, so the operations themselves are looked at.
    """
    try:
        for operation, _, _ in pickletools.genops(head):
            if operation.name in _IMPORTS:
                return True
    except ValueError as error:
        # What ends in the middle of an operation may go on; what is no operation ends the unpickler.
        return "unknown" not in str(error)
    return False


def _any_pickled(names_in: Callable[[io.BufferedIOBase], Iterable[str]], size: int, read: ReadPart) -> bool | None:
    try:
        with io.BufferedReader(_RangedFile(size, read), 1 << 16) as file:
            return any(_is_pickled_member(name) for name in names_in(file))
    except (OSError, tarfile.TarError, zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError):
        return None


def _tar_names(file: io.BufferedIOBase) -> Iterator[str]:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for number, member in enumerate(archive):
            if number == MAX_MEMBERS:
                raise tarfile.TarError("it has more members than are looked at")
            yield member.name


class _RangedFile(io.RawIOBase):
    """A file on the Hub as Python's archive readers want it, of which only the parts that they ask for are read."""

    def __init__(self, size: int, read: ReadPart) -> None:
        self._size = size
        self._read = read
        self._at = 0

    def readable(self) -> bool:
        """Says that it can be read."""
        return True

    def seekable(self) -> bool:
        """Says that any part can be read."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to an offset."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Reads the next part."""
        end = min(self._at + len(buffer), self._size)
        if self._at >= end:
            return 0
        data = self._read(self._at, end)
        if not data:
            raise OSError("the Hub has no such bytes")
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _is_pickled_member(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, known) for known in _PICKLED_MEMBERS)


def _is_pickled(head: bytes) -> bool:
    return bool(_PICKLE.match(head) or _ARRAY_OF_OBJECTS.match(head))
