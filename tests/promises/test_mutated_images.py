"""An honest image, changed at random: none of its children is whole, and none ends `verify` in a traceback."""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from functools import lru_cache, partial
from io import StringIO
from pathlib import Path
from random import Random
from tarfile import TarError
from typing import Any

import pytest

from modelcar import pod
from modelcar.attestation.keys import PublicKey
from modelcar.errors import RegistryError
from modelcar.steps.verify.result import Outcome, State, Verification
from modelcar.steps.verify.verify import verify
from tests.parts.forged import MANIFEST, Forgery, Place, digest_of, encoded
from tests.parts.fuzzing import fuzzed
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.mutations import MUTATIONS, change_json
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys
from tests.parts.steps import stream

MODEL = "example/mutated"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PublicKey]:
    private, public = write_keys(tmp_path_factory.mktemp("keys"))
    return private, PublicKey.read(public)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("mutated")
    files = tiny_llama(folder / "model", shards=2, bytes_per_shard=1_060_000, consolidated=False)
    with Hub(folder / "hub") as hub:
        hub.publish(MODEL, files, card={"license": "mit"})
        yield hub


@pytest.fixture(scope="module")
def honest(hub: Hub, plain_registry: Registry, key: tuple[Path, PublicKey]) -> tuple[Place, str]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ENDPOINT", hub.url)
        environment.setenv(pod.SIGNING_KEY, str(key[0]))
        place = Place(plain_registry.host, "mutated/honest")
        return place, stream(MODEL, f"{place.host}/{place.name}:1").image.digest


@pytest.fixture(autouse=True)
def surroundings(hub: Hub, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)


def test_no_mutated_image_is_whole(
    request: pytest.FixtureRequest, honest: tuple[Place, str], key: tuple[Path, PublicKey]
) -> None:
    place, digest = honest
    whole = Forgery.of(place, digest)
    read = lru_cache(None)(place.blob)
    seen: Counter[str] = Counter()

    def check(random: Random) -> None:
        forged = whole.copy()
        for _ in range(random.choice((1, 1, 2, 3))):
            with suppress(KeyError, IndexError, TypeError, AttributeError, ValueError, TarError):
                random.choice(MUTATIONS)(random, forged, partial(layer_of, forged, read))
        try:
            changed = forged.push(place, "mutated")
        except (AssertionError, KeyError, TypeError, AttributeError, ValueError):
            seen["not to be pushed"] += 1
            return
        if changed == digest:
            seen["the same"] += 1
            return
        image = f"{place.host}/{place.name}@{changed}"
        options = {"offline": random.random() < 0.2, "quick": random.random() < 0.2}
        try:
            # A line for each of ten thousand images would be all that is seen of them.
            with redirect_stdout(StringIO()):
                done = verify(image, key=random.choice((None, key[1])), **options)
        except RegistryError:
            seen["refused"] += 1
            return
        seen[done.outcome] += 1
        assert not done.is_whole, (options, done.links)
        if not options["offline"] and not options["quick"]:
            assert done.outcome is Outcome.BROKEN or names_what_is_not_here(done), done.links

    fuzzed(request, check)
    print(dict(seen))
    assert seen[Outcome.BROKEN] > 10


def layer_of(forged: Forgery, read: Callable[[str], bytes], digest: str) -> bytes:
    """Gives a layer's bytes: those that an earlier change put in its place, or the honest ones."""
    with suppress(AssertionError):
        return {digest_of(content): content for content in forged.blobs}.get(digest) or read(digest)
    raise KeyError(digest)


def names_what_is_not_here(done: Verification) -> bool:
    """Tell whether it says to be on another base, of another release, or of what the Hub does not show or has not."""
    named = ("image", "base image", "Hub", "source")
    return any(link.state is State.NOT_PROVED and link.name in named for link in done.links)


