"""Reads the layers of an image and hashes every file in them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from modelcar.errors import RegistryError, WrongBytesError
from modelcar.hub.snapshot import PublishedFile
from modelcar.image import recipe
from modelcar.image.annotations import FILES
from modelcar.oci import spec
from modelcar.oci.blob import Blob
from modelcar.oci.registry import Repository
from modelcar.oci.tar_reader import Member, members
from modelcar.progress import Progress


@dataclass(frozen=True)
class ReadLayer:
    """What a layer was found to hold, and what is wrong with it."""

    files: list["ReadFile"]
    problem: str = ""


@dataclass(frozen=True)
class ReadFile:
    """A file as it is in a layer."""

    path: str
    size: int
    sha256: str
    git_blob: str
    layer: str

    def is_the(self, file: PublishedFile) -> bool:
        """Tells whether it has the bytes of a published file."""
        return self.size == file.size and file.identity in (f"sha256:{self.sha256}", f"git:{self.git_blob}")


def is_models(layer: spec.Descriptor) -> bool:
    """Tells whether a layer is one of the model's."""
    return layer.media_type == spec.LAYER and FILES in (layer.annotations or {})


def read_layer(repository: Repository, layer: spec.Descriptor, in_git: set[str], progress: Progress) -> ReadLayer:
    """Reads a layer once, for its digest and for its files' hashes."""
    whole = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        blob = Blob(layer.size, lambda offset: repository.read_blob(layer.digest, offset))
        for piece in blob.pieces():
            whole.update(piece.data)
            progress.advance(len(piece.data))
            yield piece.data

    stream = chunks()
    files: list[ReadFile] = []
    problem = ""
    try:
        if is_models(layer):
            for member in members(stream):
                files.append(read_file(member, layer.digest, in_git))
    except (WrongBytesError, RegistryError) as error:
        problem = str(error)
    try:
        for _ in stream:
            pass
    except (WrongBytesError, RegistryError) as error:
        return ReadLayer(files, str(error))
    if f"sha256:{whole.hexdigest()}" != layer.digest:
        problem = f"the registry serves other bytes, sha256:{whole.hexdigest()}"
    return ReadLayer(files, problem)


def read_file(member: Member, layer: str, in_git: set[str]) -> ReadFile:
    """Reads a file of a layer and hashes it."""
    path = member.path.removeprefix(f"{recipe.MODELS}/")
    plain, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % member.size, usedforsecurity=False)
    for piece in member.data:
        plain.update(piece)
        if path in in_git:
            git.update(piece)
    return ReadFile(path, member.size, plain.hexdigest(), git.hexdigest(), layer)
