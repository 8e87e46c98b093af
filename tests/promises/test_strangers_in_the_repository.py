"""More of what somebody can do who may push to the repository, the mirror's among them, and has no key."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcar import pod
from modelcar.attestation import bundle, layer_note, model_signing
from modelcar.attestation.keys import PublicKey, SigningKey
from modelcar.attestation.signing import is_signed
from modelcar.oci import referrers
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.steps.preflight import checks
from modelcar.steps.preflight.request import RunRequest
from modelcar.steps.verify.result import Outcome, State
from modelcar.steps.verify.verify import verify
from tests.parts.forged import LAYER, MANIFEST, Forgery, Member, Place, digest_of, directory, encoded, tar_of
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys
from tests.parts.steps import plan, stream

MODEL = "example/beside"
EMPTY = "application/vnd.oci.empty.v1+json"
Keys = tuple[Path, Path]


@pytest.fixture(scope="module")
def filled_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("beside")
    files = tiny_llama(folder / "model", shards=2, bytes_per_shard=1_200_000, consolidated=False)
    with Hub(folder / "hub") as hub:
        hub.publish(MODEL, files, card={"license": "mit"})
        yield hub


@pytest.fixture(autouse=True)
def _hub(filled_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", filled_hub.url)


def target(place: Place, tag: str = "1") -> str:
    return f"{place.host}/{place.name}:{tag}"


def run(place: Place, tag: str = "1") -> Reference:
    return stream(MODEL, target(place, tag)).image


def carries_a_signature(place: Place, digest: str, key: PublicKey) -> bool:
    with Repository(Reference.parse(target(place)).at(digest)) as repository:
        return is_signed(repository, digest, key)


def another_user(forged: Forgery) -> None:
    for config in forged.configs:
        config["config"]["User"] = "0"


def another_licence(forged: Forgery) -> None:
    forged.say("org.opencontainers.image.licenses", "GPL-3.0-only")


def one_platform_less(forged: Forgery) -> None:
    for part in (forged.manifests, forged.configs, forged.index["manifests"]):
        part.pop()


def an_evil_platform_more(forged: Forgery) -> None:
    """Nodes of another architecture would pull it."""
    forged.manifests.append(json.loads(json.dumps(forged.manifests[0])))
    forged.configs.append(json.loads(json.dumps(forged.configs[0])))
    forged.configs[-1]["architecture"] = "s390x"
    forged.configs[-1]["config"]["Entrypoint"] = ["/evil"]
    entry = json.loads(json.dumps(forged.index["manifests"][0]))
    entry["platform"]["architecture"] = "s390x"
    forged.index["manifests"].append(entry)


def a_layer_above(forged: Forgery) -> None:
    forged.add_layer(tar_of(directory("models/"), Member("models/config.json", b"{}")))


def a_layer_that_hides_files(forged: Forgery) -> None:
    hiding = tar_of(directory("models/"), Member("models/.wh..wh..opq"))
    forged.add_layer(hiding, dict(forged.manifests[0]["layers"][-1]["annotations"]))


def another_layer_under_an_honest_name(forged: Forgery) -> None:
    at = forged.model_layers()[-1]
    forged.replace_layer(at, tar_of(directory("models/"), Member("models/config.json", b"{}")))


FORGERIES: tuple[Callable[[Forgery], None], ...] = (
    another_user,
    another_licence,
    one_platform_less,
    an_evil_platform_more,
    a_layer_above,
    a_layer_that_hides_files,
    another_layer_under_an_honest_name,
)


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_whatever_is_forged_is_replaced_and_never_signed(
    forge: Callable[[Forgery], None], place: Place, with_key: PublicKey
) -> None:
    honest = run(place)
    forged = Forgery.of(place, honest.digest)
    forge(forged)
    evil = forged.push(place, "1")
    assert evil != honest.digest
    request = RunRequest(model=MODEL, target=target(place), streaming=True)
    assert checks.find_unchanged(request, plan(MODEL, target(place))) is None

    assert run(place) == honest

    assert digest_of(place.manifest("1")) == honest.digest
    assert not carries_a_signature(place, evil, with_key)


def test_a_manifest_alone_under_the_tag_is_replaced(place: Place, with_key: PublicKey) -> None:
    honest = run(place)
    one = place.manifest(json.loads(place.manifest(honest.digest))["manifests"][0]["digest"])
    place.put_manifest(one, "1")

    assert run(place) == honest


def test_a_forged_image_at_the_mirror_is_replaced(place: Place, with_key: PublicKey) -> None:
    honest = run(place)
    there = Place(place.host, f"{place.name}/mirror")
    stream(MODEL, target(place), mirror=target(there))
    forged = Forgery.of(there, honest.digest)
    a_layer_that_hides_files(forged)
    evil = forged.push(there, "1")

    stream(MODEL, target(place), mirror=target(there))

    assert digest_of(there.manifest("1")) == honest.digest
    assert not carries_a_signature(there, evil, with_key)
    assert verify(f"{there.host}/{there.name}@{honest.digest}", key=with_key).is_whole


@pytest.mark.parametrize("options", [{}, {"quick": True}, {"quick": True, "offline": True}, {"offline": True}], ids=str)
def test_our_own_documents_of_another_image_prove_nothing(
    options: dict[str, bool], place: Place, with_key: PublicKey
) -> None:
    """All that we attached to an honest image is put at a forged one, as it is and with the forged one as subject."""
    honest = run(place)
    forged = Forgery.of(place, honest.digest)
    another_layer_under_an_honest_name(forged)
    evil = forged.push(place, "evil")
    content = place.manifest(evil)
    subject = {"mediaType": json.loads(content)["mediaType"], "digest": evil, "size": len(content)}
    with Repository(honest, push=True) as repository:
        top = repository.manifest(evil)
        for one in referrers.find(repository, honest.digest):
            moved = encoded({**json.loads(one.stored.content), "subject": subject})
            stored = type(one.stored)(moved, MANIFEST)
            referrers.put(repository, top, [referrers.Attached(stored, one.tag_end)])

    done = verify(f"{place.host}/{place.name}@{evil}", key=with_key, **options)

    assert done.outcome is Outcome.BROKEN


def test_our_signed_note_of_another_layer_is_none_of_this(place: Place, keys: Keys, with_key: PublicKey) -> None:
    """A signature on a finished layer is put at another layer's note."""
    honest = run(place, "elsewhere")
    manifest = Forgery.of(place, honest.digest).manifests[0]
    layers = [layer for layer in manifest["layers"] if "annotations" in layer]
    ours = SigningKey.read(keys[0], b"")
    first, second = layers[0], layers[1]
    names = [layer["annotations"]["io.modelcar.files"] for layer in (first, second)]
    signature = layer_note.sign(names[1], second["digest"], ours)
    said = {"io.modelcar.files": names[0], layer_note.SIGNATURE: signature}
    lying = {"mediaType": LAYER, "digest": second["digest"], "size": first["size"], "annotations": said}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": place.put_blob(b"{}"), "size": 2}
    place.put_manifest(
        encoded({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [lying]}), "1.partial"
    )

    assert run(place).digest == honest.digest


