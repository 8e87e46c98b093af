"""Registries that answer in other ways than docker-registry: where skopeo succeeds, we do.

Else the tag stays away, and one line says why. A choice of the ways is tried each time, and all of them by `make soak`.
"""

import json
from collections.abc import Callable, Iterable
from itertools import count
from random import randint

import pytest
import requests
import yaml

from modelcar.errors import ModelcarError
from modelcar.oci import spec
from modelcar.steps.mirror import mirror
from tests.modelcar.oci.conftest import MODEL, SOURCE
from tests.parts.bent_registry import MANIFESTS, BentRegistry, error
from tests.parts.command import modelcar
from tests.parts.registries import Registry
from tests.parts.registry_ways import BROKEN, FROM, MOUNTING, TO, Way
from tests.parts.skopeo.program import run_skopeo
from tests.parts.steps import stream

pytestmark = pytest.mark.usefixtures("with_served")

WRITTEN = (
    "203 to POST",
    "200 to PATCH",
    "304 to PATCH",
    "202 to PUT of a manifest",
    "204 to HEAD of what is there",
    "405 to HEAD of what is not there",
    "Location above the path",
    "Location without scheme",
    "Location with an open query",
    "Location with a fragment",
    "Location within",
    "307 for POST",
    "308 for PATCH",
    "307 for PUT of a blob",
    "Location twice",
    "302 for PUT of a manifest",
    "no Range",
    "a digest of a new algorithm",
    "a wrong digest of a manifest",
    "a least length of chunks",
    "Early Hints",
    "300 cookies first",
    "a header of 200 KiB",
    "no end of answers to writes",
    "401 once to PATCH",
    "429 once to POST",
    "504 once to a blob that is kept all the same",
    "502 once to a manifest that is kept all the same",
    "501 to each HEAD of a blob",
    "415 to each PATCH",
    "405 to GET of what is not there",
    "401 to any question for what is not there",
    "pages of referrers without end",
)
READ = (
    "no Docker-Content-Digest",
    "a wrong digest of what is read",
    "charset without space",
    "a media type in capital letters",
    "no media type",
    "application/json",
    "answers in chunks",
    "answers until it closes",
    "zipped manifests",
    "list 2 of no referrers",
    "307 for GET of a blob",
    "206 to GET of a blob",
    "503 once to GET of a blob",
    "403 to each HEAD of a manifest",
)
VERIFIED = (
    "no media type",
    "zipped manifests",
    "blobs in chunks",
    "503 once to GET of a blob",
    "405 to referrers",
    "503 to referrers",
    "a blob without length that is cut once",
    "416 to each GET of a blob",
    "404 once to GET of a blob",
    "404 to each question for a blob, which is gone",
)
ASKED = (
    "308 for PATCH",
    "400 once to PATCH",
    "405 to each PATCH",
    "403 to DELETE",
    "500 to the greeting",
    "401 once to POST",
)
MOUNTED = (
    "200 to a mount that is done",
    "307 to a mount",
    "an upload of another repository for a mount",
    "an upload elsewhere for a mount",
    "a mount that only seems done",
    "503 once to a mount",
)
RESUMED = (
    "a break, then Range 'bytes=0-{1}'",
    "a break, then Range '0-{1}'",
    "a break, then Range '0-99999999'",
    "a break, then no Range",
    "a break, then a Location elsewhere",
    "a break, then 405 to what follows",
    "a break, then 503 to what follows once",
)

_numbers = count()


def ways(every: Iterable[Way], often: Iterable[str]) -> list[object]:
    """Leave all but some ways to `make soak`."""
    names = {*often}
    found = [pytest.param(way, id=str(way), marks=() if way.name in names else pytest.mark.soak) for way in every]
    assert sum(not made.marks for made in found) == len(names), "a way was renamed"
    return list(found)


@pytest.fixture
def repository() -> str:
    return f"ways/number-{next(_numbers)}"


def digest_of_tag(registry: Registry, repository: str) -> str:
    """Return the digest that a tag has in the real registry; empty if there is none."""
    url = f"{registry.url}/v2/{repository}/manifests/1"
    answer = requests.head(url, headers={"Accept": ", ".join(spec.INDEXES)}, timeout=600)
    return answer.headers["Docker-Content-Digest"] if answer.ok else ""


def bent_anew(registry: Registry) -> BentRegistry:
    """Give a bent registry at an address that skopeo never saw: it remembers what lies where, and mounts it."""
    return BentRegistry(registry.host, address=f"127.{randint(1, 254)}.{randint(0, 255)}.{randint(1, 254)}")


def skopeo_copies(source: str, target: str) -> bool:
    """Tell whether skopeo copies an image: the bar."""
    tls = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    images = (f"docker://{source}", f"docker://{target}")
    return run_skopeo("copy", "-q", "--all", "--preserve-digests", *tls, *images).returncode == 0


def failure(work: Callable[[], object]) -> str:
    """Return a step's error; empty if there is none."""
    try:
        work()
    except ModelcarError as error:
        return str(error)
    return ""


def hold(said: str, bar: bool, written: str, expected: str) -> None:
    """Hold a step against skopeo: it succeeds where that does, and writes the image or no tag at all.

    Args:
        said: What it said as it failed; empty where it did not.
        bar: Whether skopeo succeeded.
        written: The digest of the tag that it wrote; empty for none.
        expected: The image's digest.
    """
    assert not (bar and said), said
    assert said.isprintable()
    assert written == ("" if said else expected)


