"""The steps as a test calls them: with plain keywords, as the pipelines' parameters are named."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from modelcar.claim.downloads import open_download
from modelcar.errors import ModelcarError
from modelcar.hub.paths import DOWNLOAD_NOTE
from modelcar.hub.selection import Selection
from modelcar.image.request import ImageRequest
from modelcar.steps import build as build_step
from modelcar.steps import download as download_step
from modelcar.steps import stream as stream_step
from modelcar.steps.preflight import plan as plan_step


def download(model: str, claim: Path, **given: Any) -> download_step.Downloaded:
    """Downloads a model."""
    return download_step.download(_value(Selection, given, ("model", model)), claim)


def build(
    directory: Path, target: str = "", *, builder: str = "auto", record_digest: str | None = None, **given: Any
) -> build_step.Built:
    """Builds the image of a download; by the record that is there now, unless another's digest is given."""
    image = _value(ImageRequest, given, ("target", target))
    if record_digest is None:
        record_digest = _digest_of_record(directory)
    request = build_step.BuildRequest(directory=directory, image=image, builder=builder, record_digest=record_digest)
    return build_step.build(request)


def _digest_of_record(directory: Path) -> str:
    if not (directory / DOWNLOAD_NOTE).is_file():
        return ""
    with suppress(ModelcarError), open_download(directory) as found:
        return found.record_digest
    return ""


def stream(model: str, target: str = "", *, mirror: str = "", **given: Any) -> stream_step.Streamed:
    """Streams a model into a registry."""
    image = {name: given.pop(name) for name in _names(ImageRequest) & given.keys()}
    selection = _value(Selection, given, ("model", model))
    return stream_step.stream(selection, _value(ImageRequest, image, ("target", target), ("mirror_target", mirror)))


def plan(model: str, target: str = "", *, claim: Path | None = None, **given: Any) -> plan_step.Plan:
    """Plans a run."""
    options = {name: given.pop(name) for name in ("with_claim", "layer_copies") if name in given}
    image = {name: given.pop(name) for name in _names(ImageRequest) & given.keys()}
    selection = _value(Selection, given, ("model", model))
    return plan_step.plan(selection, _value(ImageRequest, image, ("target", target)), claim, **options)


def _value(kind: Any, given: dict[str, Any], *more: tuple[str, Any]) -> Any:
    """Make a value of keywords; one that it has no field for is an error, as for any function."""
    return kind(**given, **dict(more))


def _names(kind: Any) -> set[str]:
    every: Iterable[Any] = fields(kind)
    return {field.name for field in every}


PROGRAMS = {
    "download": "from modelcar.hub.selection import Selection; from modelcar.steps.download import download; "
    "download(Selection(sys.argv[1], revision=(sys.argv[3:] or ['main'])[0]), Path(sys.argv[2]))",
    "build": "from modelcar.image.request import ImageRequest; from modelcar.steps.build import BuildRequest, build; "
    "build(BuildRequest(directory=Path(sys.argv[1]), image=ImageRequest(sys.argv[2]), builder='direct'))",
    "stream": "from modelcar.hub.selection import Selection; from modelcar.image.request import ImageRequest; "
    "from modelcar.steps.stream import stream; "
    "stream(Selection(sys.argv[1]), ImageRequest(sys.argv[2], mirror_target=''.join(sys.argv[3:])))",
    "mirror": "from modelcar.steps.mirror import mirror; mirror(sys.argv[1], sys.argv[2])",
    "plan": "from modelcar.hub.selection import Selection; from modelcar.image.request import ImageRequest; "
    "from modelcar.steps.preflight.plan import plan; plan(Selection(sys.argv[1]), ImageRequest(sys.argv[2]))",
}
"""The steps as one line of Python, for a process of their own, after `import sys; from pathlib import Path`."""
