"""Reads a layer of a model back from a registry: is it, to the byte, the one that its files make?"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from modelcar.errors import UnsoundImageError, WeightsError, WrongBytesError
from modelcar.hub.file_check import FileCheck
from modelcar.hub.snapshot import PublishedFile
from modelcar.image.recipe import MODELS
from modelcar.oci import spec
from modelcar.oci.blob import Blob
from modelcar.oci.registry import Repository
from modelcar.oci.tar_reader import Member, members
from modelcar.progress import Count

MAX_PROBLEMS = 10
"""Number for a layer. One is enough to refuse it."""


@dataclass
class ReadLayer:
    """Findings of reading a layer.

    Attributes:
        files: The published files in it, in its order.
        hashes: Their SHA-256, by their places in /models.
        digest: The digest of the bytes that the registry gave.
        file_problems: Files that are not as they were published, with what is wrong.
        problem: What is wrong with the layer as a whole; empty for nothing.
    """

    files: list[PublishedFile] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    digest: str = ""
    file_problems: list[str] = field(default_factory=list)
    problem: str = ""

    @property
    def is_right(self) -> bool:
        """Tells whether it is the very layer that its files make, each as it was published."""
        return not self.problem and not self.file_problems


def read_layer(
    repository: Repository, layer: spec.Descriptor, by_path: Mapping[str, PublishedFile], count: Count
) -> ReadLayer:
    """Reads a layer once, for its digest and for its files' hashes.

    Args:
        repository: Where it is.
        layer: Its digest and size.
        by_path: What was published, by the paths in the repository.
        count: Is told how many bytes were read; may raise to end the work.

    Raises:
        RegistryError: The registry refuses, or went away: that says nothing of the layer.
    """
    done = ReadLayer()
    whole = spec.Hash(like=layer.digest)

    def chunks() -> Iterator[bytes]:
        blob = Blob(layer.size, lambda offset: repository.read_blob(layer.digest, offset))
        for piece in blob.pieces():
            whole.update(piece.data)
            count(len(piece.data))
            yield piece.data

    stream = chunks()
    try:
        for member in members(stream):
            _read_file(member, by_path, done)
            if len(done.file_problems) >= MAX_PROBLEMS:
                done.problem = "it holds more files that nobody published; the rest was not looked at"
                break
    except (WrongBytesError, UnsoundImageError) as error:
        done.problem = error.what
    try:
        for _ in stream:
            pass
    except (WrongBytesError, UnsoundImageError) as error:
        done.problem = error.what
        return done
    done.digest = whole.digest
    if done.digest != layer.digest:
        done.problem = f"the registry serves other bytes, {done.digest}"
    return done


def _read_file(member: Member, by_path: Mapping[str, PublishedFile], done: ReadLayer) -> None:
    top, _, path = member.path.partition("/")
    file = by_path.get(path) if top == MODELS else None
    if file is None:
        named = path if top == MODELS else f"/{member.path}"
        done.file_problems.append(f"{named}: nobody published a file of that name")
    elif member.size != file.size:
        done.file_problems.append(f"{path}: it has {member.size} bytes, and {file.size} were published")
    else:
        done.files.append(file)
        if problem := _check(member, path, file, done):
            done.file_problems.append(f"{path}: {problem}")
        return
    for _ in member.data:
        pass


def _check(member: Member, path: str, file: PublishedFile, done: ReadLayer) -> str:
    """Holds a file against what was published; says what is wrong with it."""
    if file.origin is not None and not file.sha256:
        # It is a part of a published file, which is held against that one's hash as a whole (verify.cut_files).
        digest = hashlib.sha256()
        for data in member.data:
            digest.update(data)
        done.hashes[path] = digest.hexdigest()
        return ""
    check = FileCheck(file, allow_pickle=True)
    # Of a file in git the Hub publishes another hash.
    plain = None if file.sha256 else hashlib.sha256()
    for data in member.data:
        check.take(data)
        if plain is not None:
            plain.update(data)
    done.hashes[path] = check.found if plain is None else plain.hexdigest()
    try:
        if not check.is_right():
            return f"it is sha256:{done.hashes[path]}, and {file.identity} was published"
    except WeightsError as error:
        return error.what
    return ""
