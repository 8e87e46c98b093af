"""The layers of an image: read to the last byte or, where nothing is read, as a signed statement names them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from modelcar.errors import UnsoundImageError, WrongBytesError
from modelcar.hub.snapshot import PublishedFile
from modelcar.image.annotations import folder_of_image
from modelcar.image.base_contents import Held, look_into, what_is_there
from modelcar.image.base_image import BaseImage
from modelcar.image.read_back import read_layer
from modelcar.oci import spec
from modelcar.oci.blob import Blob
from modelcar.progress import Count, Progress
from modelcar.steps.verify.found import FoundImage
from modelcar.steps.verify.origin import Origin
from modelcar.steps.verify.result import Link, broken, not_proved, proved

PARALLEL_LAYERS = 4
MAX_NAMED = 20
"""Faults that are told one by one; of more, how many there are."""


@dataclass
class Contents:
    """Files in each layer of the model.

    Attributes:
        files: The files of each layer, in the layers' order; None if it is not known.
        is_proved: Whether that was read, or is signed.
        links: What came of looking.
        hashes: The SHA-256 of each file that was read, by its place in /models.
    """

    files: list[list[PublishedFile]] | None = None
    is_proved: bool = False
    links: list[Link] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Read:
    digest: str
    files: list[PublishedFile]
    problem: str
    file_problems: list[str]
    held: Held = field(default_factory=Held)
    hashes: dict[str, str] = field(default_factory=dict)


def read_layers(
    image: FoundImage, base: BaseImage | None, origin: Origin, *, allow_base_models: bool = False
) -> Contents:
    """Reads every byte of every layer, and tells which published files they hold.

    Args:
        image: The image.
        base: The image under the model; None if it could not be read.
        origin: What was published.
        allow_base_models: Whether the base may have files in /models.
    """
    models = {layer.digest for layer in image.model_layers(base)}
    every = image.layers
    by_path = origin.published.by_path if origin.published else None
    total = sum(layer.size for layer in every.values())

    def read(layer: spec.Descriptor) -> _Read:
        if layer.digest not in models:
            return _read_base_layer(image, layer, progress.advance, is_known=base is None or base.repository is None)
        if by_path is None:
            return _read_base_layer(image, layer, progress.advance, is_known=True)
        found = read_layer(image.repository, layer, by_path, progress.advance)
        return _Read(layer.digest, found.files, found.problem, found.file_problems, hashes=found.hashes)

    with Progress("verify", total) as progress, ThreadPoolExecutor(PARALLEL_LAYERS) as pool:
        done = {one.digest: one for one in pool.map(read, every.values())}
    links = list(_told(base, done, total, allow_base_models=allow_base_models))
    if by_path is None:
        links.append(not_proved("files", "nobody says what was published"))
        return Contents(links=links)
    problems = [problem for one in done.values() for problem in one.file_problems]
    links += [broken("file", problem) for problem in problems[:MAX_NAMED]]
    if len(problems) > MAX_NAMED:
        links.append(broken("file", f"{len(problems) - MAX_NAMED} more that are not as they were published"))
    if any(link for link in links if link.name in ("layer", "file")):
        return Contents(links=links)
    hashes = {place: found for one in done.values() for place, found in one.hashes.items()}
    return Contents([done[layer.digest].files for layer in image.model_layers(base)], True, links, hashes)


def trust_layers(image: FoundImage, base: BaseImage | None, origin: Origin) -> Contents:
    """Reads no layer: takes what the statement says of them, and sees whether they are all there.

    Args:
        image: The image.
        base: The image under the model; None if it could not be read.
        origin: What was published, and the statement.
    """
    lacking = [digest for digest in image.layers if not image.repository.has_blob(digest)]
    links = [broken("layer", f"{digest} is gone") for digest in lacking[:MAX_NAMED]]
    statement = origin.statement
    if statement is None:
        links.append(not_proved("layers", "they were not read, and no statement says what is in them"))
        return Contents(links=links)
    by_layer = statement.by_layer(folder_of_image(image.said))
    layers = [layer.digest for layer in image.model_layers(base)]
    if sorted(by_layer) != sorted(layers):
        links.append(broken("layers", "they are not the ones that the statement names"))
        return Contents(links=links)
    if origin.is_signed and not lacking:
        links.append(proved("layers", f"{len(layers)}, as the signed statement names them; their bytes were not read"))
    else:
        links.append(not_proved("layers", "their bytes were not read, and the statement on them is not signed"))
    return Contents([by_layer[digest] for digest in layers], origin.is_signed, links)


def _told(base: BaseImage | None, done: dict[str, _Read], total: int, *, allow_base_models: bool) -> Iterator[Link]:
    wrong = [one for one in done.values() if one.problem]
    for one in wrong[:MAX_NAMED]:
        yield broken("layer", f"{one.digest}: {one.problem}")
    if not wrong:
        yield proved("layers", f"{len(done)}, {total} bytes, each with its digest")
    for variant in base.variants if base else ():
        held = [done[layer.digest].held for layer in variant.layers if layer.digest in done]
        if detail := what_is_there(variant, held):
            yield (proved if allow_base_models else not_proved)("base image", detail)
            return


def _read_base_layer(image: FoundImage, layer: spec.Descriptor, count: Count, *, is_known: bool) -> _Read:
    """Reads a layer that is not the model's, for its digest and for what it has under /models."""
    whole = spec.Hash(like=layer.digest)

    def chunks() -> Iterator[bytes]:
        blob = Blob(layer.size, lambda offset: image.repository.read_blob(layer.digest, offset))
        for piece in blob.pieces():
            whole.update(piece.data)
            count(len(piece.data))
            yield piece.data

    stream, held, problem = chunks(), Held(), ""
    try:
        if not is_known:
            held = look_into(stream)
        for _ in stream:
            pass
    except (WrongBytesError, UnsoundImageError) as error:
        return _Read(layer.digest, [], error.what, [])
    if whole.digest != layer.digest:
        problem = f"the registry serves other bytes, {whole.digest}"
    return _Read(layer.digest, [], problem, [], held)
