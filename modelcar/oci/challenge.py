"""Challenges of a registry before it lets anybody in: WWW-Authenticate (RFC 9110, 11.6.1)."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

SUPPORTED = ("bearer", "basic")

MAX_CHALLENGE_CHARS = 1 << 14
_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = re.compile(rf'\s*({_NAME})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*(?:,|$)')
_SCHEME = re.compile(rf"[\s,]*({_NAME})(?:\s+|$|(?=,))")
_TOKEN68 = re.compile(r"\s*[A-Za-z0-9\-._~+/]+=*\s*(?:,|$)")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Challenge:
    """One way to be let in.

    Attributes:
        scheme: In lower case: `basic`, `bearer`, `negotiate`.
        parameters: Its parameters, their names in lower case.
    """

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse(headers: Iterable[str]) -> list[Challenge]:
    """Reads the challenges of all such headers, in their order; what means nothing is passed over.

    A header may hold several challenges, and there may be several headers: fronts with Kerberos offer `Negotiate`
    first.
    """
    return [challenge for header in headers for challenge in _challenges(header[:MAX_CHALLENGE_CHARS])]


def choose(challenges: Iterable[Challenge]) -> Challenge | None:
    """Chooses the challenge to answer: a token before a password, as both mean the same to registries that offer
    both.
    """
    known = [
        one for one in challenges if one.scheme in SUPPORTED and (one.scheme == "basic" or one.parameters.get("realm"))
    ]
    return min(known, key=lambda one: SUPPORTED.index(one.scheme), default=None)


def _challenges(header: str) -> Iterator[Challenge]:
    position = 0
    while found := _SCHEME.match(header, position):
        scheme, position = found[1].lower(), found.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            name, quoted, bare = parameter.groups()
            parameters[name.lower()] = _ESCAPED.sub(r"\1", quoted) if quoted is not None else bare
            position = parameter.end()
        if not parameters and (token := _TOKEN68.match(header, position)) and not _begins_scheme(header, position):
            position = token.end()
        yield Challenge(scheme, parameters)


def _begins_scheme(header: str, position: int) -> bool:
    """Tells whether another challenge follows, and not a token of the one before: `Negotiate, Basic realm="x"`."""
    found = _SCHEME.match(header, position)
    return found is not None and _PARAMETER.match(header, found.end()) is not None
