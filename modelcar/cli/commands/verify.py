"""`modelcar verify`: the hash chain of an image, checked again."""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from modelcar.cli.help import NARROW
from modelcar.cli.usage import UsageError, left_open
from modelcar.errors import UnsoundImageError
from modelcar.steps.verify.result import EXIT_CODES, Outcome, State, Verification

if TYPE_CHECKING:
    from modelcar.attestation.signer import Checker

_MARKS = {
    State.PROVED: Text("✓", "green"),
    State.BROKEN: Text("✗", "bold red"),
    State.NOT_PROVED: Text("?", "bold yellow"),
    State.NOT_CHECKED: Text("·", "dim"),
}


def verify(
    image: Annotated[str, typer.Argument(help="Image to check, registry/repository:tag or @sha256:…")],
    key: Annotated[Path | None, typer.Option(help="Public key (cosign.pub) that must have signed it.")] = None,
    certificate_identity: Annotated[
        str,
        typer.Option(metavar="IDENTITY", help="Who must have signed it without a key, as in the certificate."),
    ] = "",
    certificate_oidc_issuer: Annotated[
        str, typer.Option(metavar="URL", help="Issuer of the token that the certificate was given for.")
    ] = "",
    trusted_root: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Sigstore's trusted_root.json to believe. Default: the public one, fetched."),
    ] = None,
    model_registry: Annotated[str, typer.Option(help="Address of the Model Registry whose entry must name it.")] = "",
    registered_name: Annotated[str, typer.Option(help="Name in the Model Registry. Default: the model's id.")] = "",
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no Hub; hold the files against what is signed with --key.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Read no layer; take the word of what is signed with --key.")
    ] = False,
    allow_base_models: Annotated[
        bool, typer.Option("--allow-base-models", help="Take a base image that holds /models, served with the model.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON; progress goes to stderr.")] = False,
) -> None:
    """Check the whole chain of an image again, from the Model Registry's entry to the files on the Hub.

    Reads every byte of every layer, unless `--quick`, and makes the image again from what the Hub published: it must be
    this very image. Prints each link. Exits with 0 if the image is whole, 1 if a link is broken or there is no such
    image, and 3 if something could not be proved: a registry, the base image or the Hub is out of reach, the key cannot
    be read, or nothing is signed and `--offline` or `--quick` was given.

    Example: `modelcar verify quay.io/my-team/granite:3.3-2b --key cosign.pub`
    """
    from modelcar.steps.verify.verify import verify as check

    with left_open(UnsoundImageError), redirect_stdout(sys.stderr if as_json else sys.stdout):
        done = check(
            image,
            key=_checker(key, certificate_identity, certificate_oidc_issuer, trusted_root),
            model_registry=model_registry,
            registered_name=registered_name,
            offline=offline,
            quick=quick,
            allow_base_models=allow_base_models,
        )
    if as_json:
        links = [{"name": link.name, "state": link.state.value, "detail": link.detail} for link in done.links]
        outcome = {"image": str(done.image), "outcome": done.outcome.value, "whole": done.is_whole, "links": links}
        print(json.dumps(outcome))
    else:
        _show(done)
    if code := EXIT_CODES[done.outcome]:
        raise typer.Exit(code)


def _checker(key: Path | None, identity: str, issuer: str, trusted_root: Path | None) -> "Checker | None":
    from modelcar.attestation.keyless import Identity
    from modelcar.attestation.keys import PublicKey

    if key is not None and (identity or issuer or trusted_root):
        raise UsageError("an image is held against a key or an identity, not both", "Leave out --key, or the others")
    if key is not None:
        return PublicKey.read(key)
    if bool(identity) != bool(issuer) or (trusted_root and not identity):
        raise UsageError(
            "an identity counts only with the issuer that says so",
            "Give both: --certificate-identity … --certificate-oidc-issuer …",
        )
    return Identity.read(identity, issuer, trusted_root) if identity else None


def _show(done: Verification) -> None:
    # Each link is one line, which a terminal breaks and we do not: a digest in it can be copied, and searched for.
    console = Console(soft_wrap=True, highlight=False)
    console.print(Text(str(done.image)))
    width = max((len(link.name) for link in done.links), default=0) if console.width >= NARROW else 0
    for link in done.links:
        console.print(Text.assemble(_MARKS[link.state], " ", f"{link.name:{width}}  {link.detail}".rstrip()))
    console.print(Text(_summary(done)))


def _summary(done: Verification) -> str:
    count = {state: sum(link.state is state for link in done.links) for state in State}
    if done.outcome is Outcome.BROKEN:
        return f"{count[State.BROKEN]} broken"
    return f"not proved: {count[State.NOT_PROVED]} of {len(done.links)}" if not done.is_whole else "whole"
