"""`modelcar inspect` and `modelcar diff`: what images say of themselves."""

import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import Annotated

import typer
from rich.filesize import decimal

from modelcar.cli.inspection import Inspection, differences, hub_state, inspect_image
from modelcar.cli.options import JsonOption
from modelcar.cli.usage import left_open

ImageArgument = Annotated[str, typer.Argument(metavar="IMAGE", help="Image, registry/repository:tag or @sha256:…")]
OtherArgument = Annotated[str, typer.Argument(metavar="OTHER", help="The image to compare it with.")]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Do not ask the Hub whether there is a newer commit.")]
LayersOption = Annotated[bool, typer.Option("--layers", help="List the layers.")]


def inspect(
    image: ImageArgument, layers: LayersOption = False, offline: OfflineOption = False, as_json: JsonOption = False
) -> None:
    """Show what an image holds: model, commit, licence, size, form, signatures, and whether the Hub is ahead.

    It is what the image says of itself, read in its manifests alone. `modelcar verify` proves it.

    Example: `modelcar inspect quay.io/my-team/granite:3.3-2b`
    """
    # What is said on the way, such as that a registry does not list what is attached, is not part of the document.
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        found = inspect_image(image)
        state, words = ("", "") if offline else hub_state(found)
    if as_json:
        print(json.dumps(asdict(found) | ({"hub": state} if state else {})))
        return
    for name, value in _rows(found, words):
        print(f"{name:13} {value}")
    for layer in found.layers if layers else ():
        print(f"  {layer.digest}  {decimal(layer.bytes):>9}  {layer.title}")


def diff(image: ImageArgument, other: OtherArgument, as_json: JsonOption = False) -> None:
    """Show in what two images differ: model, commit, base, recipe, and each layer.

    Exit code: 0 if they hold the same, 1 if not, 3 if one of them cannot be read.

    Example: `modelcar diff quay.io/my-team/granite:3.2-2b quay.io/my-team/granite:3.3-2b`
    """
    with left_open(), redirect_stdout(sys.stderr if as_json else sys.stdout):
        one, two = inspect_image(image), inspect_image(other)
    found = list(differences(one, two))
    if as_json:
        listed = [{"what": what, "image": left, "other": right} for what, left, right in found]
        print(json.dumps({"image": one.image, "other": two.image, "differences": listed}))
    else:
        for what, left, right in found:
            print(f"{what}\n  - {left}\n  + {right}")
        if not found:
            print("They hold the same.")
    if found:
        raise typer.Exit(1)


def _rows(found: Inspection, hub: str) -> Iterator[tuple[str, str]]:
    yield "image", found.image
    yield "model", found.model
    yield "commit", found.commit
    if hub:
        yield "Hub", hub
    yield "licence", found.licence or "not stated"
    yield "size", f"{decimal(found.bytes)} in {len(found.layers)} layers"
    yield "form", found.form
    yield "platforms", ", ".join(found.platforms) or "one"
    yield "base", found.base
    if found.model_format:
        yield "format", found.model_format
    if found.quantization:
        yield "quantization", found.quantization
    listed = ", ".join(f"{kind}{f' ({count})' if count > 1 else ''}" for kind, count in found.attached.items())
    yield "attached", listed or "nothing"
    yield "recipe", found.recipe