@pytest.mark.parametrize("way", ways(TO, WRITTEN))
@pytest.mark.parametrize("step", ["stream", pytest.param("mirror", marks=pytest.mark.soak)])
def test_image_is_written(
    step: str, way: Way, plain_registry: Registry, repository: str, expected: str, waits: list[float]
) -> None:
    source, theirs = f"{plain_registry.host}/{SOURCE}:1", f"{repository}/by-skopeo"
    with bent_anew(plain_registry) as bent:
        way.bend(bent)
        bar = skopeo_copies(source, f"{bent.host}/{theirs}:1") and digest_of_tag(plain_registry, theirs) == expected
    with BentRegistry(plain_registry.host) as bent:
        way.bend(bent)
        target = f"{bent.host}/{repository}:1"
        said = failure(lambda: stream(MODEL, target) if step == "stream" else mirror(source, target))

    hold(said, bar, digest_of_tag(plain_registry, repository), expected)


@pytest.mark.parametrize("way", ways(FROM, READ))
def test_image_is_read(way: Way, plain_registry: Registry, repository: str, expected: str, waits: list[float]) -> None:
    target, theirs = f"{plain_registry.host}/{repository}:1", f"{repository}/by-skopeo"
    with bent_anew(plain_registry) as bent:
        way.bend(bent)
        bar = skopeo_copies(f"{bent.host}/{SOURCE}:1", f"{plain_registry.host}/{theirs}:1")
    with BentRegistry(plain_registry.host) as bent:
        way.bend(bent)
        said = failure(lambda: mirror(f"{bent.host}/{SOURCE}:1", target))

    hold(said, bar, digest_of_tag(plain_registry, repository), expected)


@pytest.mark.parametrize("way", ways(FROM, VERIFIED))
def test_image_is_verified_and_inspected_by_the_command(
    way: Way, plain_registry: Registry, repository: str, expected: str, waits: list[float]
) -> None:
    with BentRegistry(plain_registry.host) as bent:
        way.bend(bent)
        mirrored = not failure(lambda: mirror(f"{bent.host}/{SOURCE}:1", f"{plain_registry.host}/{repository}:1"))
    with BentRegistry(plain_registry.host) as bent:
        way.bend(bent)
        done = modelcar("verify", f"{bent.host}/{SOURCE}:1", "--json")
    with BentRegistry(plain_registry.host) as bent:
        way.bend(bent)
        shown = modelcar("inspect", f"{bent.host}/{SOURCE}:1", "--json")

    told = json.loads(done.stdout)
    if mirrored:
        assert done.returncode == shown.returncode == 0, f"{done.stdout}\n{shown.stdout}"
        assert json.loads(shown.stdout)["model"] == MODEL
    else:
        assert done.returncode == (1 if told.get("outcome") == "broken" else 3)
    # What a registry does not give is a fault of the image only if the registry says that it is not there.
    assert (told.get("outcome") == "broken") == ("which is gone" in way.name), done.stdout
    assert "error" not in told or done.stderr.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("way", ways(TO, ASKED))
def test_doctor_and_plan_tell(
    way: Way, plain_registry: Registry, repository: str, expected: str, waits: list[float]
) -> None:
    with bent_anew(plain_registry) as bent:
        way.bend(bent)
        bar = skopeo_copies(f"{plain_registry.host}/{SOURCE}:1", f"{bent.host}/{repository}/by-skopeo:1")
    with BentRegistry(plain_registry.host) as bent:
        way.bend(bent)
        done = modelcar("doctor", "--registry", f"{bent.host}/{repository}", "--write", "--json")
    with BentRegistry(plain_registry.host) as bent:
        way.bend(bent)
        planned = modelcar("plan", MODEL, "--target", f"{bent.host}/{repository}:1", "--here", "--json")

    (found,) = json.loads(done.stdout)
    assert done.returncode == (0 if found["healthy"] else 1)
    assert found["healthy"] or found["lines"][-1].startswith("error: ")
    assert all(line.isprintable() for line in found["lines"])
    assert not (bar and done.returncode), found["lines"]
    assert not (bar and planned.returncode), planned.stdout
    assert json.loads(planned.stdout)["files"]


@pytest.mark.parametrize("way", ways(MOUNTING, MOUNTED))
def test_image_is_mounted(
    way: Way, plain_registry: Registry, repository: str, expected: str, waits: list[float]
) -> None:
    with bent_anew(plain_registry) as bent:
        way.bend(bent)
        source, target = f"{bent.host}/{SOURCE}:1", f"{bent.host}/{repository}"
        bar = skopeo_copies(source, f"{target}/by-skopeo:1")
        said = failure(lambda: mirror(source, f"{target}:1"))

    hold(said, bar, digest_of_tag(plain_registry, repository), expected)


@pytest.mark.parametrize("way", ways(BROKEN, RESUMED))
def test_upload_goes_on_or_is_begun_anew(
    way: Way, plain_registry: Registry, repository: str, expected: str, waits: list[float]
) -> None:
    """Skopeo gives up with the connection, so it is no bar here."""
    with BentRegistry(plain_registry.host) as bent:
        way.bend(bent)
        said = failure(lambda: stream(MODEL, f"{bent.host}/{repository}:1"))

    assert not said
    assert digest_of_tag(plain_registry, repository) == expected


@pytest.mark.parametrize(
    "command", [("inspect", "--json"), ("serve-yaml", "--serving", "kserve"), ("verify", "--json")]
)
def test_what_is_said_on_the_way_is_no_part_of_a_document(
    command: tuple[str, ...], plain_registry: Registry, expected: str, waits: list[float]
) -> None:
    with BentRegistry(plain_registry.host) as bent:
        bent.bend("GET", MANIFESTS, error(429, message="slow down", Retry_After="30"), asks=False, times=1)
        done = modelcar(command[0], f"{bent.host}/{SOURCE}:1", *command[1:])

    assert done.returncode == 0
    assert "asks us to wait 30 s" in done.stderr
    assert yaml.safe_load(done.stdout)