@pytest.fixture
def signed_alone(honest: tuple[Place, str], plain_registry: Registry, key: tuple[Path, PublicKey]) -> Place:
    """Give a repository with the image and cosign's two tags, and nothing else attached."""
    place, digest = honest
    there = Place(plain_registry.host, "mutated/attached")
    forged = Forgery.of(place, digest)
    forged.blobs = [place.blob(layer["digest"]) for manifest in forged.manifests for layer in manifest["layers"]]
    forged.push(there, "1")
    for end in (".sig", ".att"):
        manifest = json.loads(place.manifest(tag_of(digest, end)))
        for blob in (manifest["config"], *manifest["layers"]):
            there.put_blob(place.blob(blob["digest"]))
        there.put_manifest(encoded(manifest), tag_of(digest, end))
    assert verify(f"{there.host}/{there.name}@{digest}", key=key[1]).is_whole
    return there


def tag_of(digest: str, end: str = "") -> str:
    return digest.replace(":", "-") + end


def test_no_image_with_a_mutated_attachment_is_whole(
    request: pytest.FixtureRequest, signed_alone: Place, honest: tuple[Place, str], key: tuple[Path, PublicKey]
) -> None:
    place, digest = signed_alone, honest[1]
    originals = {end: json.loads(place.manifest(tag_of(digest, end))) for end in (".sig", ".att")}

    def check(random: Random) -> None:
        end = random.choice((".sig", ".att"))
        manifest = json.loads(json.dumps(originals[end]))
        layer = manifest["layers"][0]
        content = place.blob(originals[end]["layers"][0]["digest"])
        content, signature = mutated(random, end, content, layer["annotations"])
        layer |= {"digest": place.put_blob(content), "size": len(content)}
        layer["annotations"] |= signature
        place.put_manifest(encoded(manifest), tag_of(digest, end))
        done = verify(f"{place.host}/{place.name}@{digest}", key=key[1], quick=random.random() < 0.5)
        place.put_manifest(encoded(originals[end]), tag_of(digest, end))
        assert not done.is_whole, (end, content, done.links)

    fuzzed(request, check)


SIGNATURE = "dev.cosignproject.cosign/signature"


def mutated(random: Random, end: str, content: bytes, said: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """Changes what is signed, or the signature."""
    if end == ".sig":
        if random.random() < 0.5:
            return flipped(random, content), {}
        return content, {SIGNATURE: base64.b64encode(flipped(random, base64.b64decode(said[SIGNATURE]))).decode()}
    envelope = json.loads(content)
    if random.random() < 0.5:
        payload = flipped(random, base64.b64decode(envelope["payload"]))
        envelope["payload"] = base64.b64encode(payload).decode()
    else:
        one = random.choice(envelope["signatures"])
        one["sig"] = base64.b64encode(flipped(random, base64.b64decode(one["sig"]))).decode()
    return encoded(envelope), {}


def flipped(random: Random, content: bytes) -> bytes:
    changed = bytearray(content)
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def test_an_unsigned_statement_that_says_other_things_is_broken(
    request: pytest.FixtureRequest, signed_alone: Place, honest: tuple[Place, str]
) -> None:
    place, digest = signed_alone, honest[1]
    att = json.loads(place.manifest(tag_of(digest, ".att")))
    envelope = json.loads(place.blob(att["layers"][0]["digest"]))
    statement = json.loads(base64.b64decode(envelope["payload"]))
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": place.put_blob(b"{}"), "size": 2}

    def check(random: Random) -> None:
        changed: dict[str, Any] = json.loads(json.dumps(statement))
        change_json(random, changed["predicate"]["buildDefinition"]["resolvedDependencies"])
        if changed == statement:
            return
        content = encoded(changed)
        layer = {"mediaType": "application/vnd.in-toto+json", "digest": place.put_blob(content), "size": len(content)}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": layer["mediaType"], "config": config}
        place.put_manifest(encoded({**manifest, "layers": [layer]}), tag_of(digest, ".sbom"))
        done = verify(f"{place.host}/{place.name}@{digest}")
        assert done.outcome is Outcome.BROKEN or not understood(changed), (changed, done.links)

    try:
        fuzzed(request, check)
    finally:
        place.delete(digest_of(place.manifest(tag_of(digest, ".sbom"))))


def understood(statement: dict[str, Any]) -> bool:
    """Whether a statement has the form of ours; others may attach theirs, which prove nothing."""
    from modelcar.attestation.provenance import Provenance

    return Provenance.read(statement["predicate"]) is not None
