"""The image as this software would make it of what was found, held against the one that is there, to the byte."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelcar.attestation import contents as attached
from modelcar.errors import BuildError, UnsafeNameError, UnsoundImageError, WrongBytesError
from modelcar.hub.description import describe_files
from modelcar.hub.facts import Facts
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.image import annotations, layout, recipe
from modelcar.image.base_image import BaseImage
from modelcar.image.manifest import Assembled
from modelcar.image.model_image import ModelImage
from modelcar.oci import spec
from modelcar.oci.registry import Stored
from modelcar.oci.tar_writer import Entry, Layer
from modelcar.steps.verify.completeness import missing_weights
from modelcar.steps.verify.found import FoundImage
from modelcar.steps.verify.layers import Contents
from modelcar.steps.verify.origin import Origin
from modelcar.steps.verify.result import Link, broken, not_proved, proved

MAX_DIFFERENCES = 10


@dataclass(frozen=True)
class Recomputed:
    """Result of making the image again.

    Attributes:
        links: Whether it is the one that is there.
        contents: What it was made of; None if that is not known.
    """

    links: list[Link] = field(default_factory=list)
    contents: attached.Contents | None = None


def recompute(image: FoundImage, base: BaseImage | None, origin: Origin, found: Contents) -> Recomputed:
    """Makes the image again of the commit, the files that were found, and the base.

    Args:
        image: The image as it is.
        base: The image under the model; None if it could not be read.
        origin: What was published.
        found: Which files each layer of the model holds.
    """
    if base is None or origin.published is None or found.files is None:
        return Recomputed([not_proved("recipe", "the image could not be made again from what is known")])
    twice = [path for path, count in Counter(file.path for part in found.files for file in part).items() if count > 1]
    if twice:
        return Recomputed([broken("file", f"{path}: it is there twice") for path in twice[:MAX_DIFFERENCES]])
    links = list(_check_files(origin, found))
    try:
        again = _again(base, origin, found.files)
    except (BuildError, UnsafeNameError) as error:
        return Recomputed([*links, broken("recipe", str(error))])
    if again is None:
        detail = "its files are parted into layers otherwise than this software does"
        return Recomputed([*links, broken("recipe", detail)])
    digests = dict(zip(again.keys, (layer.digest for layer in image.model_layers(base)), strict=True))
    expected = again.assemble(digests, None if origin.by_hub else _as_said(image, again))
    differences = list(_differences(image, expected))
    links += [broken(name, detail) for name, detail in differences[:MAX_DIFFERENCES]]
    if not differences:
        how = "made again from commit, files and base, it is this very image, to the byte"
        links.append(proved("recipe", how))
    layer_of = again.layer_of(digests)
    contents = attached.Contents(
        again.snapshot, base.name, base.digest, again.recipe, layer_of, origin.by_hub, found.hashes
    )
    return Recomputed(links, contents)


def _again(base: BaseImage, origin: Origin, files: list[list[PublishedFile]]) -> ModelImage | None:
    """Returns the image as it would be made; None if the files would be in other layers."""
    found = [_layer(part) for part in files]
    taken = tuple(file for part in files for file in part)
    if not taken:
        return None
    snapshot = _snapshot(origin, taken)
    layers = tuple(layout.part(snapshot, lambda _file: _Nowhere(), layout.tightest_limit(found)))
    again = ModelImage(snapshot, layers, base)
    there = [[file.path for file in part] for part in files]
    wanted = [[recipe.published(entry, snapshot).path for entry in layer.entries] for layer in layers]
    return again if there == wanted else None


def _snapshot(origin: Origin, taken: tuple[PublishedFile, ...]) -> Snapshot:
    """Returns what would be said of the files that were found."""
    assert origin.published is not None
    if origin.facts is None:
        return origin.published.model_copy(update={"files": taken})
    described = describe_files(*_uncut(origin, taken), origin.facts)
    return origin.resharded.apply(described) if origin.resharded else described


def _uncut(origin: Origin, taken: tuple[PublishedFile, ...]) -> tuple[Snapshot, tuple[PublishedFile, ...]]:
    """Returns what was published, before anything was cut, and of it what the files that were found stand for."""
    assert origin.published is not None
    if origin.resharded is None or origin.whole is None:
        return origin.published, taken
    return origin.whole, origin.resharded.sources(taken, origin.whole)


def _layer(files: Iterable[PublishedFile]) -> Layer:
    return Layer(tuple(Entry(f"{recipe.MODELS}/{file.place}", _Nowhere(), file.size) for file in files))


class _Nowhere:
    """The source of a file whose bytes were read already."""

    def read(self, start: int = 0) -> Iterator[bytes]:
        return iter(())


def _as_said(image: FoundImage, again: ModelImage) -> dict[str, str]:
    """Returns the annotations that only the Hub can check; what follows from the files is computed."""
    known = {annotations.MODEL, annotations.RECIPE, annotations.SIZE, annotations.VERSION, spec.REVISION}
    said = {key: value for key, value in image.said.items() if key not in (spec.BASE_NAME, spec.BASE_DIGEST)}
    return {**said, **{key: again.annotations[key] for key in known if key in said}}


def _check_files(origin: Origin, found: Contents) -> Iterator[Link]:
    """Tells what is missing: what a statement names, or what the weights that are there are of no use without."""
    assert origin.published is not None
    assert found.files is not None
    files = tuple(file for part in found.files for file in part)
    if origin.statement is not None:
        lacking = sorted({file.path for file in origin.statement.files} - {file.path for file in files})
        for path in lacking[:MAX_DIFFERENCES]:
            yield broken("file", f"{path}: the provenance names it, and it is not there")
    whole, taken = _uncut(origin, files)
    facts = origin.facts or Facts()
    missing = [] if origin.has_key else missing_weights({file.path for file in taken}, whole.files, facts)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        yield not_proved(
            "files", f"{missing[0]}{more} is not there, and nothing that is signed says that this was meant"
        )
    elif not (found.is_proved and (origin.by_hub or origin.is_signed)):
        yield not_proved("files", f"{len(files)}, if what is said of them is true")
    else:
        left = len(origin.published.files) - len(files)
        rest = f"; {left} more were published and left out" if left else ""
        yield proved("files", f"{len(files)}, each with the hash that was published{rest}")


def _differences(image: FoundImage, expected: Assembled) -> Iterator[tuple[str, str]]:
    """Yields what of the image is not as it would be made: the part's name, and what is there."""
    if image.top.digest == expected.top.digest and image.top.media_type == expected.top.media_type:
        yield from _served(image, expected)
        return
    before = 0
    for name, detail in _told(image, expected):
        before += 1
        yield name, detail
    if not before:
        yield "recipe", f"it is {image.top.digest}, and made again it is {expected.top.digest}"


