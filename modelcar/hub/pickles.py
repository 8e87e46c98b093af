"""Files that hold Python pickles, which run whatever code they hold when they are loaded: by their names, before any
byte is fetched, and by their first bytes, whatever they are called.

Nothing here unpickles or unpacks anything.
"""

import fnmatch
import re
import struct
from collections.abc import Collection
from pathlib import PurePosixPath

PICKLE_REMEDY = (
    "Choose a revision that has safetensors (https://huggingface.co/spaces/safetensors/convert makes one), leave them "
    "out with --exclude, or, if you trust their owner like your own code, --allow-pickle (the pipeline's allow_pickle)"
)


SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill")
"""What PyTorch, Lightning, scikit-learn and others call files that their loaders unpickle."""

_NO_PICKLES = ("ggml-*.bin",)
"""whisper.cpp's own format."""

HEAD_BYTES = 4096
"""As much of a file's beginning as is looked at."""

_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95}\](cXU\x8a\x8cKJM)GqCBT]|c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n[(}\])q]")
"""A pickle's protocol (2 to 5), and its frame or one of the operations with which pickles begin; or, of a protocol
before that, the import of what is called."""

_ARRAY_OF_OBJECTS = re.compile(rb"\x93NUMPY[\x01-\x03]\x00.{2,4}\{[^}]*'descr': *(?:\[[^}]*)?'[|<>=]?O", re.DOTALL)
_ZIP = b"PK\x03\x04"
_ZIP_HEADER = struct.Struct("<4s5H3L2H")
"""Of a member: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.7."""

_PICKLED_MEMBERS = ("*.pkl", "*.pickle", "*/data.pkl")


def is_pickle_by_name(path: str, beside: Collection[str] = ()) -> bool:
    """Whether a file's name says that it holds a pickle.

    Args:
        path: Its path in the repository.
        beside: All paths there: what OpenVINO calls .bin has an .xml beside it.
    """
    pure = PurePosixPath(path)
    if pure.suffix.lower() not in SUFFIXES or any(fnmatch.fnmatchcase(pure.name, known) for known in _NO_PICKLES):
        return False
    return str(pure.with_suffix(".xml")) not in beside


def is_pickle(head: bytes) -> bool:
    """Whether a file's first bytes are those of a pickle, of an archive that begins with one (as PyTorch's do), or of
    a NumPy array of objects.
    """
    if head.startswith(_ZIP) and len(head) >= _ZIP_HEADER.size:
        fields = _ZIP_HEADER.unpack_from(head)
        method, name_length, extra_length = fields[3], fields[-2], fields[-1]
        start = _ZIP_HEADER.size + name_length
        name = head[_ZIP_HEADER.size : start].decode(errors="replace")
        inside = head[start + extra_length :] if method == 0 else b""
        return any(fnmatch.fnmatchcase(name, known) for known in _PICKLED_MEMBERS) or _is_pickled(inside)
    return _is_pickled(head)


def _is_pickled(head: bytes) -> bool:
    return bool(_PICKLE.match(head) or _ARRAY_OF_OBJECTS.match(head))
