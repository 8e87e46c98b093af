"""`modelcar doctor`: what this machine, and what it talks to, can do.

Each subject is an option with a function that yields lines for it; what is asked for together is shown together.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import typer

from modelcar.cli.options import JsonOption, NamespaceOption
from modelcar.cli.usage import UsageError
from modelcar.cli.words import in_options
from modelcar.errors import ModelcarError
from modelcar.oci import credentials
from modelcar.oci.capabilities import Capabilities, capabilities_of
from modelcar.oci.probe import probe, probe_by_writing, reference_of
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository

TRIAL_TAG = "modelcar-doctor"
_SIGNS = {"ok": "✓", "warning": "!", "refusal": "✗"}

RegistryOption = Annotated[
    list[str] | None,
    typer.Option(
        "--registry",
        metavar="HOST[/REPOSITORY]",
        help="A registry, or better a repository in it that you may write to. May be given several times.",
    ),
]
WriteOption = Annotated[
    bool,
    typer.Option(
        "--write",
        help="Write an image of a few bytes into the repository, under the tag modelcar-doctor, and remove it again: "
        "only that shows whether tags can be moved, manifests deleted and signatures attached by subject.",
    ),
]


@dataclass
class Diagnosis:
    """Findings about one subject.

    Attributes:
        subject: What was asked, such as a registry's name.
        healthy: Whether it can be worked with.
        lines: What was found, each a sentence or a few words.
        facts: The same for scripts.
    """

    subject: str
    healthy: bool = True
    lines: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


def doctor(
    registry: RegistryOption = None,
    write: WriteOption = False,
    namespace: NamespaceOption = "",
    as_json: JsonOption = False,
) -> None:
    """Tell what this machine, the logins, a project and its cluster lack, each with the command that helps.

    With `--registry` only registries are asked: what they can do, how they take large layers, list signatures, and who
    you are to them. With a host alone only the greeting and the login are looked at; with a repository an upload is
    begun and dropped. Exits with 1 if something cannot be worked with.

    Examples:
    - `modelcar doctor`
    - `modelcar doctor --registry quay.io`
    - `modelcar doctor --registry quay.io/my-team/my-model --write`
    """
    if registry:
        _registries(registry, write=write, as_json=as_json)
        return
    if write:
        raise UsageError("--write writes into a repository, and none was named", "Name one: --registry quay.io/team/it")
    # Only here: it brings the clients of all that is looked at.
    from modelcar.cli.diagnosis import diagnose

    healthy, told = True, []
    for subject in diagnose(namespace):
        healthy = healthy and subject.healthy
        told.append({"subject": subject.name, "findings": [asdict(finding) for finding in subject.findings]})
        if not as_json:
            print(subject.name)
            for finding in subject.findings:
                print(in_options(f"  {_SIGNS[finding.verdict]} {finding.about}: {finding}".replace(" : ", " ")))
    if as_json:
        print(json.dumps(told))
    if not healthy:
        raise typer.Exit(1)


def _registries(names: list[str], *, write: bool, as_json: bool) -> None:
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        found = [diagnosis for named in names for diagnosis in _registry(named, write=write)]
    if as_json:
        print(json.dumps([asdict(diagnosis) for diagnosis in found]))
    else:
        for diagnosis in found:
            print("\n".join([diagnosis.subject, *(f"  {line}" for line in diagnosis.lines)]))
    if not all(diagnosis.healthy for diagnosis in found):
        raise typer.Exit(1)


def _registry(named: str, *, write: bool) -> Iterator[Diagnosis]:
    host, reference = reference_of(named)
    diagnosis = Diagnosis(str(reference or host).removesuffix(":latest"))
    if write and reference is None:
        raise UsageError(f"{named} names no repository to write to", f"Name one: --registry {host}/team/model")
    try:
        with Repository(reference or Reference(host, "modelcar/doctor"), push=reference is not None) as repository:
            diagnosis.lines += _connection(repository)
            diagnosis.lines += _login(host, reference)
            if reference is not None:
                known = probe_by_writing(repository, TRIAL_TAG) if write else probe(repository)
                diagnosis.lines.append("it may be written to")
            else:
                known = capabilities_of(host)
        diagnosis.lines.append(known.line())
        diagnosis.lines += _limits(known)
        diagnosis.facts = asdict(known)
    except ModelcarError as error:
        diagnosis.healthy = False
        diagnosis.lines.append(f"error: {error}")
    yield diagnosis


def _connection(repository: Repository) -> Iterator[str]:
    yield f"it answers over {repository.scheme or 'TLS, with a certificate that is trusted'}"
    if repository.storage:
        yield repository.storage


def _login(host: str, reference: Reference | None) -> Iterator[str]:
    found = credentials.find(host, reference.repository if reference else "")
    if found is None:
        files = ", ".join(map(str, credentials.auth_files())) or "no file that exists"
        yield f"no login to it was found (looked in {files})"
    else:
        yield f"login as {found.username or 'the owner of a token'}, from {found.source}"


def _limits(known: Capabilities) -> Iterator[str]:
    if known.limits.source:
        yield f"{known.limits.name}'s limits are from {known.limits.source}"
