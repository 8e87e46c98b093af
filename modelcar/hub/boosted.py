"""Models of boosted trees, told by their first bytes: XGBoost, LightGBM and KServe give them names that tell nothing.

`model.json` and `model.bst` are what KServe's servers of both look for, see
https://kserve.github.io/website/docs/model-serving/predictive-inference/frameworks/overview.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from modelcar.hub.formats import Format, weights_format
from modelcar.hub.snapshot import PublishedFile

HEAD_BYTES = 256
MAX_LOOKED_AT = 8

_SUFFIXES = (".json", ".txt", ".bst", ".model", ".ubj", ".bin")
_LIGHTGBM = re.compile(rb"tree\r?\nversion=")
_XGBOOST = re.compile(rb'\s*\{\s*"learner"|\{L\0{7}\x07learner|binf')

ReadPart = Callable[[PublishedFile, int, int], bytes | None]


def find_boosted(files: Sequence[PublishedFile], read: ReadPart) -> dict[str, Format]:
    """Finds models of boosted trees whose names do not say what they are.

    Args:
        files: The repository's files.
        read: Gives some of a file's bytes.

    Returns:
        Their formats, by their paths; empty where names tell of other weights.
    """
    beside = {file.path for file in files}
    known = {weights_format(path, beside) for path in beside} - {None, Format.XGBOOST, Format.LIGHTGBM, Format.PICKLE}
    if known:
        return {}
    doubtful = [file for file in files if PurePosixPath(file.path).suffix in _SUFFIXES and file.size]
    largest = sorted(doubtful, key=lambda file: (-file.size, file.path))[:MAX_LOOKED_AT]
    found = {file.path: _format_of(read(file, 0, min(file.size, HEAD_BYTES)) or b"") for file in largest}
    return {path: one for path, one in found.items() if one is not None}


def _format_of(head: bytes) -> Format | None:
    if _LIGHTGBM.match(head):
        return Format.LIGHTGBM
    return Format.XGBOOST if _XGBOOST.match(head) else None
