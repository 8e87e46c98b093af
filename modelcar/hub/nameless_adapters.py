"""Adapters whose names do not tell, such as a LoRA of a training program: known by the names of their tensors."""

import re
from collections.abc import Callable, Collection
from pathlib import PurePosixPath

from modelcar.hub.safetensors_header import SUFFIX
from modelcar.hub.snapshot import PublishedFile

HEAD_BYTES = 64 << 10
"""Beginning of a file's header that is read: some hundred tensors, sorted by their names."""

_CONFIGURATIONS = ("config.json", "model_index.json", "adapter_config.json", "modules.json", "params.json")

_ADAPTER_TENSORS = re.compile(
    rb'"[^"]*(lora_(a|b|up|down|unet|te\d?)|lora\.(up|down)|hada_w\d|lokr_w\d|dora_scale)[._"]', re.I
)
"""Names of PEFT, diffusers, kohya's scripts and LyCORIS."""

ReadPart = Callable[[PublishedFile, int, int], bytes | None]
"""Reader of a file's bytes from one offset to before another; None if the Hub has none."""


def is_nameless_adapter(files: Collection[PublishedFile], read: ReadPart) -> bool:
    """Tells whether a repository without any configuration holds an adapter; the head of one file is read for that.

    Args:
        files: The repository's files.
        read: Gives parts of a file.
    """
    if any(PurePosixPath(file.path).name in _CONFIGURATIONS for file in files):
        return False
    safe = [file for file in files if file.path.endswith(SUFFIX) and "/" not in file.path]
    if not safe:
        return False
    first = min(safe, key=lambda file: file.path)
    head = read(first, 0, min(first.size, HEAD_BYTES)) or b""
    return _ADAPTER_TENSORS.search(head) is not None