def _served(image: FoundImage, expected: Assembled) -> Iterator[tuple[str, str]]:
    """Reads what the digests name: the registry may keep other bytes under them."""
    for config in expected.configs:
        try:
            image.repository.small_blob(spec.digest_of(config))
        except (WrongBytesError, UnsoundImageError) as error:
            yield "config", error.what


def _told(image: FoundImage, expected: Assembled) -> Iterator[tuple[str, str]]:
    if len(image.manifests) != len(expected.manifests) or image.top.is_index != expected.top.is_index:
        yield "index", f"it is of {len(image.manifests)} platforms, and its base of {len(expected.manifests)}"
        return
    if image.top.is_index:
        yield from _diff("index", _json(image.top.content), _json(expected.top.content), skip=("digest", "size"))
    for found, wanted in zip(image.manifests, expected.manifests, strict=True):
        yield from _diff("manifest", _json(found.content), _json(wanted.content), skip=("config",))
    for found, config in zip(image.manifests, expected.configs, strict=True):
        yield from _config_differences(image, found, config)


def _config_differences(image: FoundImage, found: Stored, wanted: bytes) -> Iterator[tuple[str, str]]:
    described = found.manifest().config
    if described.digest == spec.digest_of(wanted):
        if described != spec.describe(wanted, spec.CONFIG):
            yield "manifest", "it describes its config otherwise than it is"
        return
    try:
        content = image.repository.small_blob(described.digest)
    except (WrongBytesError, UnsoundImageError) as error:
        yield "config", error.what
        return
    yield from _diff("config", _json(content), _json(wanted))


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _diff(name: str, found: Any, wanted: Any, at: str = "", skip: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yields where two documents differ. The wanted one, which is ours, bounds how deep this goes."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for key in [*wanted, *(key for key in found if key not in wanted)]:
            if key in skip:
                continue
            place = f"{at}.{key}" if at else str(key)
            if key not in found:
                yield name, f"{place} is missing"
            elif key not in wanted:
                yield name, f"{place} is {_short(found[key])}, and should not be there"
            else:
                yield from _diff(name, found[key], wanted[key], place, skip)
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
            yield from _diff(name, one, other, f"{at}[{number}]", skip)
    elif found != wanted or type(found) is not type(wanted):
        yield name, f"{at or 'it'} is {_short(found)}, and should be {_short(wanted)}"


def _short(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):
        text = "nested too deeply"
    return text if len(text) <= 200 else f"{text[:200]}…"