@pytest.mark.parametrize("end", [".att", ".sbom", ""])
@pytest.mark.parametrize("junk", ["no layers", "index", "image"])
def test_junk_in_the_other_tags_keeps_nothing_from_being_signed(
    end: str, junk: str, place: Place, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(pod.SIGNING_KEY, raising=False)
    honest = run(place)
    config = {"mediaType": EMPTY, "digest": place.put_blob(b"{}"), "size": 2}
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
    if junk == "index":
        document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
    content = place.manifest(honest.digest) if junk == "image" else encoded(document)
    place.put_manifest(content, honest.digest.replace(":", "-") + end)
    monkeypatch.setenv(pod.SIGNING_KEY, str(keys[0]))

    assert run(place) == honest

    assert verify(f"{place.host}/{place.name}@{honest.digest}", key=PublicKey.read(keys[1])).is_whole


def test_a_rotated_key_signs_documents_and_the_models_files_anew(
    place: Place, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = write_keys(tmp_path, "former")
    monkeypatch.setenv(pod.SIGNING_KEY, str(former[0]))
    honest = run(place)
    monkeypatch.setenv(pod.SIGNING_KEY, str(keys[0]))

    run(place)

    for options in ({}, {"quick": True, "offline": True}):
        done = verify(f"{place.host}/{place.name}@{honest.digest}", key=PublicKey.read(keys[1]), **options)
        assert done.is_whole
        assert "model signature" in [link.name for link in done.links if link.state is State.PROVED]


@pytest.mark.parametrize("what", ["a small file", "a weight", "one left out", "one more"])
def test_a_signature_of_other_files_is_broken(what: str, place: Place, keys: Keys, with_key: PublicKey) -> None:
    """A key's owner signed other hashes: of what the Hub publishes by git's hash alone, too."""
    honest = run(place)
    with Repository(honest, push=True) as repository:
        (attached,) = referrers.of_type(repository, honest.digest, model_signing.MEDIA_TYPE)
        content = repository.small_blob(attached.manifest().layers[0].digest)
        files = model_signing.signed_files(bundle.opened(content, with_key).payload)  # type: ignore[union-attr]
        assert files is not None
        if what == "one left out":
            files.pop("config.json")
        else:
            name = {"a small file": "config.json", "a weight": "model-00001-of-00002.safetensors"}.get(what, "evil.py")
            assert (name in files) == (what != "one more")
            files[name] = "0" * 64
        statement = model_signing.statement(MODEL, files)
        signed = bundle.bundle(statement, SigningKey.read(keys[0], b""), by_curve=True)
        referrers.attach(repository, repository.manifest(honest.digest), [model_signing.attachment(signed)])

    done = verify(f"{place.host}/{place.name}@{honest.digest}", key=with_key)

    assert [link.name for link in done.links if link.state is State.BROKEN] == ["model signature"]


def test_quick_says_which_hashes_it_did_not_compare(place: Place, with_key: PublicKey) -> None:
    honest = run(place)

    done = verify(f"{place.host}/{place.name}@{honest.digest}", key=with_key, quick=True)

    (link,) = [link for link in done.links if link.name == "model signature"]
    assert "were not compared" in link.detail


def test_an_unchanged_signed_run_moves_no_blob(place: Place, plain_registry: Registry, with_key: PublicKey) -> None:
    honest = run(place)
    before = len(plain_registry.requests())

    assert stream(MODEL, target(place)).unchanged

    later = plain_registry.requests()[before:]
    layers = {layer["digest"] for layer in Forgery.of(place, honest.digest).manifests[0]["layers"]}
    assert not [one for one in later if one.method in ("POST", "PATCH", "PUT")]
    assert not [one for one in later if one.method == "GET" and one.path.rpartition("/")[2] in layers]
    assert sum(one.size for one in later if "/blobs/" in one.path and one.method == "GET") < 100_000


def test_many_large_attachments_take_no_memory_in_a_mirror(place: Place) -> None:
    """Sixty manifests of 3.9 MB took 223 MiB."""
    import tracemalloc

    from modelcar.steps.mirror import mirror

    honest = run(place)
    content = place.manifest(honest.digest)
    subject = {"mediaType": json.loads(content)["mediaType"], "digest": honest.digest, "size": len(content)}
    config = {"mediaType": EMPTY, "digest": place.put_blob(b"{}"), "size": 2}
    layer = {**config, "mediaType": "application/x"}

    def peak(number: int, tag: str) -> int:
        with Repository(honest, push=True) as repository:
            top = repository.manifest(honest.digest)
            for count in range(number):
                said = {"x": base64.b64encode(b"%08d" % count * 300_000).decode()}
                document = {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x"}
                document |= {"config": config, "layers": [layer], "subject": subject, "annotations": said}
                referrers.put(repository, top, [referrers.Attached(type(top)(encoded(document), MANIFEST))])
        tracemalloc.start()
        made = mirror(str(honest), f"{place.host}/{place.name}/{tag}:1")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        with Repository(made.image) as copy:
            assert len(referrers.find(copy, honest.digest)) >= number
        return found

    few = peak(2, "few")
    assert peak(12, "many") < few * 1.5 + (2 << 20)
