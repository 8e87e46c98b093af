"""Plan of a run and its needs, from the Hub's metadata alone: no byte of weights is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from modelcar.claim.downloads import bytes_to_fetch
from modelcar.errors import ModelcarError, UnsafeNameError
from modelcar.hub.choice import Choice
from modelcar.hub.reshard import reshard
from modelcar.hub.selection import Selection
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.hub.source import Source
from modelcar.image import layout
from modelcar.image.annotations import describe
from modelcar.image.base_image import BaseImage, open_base_image
from modelcar.image.model_image import ModelImage
from modelcar.image.request import ImageRequest
from modelcar.oci.reference import Reference
from modelcar.oci.tar_writer import Layer
from modelcar.sources.opening import open_source

_NO_LIMIT = 1 << 62


@dataclass(frozen=True)
class Plan:
    """Plan of a run, and its needs.

    Attributes:
        snapshot: The files that will be taken.
        choice: Which those are, and which are left out and why.
        pickles: Those of the files that run code when they are loaded, or may.
        layers: The layers that they will be; where one is too large, as they would be without a limit.
        max_layer_size: The largest layer that the registries take, in bytes.
        base: The image under them; None if it cannot be read.
        target: The image that will be written; None if none was named and there is no project to put it into.
        fetch_bytes: Bytes that the download still has to fetch to the claim.
        scratch_bytes: Bytes that the build needs on the claim while it runs.
        problems: Why it cannot be done like this.
        source: Where the files come from.
    """

    snapshot: Snapshot
    choice: Choice
    layers: tuple[Layer, ...]
    max_layer_size: int
    base: BaseImage | None = None
    target: Reference | None = None
    fetch_bytes: int = 0
    scratch_bytes: int = 0
    problems: tuple[ModelcarError, ...] = ()
    source: Source | None = None
    pickles: tuple[PublishedFile, ...] = ()

    @property
    def claim_bytes(self) -> int:
        """Bytes that must be free on the claim."""
        return self.fetch_bytes + self.scratch_bytes

    @property
    def image_bytes(self) -> int:
        """Bytes of the layers, without the base's."""
        return sum(layer.size for layer in self.layers)

    @property
    def image(self) -> ModelImage | None:
        """The image that will be made; None if that is not known."""
        if self.base is None or self.problems:
            return None
        return ModelImage(self.snapshot, self.layers, self.base)

    @property
    def recipe(self) -> str:
        """The hash of what decides, with the commit, what the image will be; empty if that is not known."""
        return self.image.recipe if self.image is not None else ""

    @property
    def annotations(self) -> dict[str, str]:
        """Annotations that the image will have."""
        return describe(self.snapshot, self.recipe)


def plan(
    selection: Selection,
    request: ImageRequest,
    claim: Path | None = None,
    *,
    with_claim: bool = True,
    layer_copies: int = 1,
) -> Plan:
    """Plans a run.

    Args:
        selection: The model and which of its files are wanted.
        request: The image that is asked for.
        claim: The claim's directory, where it can be seen from here: what an earlier download left is not counted.
        with_claim: Whether the model is downloaded, and not streamed from the Hub into the registry.
        layer_copies: How often the build has a layer on the claim, besides its files: not at all without buildah; once
            with it; twice where it may not link the files into its containers.

    Raises:
        HubError: The Hub refused.
        SelectionError: The patterns leave nothing, or match nothing.
    """
    source = open_source(selection.model, adapters=selection.adapters)
    selected = selection.resolve(source)
    snapshot, choice = selected.snapshot, selected.choice
    problems = list(selected.problems)
    base = goal = None
    parts: list[Layer] = []
    cut, reader_of = _cut(snapshot, source, request, problems)
    with _collect_errors(problems):
        parts = layout.part(cut, reader_of, request.max_layer_size)
    parts = parts or layout.part(cut, reader_of, _NO_LIMIT)
    with _collect_errors(problems):
        base = open_base_image(request.base_image)
    with _collect_errors(problems):
        goal = _destination(request, snapshot)
    planned = Plan(
        snapshot=cut,
        choice=choice,
        layers=tuple(parts),
        max_layer_size=request.max_layer_size,
        base=base,
        target=goal,
        problems=tuple(problems),
        source=source,
        pickles=selected.pickles,
    )
    if not with_claim:
        return planned
    return replace(
        planned,
        fetch_bytes=bytes_to_fetch(snapshot, claim) if claim else snapshot.size,
        scratch_bytes=layer_copies * max((layer.size for layer in parts), default=0),
    )


def _cut(
    snapshot: Snapshot, source: Source, request: ImageRequest, problems: list[ModelcarError]
) -> tuple[Snapshot, layout.ReaderOf]:
    """Cuts the files that no layer holds, where that is asked for; only their headers are read."""
    if not request.reshard:
        return snapshot, source.readers(snapshot)
    resharded = reshard(snapshot, source.readers(snapshot), request.max_layer_size)
    problems += resharded.problems
    return resharded.apply(snapshot), resharded.reader


def _destination(request: ImageRequest, snapshot: Snapshot) -> Reference | None:
    try:
        return request.destination(snapshot)
    except UnsafeNameError:
        if request.target:
            raise
        return None


@contextmanager
def _collect_errors(problems: list[ModelcarError]) -> Iterator[None]:
    """Goes on after what cannot be done, so that all of it is told at once."""
    try:
        yield
    except ModelcarError as error:
        problems.append(error)
