"""Files that were cut to fit into layers (modelcar.hub.reshard), put together again and held against the Hub's hash."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from modelcar.errors import UnsoundImageError, WrongBytesError
from modelcar.hub.reshard import Resharded, Split
from modelcar.image.recipe import MODELS
from modelcar.oci import spec
from modelcar.oci.blob import Blob
from modelcar.oci.registry import Repository
from modelcar.oci.tar_reader import members
from modelcar.progress import Progress
from modelcar.steps.verify.found import FoundImage
from modelcar.steps.verify.layers import Contents
from modelcar.steps.verify.result import Link, State, broken, proved


def prove_cut_files(
    image: FoundImage, layers: Sequence[spec.Descriptor], resharded: Resharded | None, contents: Contents
) -> Contents:
    """Proves the files that are parts of published ones: the published file is put together again, and hashed.

    Args:
        image: The image.
        layers: The layers of the model.
        resharded: How published files are cut for such an image; None if none is.
        contents: What was read of its layers.

    Returns:
        The contents, with the hashes of these files.
    """
    if resharded is None or contents.files is None:
        return contents
    if not contents.hashes:
        # Nothing was read: a statement says what is in the layers.
        resharded.take(file for part in contents.files for file in part if file.origin and file.sha256)
        return contents
    holder = {file.path: layer for layer, files in zip(layers, contents.files, strict=True) for file in files}
    splits = [split for split in resharded.splits if any(shard.path in holder for shard in split.shards)]
    links = list(contents.links)
    with Progress("put together", sum(split.file.size for split in splits)) as progress:
        for split in splits:
            links.append(_prove(_FromImage(image.repository, split, holder), resharded, contents.hashes, progress))
    if any(link.state is State.BROKEN for link in links[len(contents.links) :]):
        return Contents(links=links)
    known = {file.path: file for split in splits for file in resharded.proved(split)}
    files = [[known.get(file.path, file) for file in part] for part in contents.files]
    return replace(contents, files=files, links=links)


def _prove(parts: "_FromImage", resharded: Resharded, hashes: Mapping[str, str], progress: Progress) -> Link:
    split = parts.split
    try:
        files = split.prove(parts, progress.advance)
    except (WrongBytesError, UnsoundImageError) as error:
        return broken("file", f"{split.file.path}: {error.what}")
    for file in files:
        # The registry must have given the same bytes when the layer was held against its digest.
        if hashes.get(file.place) != file.sha256:
            return broken("file", f"{file.path}: it is sha256:{hashes.get(file.place)}, and should be {file.sha256}")
    resharded.take(files)
    tensors = sum(len(shard.spans) for shard in split.shards)
    return proved("file", f"{split.file.path}: {len(files)} parts with {tensors} tensors are, put together, its bytes")


@dataclass(frozen=True)
class _FromImage:
    """A published file's bytes, out of the parts of it that an image holds."""

    repository: Repository
    split: Split
    holder: Mapping[str, spec.Descriptor]

    def read(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        yield self.split.head
        for shard, file in zip(self.split.shards, self.split.files(), strict=True):
            if shard.path not in self.holder:
                raise WrongBytesError(f"its part {shard.path} is missing")
            left = len(shard.header)
            for data in self._stored(self.holder[shard.path], f"{MODELS}/{file.place}"):
                yield data[left:]
                left = max(left - len(data), 0)

    def _stored(self, layer: spec.Descriptor, path: str) -> Iterator[bytes]:
        blob = Blob(layer.size, lambda offset: self.repository.read_blob(layer.digest, offset))
        for member in members(piece.data for piece in blob.pieces()):
            if member.path == path:
                yield from member.data
                return
            for _ in member.data:
                pass
