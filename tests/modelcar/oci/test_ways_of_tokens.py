"""Registries that ask for tokens in other ways than docker-registry: where skopeo is let in, we are."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import randint

import pytest

from modelcar.oci.credentials import Credentials
from modelcar.steps.mirror import mirror
from tests.modelcar.oci.conftest import MODEL, SOURCE
from tests.modelcar.oci.test_ways_of_registries import digest_of_tag, failure
from tests.parts.command import modelcar
from tests.parts.registries import Registry
from tests.parts.skopeo.program import run_skopeo
from tests.parts.steps import stream
from tests.parts.token_ways import EVERY, PASSWORD, USERNAME, TokenFront, TokenWay

pytestmark = pytest.mark.usefixtures("with_served")

OFTEN = (
    "access_token alone",
    "expires_in 0",
    "expires_in 'soon'",
    "a zipped token",
    "bearer in small letters",
    "a realm with a query",
    "a scope that it names itself",
    "a scope with more actions",
    "a greeting without a token",
    "tokens for 1 requests",
    "503 three times for a token",
)

_numbers = count()


def ways(every: Iterable[TokenWay]) -> list[object]:
    """Leave all but some ways to `make soak`."""
    found = [pytest.param(way, id=str(way), marks=() if way.name in OFTEN else pytest.mark.soak) for way in every]
    assert sum(not made.marks for made in found) == len(OFTEN), "a way was renamed"
    return list(found)


@contextmanager
def front(registry: Registry, way: TokenWay, home: Path) -> Iterator[TokenFront]:
    """Give a front to which we are logged in, at an address that skopeo never saw."""
    with TokenFront(registry.host, way, address=f"127.{randint(1, 254)}.{randint(0, 255)}.{randint(1, 254)}") as made:
        login = Credentials(USERNAME, PASSWORD).entry()
        (home / "auth.json").write_text(json.dumps({"auths": {made.host: login}}))
        yield made


@pytest.mark.parametrize("way", ways(EVERY))
def test_we_are_let_in(
    way: TokenWay,
    plain_registry: Registry,
    expected: str,
    isolated: Path,
    monkeypatch: pytest.MonkeyPatch,
    waits: list[float],
) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(isolated / "auth.json"))
    name = f"tokens/number-{next(_numbers)}"
    source, theirs, mirrored = f"{plain_registry.host}/{SOURCE}:1", f"{name}/by-skopeo", f"{name}/mirrored"
    with front(plain_registry, way, isolated) as registry:
        tls = ("--src-tls-verify=false", "--dest-tls-verify=false")
        target = f"docker://{registry.host}/{theirs}:1"
        bar = not run_skopeo("copy", "-q", "--all", *tls, f"docker://{source}", target).returncode
    said = []
    with front(plain_registry, way, isolated) as registry:
        said.append(failure(lambda: stream(MODEL, f"{registry.host}/{name}:1")))
    with front(plain_registry, way, isolated) as registry:
        said.append(failure(lambda: mirror(f"{registry.host}/{SOURCE}:1", f"{registry.host}/{mirrored}:1")))
    with front(plain_registry, way, isolated) as registry:
        verified = modelcar("verify", f"{registry.host}/{SOURCE}:1", "--json")

    assert not (bar and any(said)), said
    assert PASSWORD not in "".join([*said, verified.stdout, verified.stderr])
    assert all(words.isprintable() for words in said)
    assert any(said) or not verified.returncode, verified.stdout
    assert digest_of_tag(plain_registry, name) == ("" if said[0] else expected)
    assert digest_of_tag(plain_registry, mirrored) == ("" if said[1] else expected)
