"""Contents of a base image under /models: two models in one image would be served as one.

A base has layers of any maker, so they are read as tar files of any kind, compressed or not, and nothing of them is
unpacked to a disk.
"""

import itertools
import posixpath
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, cast

from modelcar.errors import BuildError, WrongBytesError
from modelcar.image.annotations import MODEL
from modelcar.image.base_image import BaseImage, Variant
from modelcar.image.recipe import MODELS
from modelcar.oci import spec
from modelcar.oci.registry import Repository

MAX_READ_BYTES = 64 << 20
"""Bytes of a layer that are read before a run. A layer that a model lies in begins with it: that is how
`COPY … /models` is written."""

MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO = 1 << 30, 200
"""A layer that unpacks to more than both is no file system's, but made to keep us busy. Text shrinks some 10 times."""

_GZIP, _ZSTD, _OTHERS = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", (b"BZh", b"\xfd7zXZ\x00")
"""First bytes. Whoever unpacks an image goes by them (containerd, containers/storage), whatever the type says."""

_OPAQUE = ".wh..wh..opq"
_SHELLS = ("bin/sh", "usr/bin/sh")
_RUN = re.compile(r"/bin/(ba)?sh -\S*c (?!#\(nop\))")


@dataclass(frozen=True)
class Held:
    """A layer's word on /models.

    Attributes:
        path: A file that it puts there; empty for none.
        cleared: Whether it removes what the layers below it have there.
        shell: Whether it has a shell.
        is_closed: Whether it could not be looked into: it is compressed with zstd, or in another way of which we know
            nothing.
    """

    path: str = ""
    cleared: bool = False
    shell: bool = False
    is_closed: bool = False


@dataclass(frozen=True)
class BaseContents:
    """A base as KServe will find it in an image.

    Attributes:
        has_shell: Whether there is a shell; None where that cannot be seen.
        entry_point: The base's own entry point, to which KServe's command goes as arguments; empty for none.
    """

    has_shell: bool | None
    entry_point: str = ""


def examine_base(base: BaseImage, *, allow_models: bool = False) -> "BaseContents":
    """Refuses a base image that has something under /models itself, and tells what KServe will find in it.

    Of each layer the first 64 MiB are read, as they are in the registry; the default base is known and not read.

    Args:
        base: The base image.
        allow_models: Whether it may have something there.

    Raises:
        BuildError: It has, and may not.
        RegistryError: It cannot be read.
    """
    if base.repository is None:
        return BaseContents(has_shell=True)
    shells: list[bool | None] = []
    for variant in base.variants:
        if not allow_models and MODEL in (variant.config.config.get("Labels") or {}):
            raise _refused(base, "it is an image of a model itself")
        held = [look_into(_begin(base.repository, layer)) for layer in variant.layers]
        if (found := what_is_there(variant, held)) and not allow_models:
            raise _refused(base, found)
        read_whole = all(layer.size <= MAX_READ_BYTES for layer in variant.layers)
        read_whole = read_whole and not any(one.is_closed for one in held)
        has_one = _ran_a_shell(variant.config) or any(one.shell for one in held)
        shells.append(has_one or (False if read_whole else None))
    entry_point = base.variants[0].config.config.get("Entrypoint") or []
    has_shell = False if False in shells else None if None in shells else True
    return BaseContents(has_shell, " ".join(map(str, entry_point)))


def _ran_a_shell(config: spec.Config) -> bool:
    """Tells from the history whether a build ran commands in the image, which takes a shell."""
    return any(_RUN.search(str(step.get("created_by", ""))) for step in config.history)


def what_is_there(variant: Variant, layers: Sequence[Held]) -> str:
    """Says what a base has under /models, or lays over it; empty for nothing.

    Args:
        variant: The base, for one platform.
        layers: What its layers say, lowest first.
    """
    volumes = variant.config.config.get("Volumes")
    for volume in volumes if isinstance(volumes, dict) else ():
        path = posixpath.normpath(f"/{volume}").lstrip("/")
        if path == "" or path.split("/")[0] == MODELS:
            return f"it declares a volume at /{path}, which would lie over the model"
    found = ""
    for held in layers:
        found = held.path or ("" if held.cleared else found)
    if found:
        return f"it holds /{found}"
    if any(held.is_closed for held in layers):
        return "a layer of it is compressed in a way that is not read here (not gzip), so it may hold /models"
    return ""


def look_into(chunks: Iterator[bytes]) -> Held:
    """Reads a layer of any maker for what it has under /models; a layer that ends early is read as far as it goes.

    Args:
        chunks: Its bytes, as they are in the registry.

    Raises:
        WrongBytesError: It unpacks to more than any file system's layer.
    """
    first = next((chunk for chunk in chunks if chunk), b"")
    while len(first) < len(_OTHERS[-1]) and (more := next(chunks, b"")):
        first += more
    if first.startswith((_ZSTD, *_OTHERS)):
        return Held(is_closed=True)
    whole = itertools.chain([first], chunks)
    found, cleared, shell = "", False, False
    try:
        with tarfile.open(fileobj=cast(IO[bytes], _File(_unpacked(whole, first))), mode="r|") as tar:
            for member in tar:
                # What was read is not needed again, and a layer may have any number of members.
                tar.members = []  # type: ignore[attr-defined]
                path = member.name.removeprefix("./").strip("/")
                top, _, rest = path.partition("/")
                shell = shell or path in _SHELLS
                cleared = cleared or path == f".wh.{MODELS}" or path == f"{MODELS}/{_OPAQUE}"
                if top == MODELS and (rest or not member.isdir()) and not rest.startswith(".wh."):
                    found = found or path
    except (tarfile.TarError, zlib.error, EOFError, ValueError):
        pass
    return Held(found, cleared, shell)


def _refused(base: BaseImage, why: str) -> BuildError:
    return BuildError(
        f"the base image {base.name} cannot be under a model: {why}",
        "Choose a base image without /models, or ask for both models in one image: allow_base_models",
    )


def _begin(repository: Repository, layer: spec.Descriptor) -> Iterator[bytes]:
    seen = 0
    for chunk in repository.read_blob(layer.digest):
        yield chunk
        seen += len(chunk)
        if seen >= MAX_READ_BYTES:
            return


def _unpacked(chunks: Iterator[bytes], first: bytes) -> Iterator[bytes]:
    if not first.startswith(_GZIP):
        yield from chunks
        return
    read = unpacked = 0
    decoder = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        read += len(chunk)
        data = chunk
        while data:
            piece = decoder.decompress(data, 1 << 20)
            unpacked += len(piece)
            if unpacked > MAX_UNPACKED_BYTES and unpacked > MAX_UNPACKED_RATIO * read:
                raise WrongBytesError(f"a layer unpacks to more than {MAX_UNPACKED_RATIO} times its size")
            yield piece
            data = decoder.unconsumed_tail
            if decoder.eof:
                # gzip files may follow one another.
                data, decoder = decoder.unused_data, zlib.decompressobj(wbits=31)


class _File:
    """An iterator of bytes as tarfile's stream mode reads it."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = b""

    def read(self, size: int) -> bytes:
        """Returns at most so many bytes, fewer only at the end."""
        taken: list[bytes] = []
        while size and (data := self._held or next(self._chunks, None)) is not None:
            taken.append(data[:size])
            self._held = data[size:]
            size -= len(taken[-1])
        return b"".join(taken)
