"""Lists of referrers, as registries give them: each entry that can be read counts, whatever is beside it."""

import json
from collections.abc import Iterator

import pytest
import requests

from modelcar.oci import referrers, spec
from modelcar.oci.capabilities import capabilities_of
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.steps.mirror import mirror
from tests.modelcar.oci.conftest import SOURCE
from tests.parts.bent_registry import MANIFESTS, REFERRERS, Answer, BentRegistry, Change, error
from tests.parts.registries import Registry

pytestmark = pytest.mark.usefixtures("with_served")

ONE, OTHER, NEXT = (f"sha256:{digit * 64}" for digit in "123")
ENTRY = {"mediaType": spec.MANIFEST, "digest": OTHER, "size": 3}
IN_TOTO = "application/vnd.in-toto+json"


@pytest.fixture
def bent(plain_registry: Registry) -> Iterator[BentRegistry]:
    with BentRegistry(plain_registry.host) as bent:
        yield bent


def answered(document: object, **headers: str) -> Change:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return lambda _: Answer(200, (("Content-Type", spec.INDEX),), body).with_headers(**headers)


def list_by_tag(registry: Registry, digest: str) -> requests.Response:
    """Return the list that stands under the image's tag, in a registry that keeps none itself."""
    url = f"{registry.url}/v2/{SOURCE}/manifests/{referrers.tag(digest)}"
    return requests.get(url, headers={"Accept": spec.INDEX}, timeout=600)


def asked(bent: BentRegistry, *digests: str, repository: str = "listing/model") -> list[list[str]]:
    """Return what is listed for images of a repository, one after the other, as one run asks for them."""
    with Repository(Reference.parse(f"{bent.host}/{repository}:1")) as opened:
        return [[entry.digest for entry in opened.list_referrers(digest)] for digest in digests]


NONE = {
    "an empty object, as Harbor for what it does not know": {},
    "null": {"schemaVersion": 2, "manifests": None},
    "no entry": {"schemaVersion": 2, "manifests": []},
    "an entry of nothing": {"manifests": [{}]},
    "an entry without a digest": {"manifests": [{"mediaType": spec.MANIFEST, "size": 3}]},
    "an entry that is a number": {"manifests": [3]},
}


@pytest.mark.parametrize("name", NONE)
def test_list_of_nothing_says_nothing_of_other_lists(name: str, bent: BentRegistry) -> None:
    bent.bend("GET", REFERRERS + ONE, answered(NONE[name]), asks=False)
    bent.bend("GET", REFERRERS, answered({"manifests": [ENTRY]}), asks=False)

    assert asked(bent, ONE, NEXT) == [[], [OTHER]]
    assert capabilities_of(bent.host).lists_referrers is True


@pytest.mark.parametrize("bad", [{}, None, 7, {**ENTRY, "digest": "sha256:short"}, {**ENTRY, "size": -1}])
def test_entry_that_cannot_be_read_is_left_out_alone(bad: object, bent: BentRegistry) -> None:
    bent.bend("GET", REFERRERS, answered({"manifests": [bad, ENTRY]}), asks=False)

    assert asked(bent, ONE) == [[OTHER]]


@pytest.mark.parametrize(
    "refusal",
    [
        *(error(404, "NOT_FOUND"), error(404, "MANIFEST_UNKNOWN"), error(404, "NAME_UNKNOWN", "no such repository")),
        *(error(403, "DENIED", "no"), error(401, "UNAUTHORIZED")),
    ],
)
def test_what_is_said_of_one_image_is_not_said_of_others(refusal: Change, bent: BentRegistry) -> None:
    bent.bend("GET", REFERRERS + ONE, refusal, asks=False)
    bent.bend("GET", REFERRERS, answered({"manifests": [ENTRY]}), asks=False)

    assert asked(bent, ONE, NEXT) == [[], [OTHER]]


@pytest.mark.parametrize("refusal", [error(404, message="404 page not found"), error(405), answered(b"<html>")])
def test_registry_without_lists_is_asked_once_in_each_repository(refusal: Change, bent: BentRegistry) -> None:
    bend = bent.bend("GET", REFERRERS, refusal, asks=False)

    assert asked(bent, ONE, NEXT) == [[], []]
    assert (bend.met, capabilities_of(bent.host).lists_referrers) == (1, False)
    assert asked(bent, ONE, repository="listing/other") == [[]]
    assert bend.met == 2


def test_repository_that_is_not_there_says_nothing_of_the_host(bent: BentRegistry) -> None:
    """As where a model is promoted from one repository of a registry to another."""
    bent.bend("GET", f"absent{REFERRERS}", error(404), asks=False)
    bent.bend("GET", REFERRERS, answered({"manifests": [ENTRY]}), asks=False)

    assert asked(bent, ONE, repository="listing/absent") == [[]]
    assert asked(bent, ONE) == [[OTHER]]
    assert capabilities_of(bent.host).lists_referrers is True


@pytest.mark.parametrize(
    "place", ["?last=x", "/v2/{0}/referrers/{1}?last=x", "http://internal:5000/v2/{0}/referrers/{1}?last=x"]
)
def test_next_page_is_here_whatever_its_host_is_called(place: str, bent: BentRegistry) -> None:
    there = place.format("listing/model", ONE)
    bent.bend("GET", REFERRERS + ".*last=x", answered({"manifests": [{**ENTRY, "digest": NEXT}]}), asks=False)
    bent.bend("GET", REFERRERS, answered({"manifests": [ENTRY]}, Link=f'<{there}>; rel="next"'), asks=False)

    assert asked(bent, ONE) == [[OTHER, NEXT]]


@pytest.mark.parametrize("place", ["https://elsewhere.invalid/", "?again=1"])
def test_list_that_is_cut_is_said(place: str, bent: BentRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    bent.bend("GET", REFERRERS, answered({"manifests": [ENTRY]}, Link=f'<{place}>; rel="next"'), asks=False)

    (found,) = asked(bent, ONE)

    assert set(found) == {OTHER}
    assert f"what is attached to {ONE} is not listed to its end" in capsys.readouterr().out


def test_attachments_are_mirrored_where_what_is_not_there_is_hidden(
    bent: BentRegistry, plain_registry: Registry, expected: str
) -> None:
    listed = list_by_tag(plain_registry, expected)
    bent.bend("GET", SOURCE + REFERRERS + expected, answered(listed.content), asks=False)
    bent.bend("GET", SOURCE + REFERRERS, answered({}), asks=False)
    bent.bend("GET", REFERRERS, error(403, "DENIED"), asks=False)
    bent.bend("GET|HEAD", f"{SOURCE}{MANIFESTS}{referrers.tag(expected)}$", error(404), asks=False)

    mirror(f"{bent.host}/{SOURCE}:1", f"{bent.host}/listing/promoted:1")

    with Repository(Reference.parse(f"{plain_registry.host}/listing/promoted:1")) as copy:
        assert len(referrers.find(copy, expected)) == len(listed.json()["manifests"]) > 1


@pytest.mark.parametrize("told", [None, "", spec.EMPTY, spec.CONFIG])
def test_type_that_the_list_does_not_tell_is_looked_for(
    told: str | None, bent: BentRegistry, plain_registry: Registry, expected: str
) -> None:
    """Older Harbors name the config's type, or none."""
    document = list_by_tag(plain_registry, expected).json()
    entries = [{name: value for name, value in one.items() if name != "artifactType"} for one in document["manifests"]]
    told_entries = entries if told is None else [{**entry, "artifactType": told} for entry in entries]
    bent.bend("GET", REFERRERS, answered({"manifests": told_entries}), asks=False)
    bent.bend("GET|HEAD", f"{MANIFESTS}{referrers.tag(expected)}$", error(404), asks=False)

    with Repository(Reference.parse(f"{bent.host}/{SOURCE}:1")) as opened:
        assert len(list(referrers.of_type(opened, expected, IN_TOTO))) == 1
