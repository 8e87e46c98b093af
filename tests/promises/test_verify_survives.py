"""`verify` on what others made, and on what was made to break it: a plain outcome, and never a traceback."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcar import pod
from modelcar.attestation.keys import PublicKey
from modelcar.errors import RegistryError
from modelcar.steps.verify.result import Outcome, State
from modelcar.steps.verify.verify import verify
from tests.parts.base_images import push_base_image
from tests.parts.forged import CONFIG, INDEX, MANIFEST, Forgery, Member, Place, directory, encoded, tar_of
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import stream

MODEL = "example/survived"
MODELCAR = str(Path(sys.executable).with_name("modelcar"))
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("survived")) as hub:
        hub.publish(MODEL, {"config.json": "{}", "model.gguf": b"GGUF" * 300_000, "notes/a.txt": "a"})
        yield hub


@pytest.fixture(autouse=True)
def published(hub: Hub, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv(pod.SIGNING_KEY, str(keys[0]))


def attached(place: Place, digest: str, kind: str, content: bytes, end: str = ".att") -> None:
    """Puts a document where cosign keeps its own."""
    config = {"mediaType": CONFIG, "digest": place.put_blob(b"{}"), "size": 2}
    layer = {"mediaType": kind, "digest": place.put_blob(content), "size": len(content)}
    manifest = encoded({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]})
    place.put_manifest(manifest, digest.replace(":", "-") + end)


def envelope(**fields: object) -> bytes:
    right = {"payloadType": "application/vnd.in-toto+json", "payload": "e30=", "signatures": [{"sig": "eA=="}]}
    return json.dumps({**right, **fields}).encode()


STATEMENT = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1"}
ENVELOPE, IN_TOTO = "application/vnd.dsse.envelope.v1+json", "application/vnd.in-toto+json"
SIMPLE, SBOM = "application/vnd.dev.cosign.simplesigning.v1+json", "application/vnd.cyclonedx+json"
DOCUMENTS = {
    "deep JSON": (IN_TOTO, DEEP),
    "a deep envelope": (ENVELOPE, DEEP),
    "deep JSON in an envelope": (ENVELOPE, envelope(payload=base64.b64encode(DEEP).decode())),
    "a payload that is not ASCII": (ENVELOPE, envelope(payload="é🙂")),
    "a signature that is not ASCII": (ENVELOPE, envelope(signatures=[{"sig": "é🙂"}])),
    "a type that is not ASCII": (ENVELOPE, envelope(payloadType="é🙂")),
    "surrogates": (ENVELOPE, b'{"payloadType":"\\ud800","payload":"e30=","signatures":[{"sig":"\\udfff"}]}'),
    "no signatures": (ENVELOPE, envelope(signatures=[])),
    "a list": (IN_TOTO, b"[]"),
    "nothing": (IN_TOTO, b""),
    "no UTF-8": (IN_TOTO, b"\xff\xfe"),
    "a subject of numbers": (IN_TOTO, json.dumps({**STATEMENT, "subject": [1], "predicate": {}}).encode()),
    "a predicate that is a list": (IN_TOTO, json.dumps({**STATEMENT, "subject": [], "predicate": []}).encode()),
    "huge numbers": (IN_TOTO, b'{"subject":' + b"9" * 5000 + b"}"),
    "a deep inventory": (SBOM, DEEP),
    "an inventory that is a list": (SBOM, b"[]"),
    "an inventory of odd parts": (SBOM, b'{"metadata":[],"components":{"a":1}}'),
    "a deep signature": (SIMPLE, DEEP),
    "a signature that is a number": (SIMPLE, b"1"),
}  # fmt: skip


@pytest.mark.parametrize("what", DOCUMENTS)
def test_a_broken_document_is_told(what: str, place: Place, keys: tuple[Path, Path]) -> None:
    digest = stream(MODEL, f"{place.host}/{place.name}:1").image.digest
    kind, content = DOCUMENTS[what]
    attached(place, digest, kind, content, ".sig" if kind == SIMPLE else ".att")
    image = f"{place.host}/{place.name}@{digest}"

    for key in (None, PublicKey.read(keys[1])):
        for offline in (False, True):
            done = verify(image, key=key, offline=offline)
            assert all(link.detail and link.detail.isprintable() for link in done.links)
            assert key is not None or not (offline and done.is_whole)


SAID = {
    "no date": ("org.opencontainers.image.created", None),
    "a date that is none": ("org.opencontainers.image.created", "x" * 5000),
    "a commit that is none": ("org.opencontainers.image.revision", "main"),
    "a commit of another form": ("org.opencontainers.image.revision", "../../x"),
    "a commit that is not there": ("org.opencontainers.image.revision", "0" * 40),
    "a model that is none": ("io.modelcar.model", "../../etc/passwd"),
    "a model that is not there": ("io.modelcar.model", "example/nobody"),
    "no model": ("io.modelcar.model", ""),
    "a base that is none": ("org.opencontainers.image.base.name", "//x y"),
    "a base of another digest": ("org.opencontainers.image.base.digest", "sha256:" + "0" * 64),
    "a base whose digest is none": ("org.opencontainers.image.base.digest", "latest"),
    "a source that is none": ("org.opencontainers.image.source", "\x00"),
}


@pytest.mark.parametrize("what", SAID)
def test_broken_annotations_are_told(what: str, place: Place, keys: tuple[Path, Path], waits: list[float]) -> None:
    digest = stream(MODEL, f"{place.host}/{place.name}:1").image.digest
    forged = Forgery.of(place, digest)
    forged.say(*SAID[what])
    image = f"{place.host}/{place.name}@{forged.push(place, 'x')}"

    for key in (None, PublicKey.read(keys[1])):
        for offline in (False, True):
            for quick in (False, True):
                assert not verify(image, key=key, offline=offline, quick=quick).is_whole


def test_an_index_without_manifests_is_told(place: Place) -> None:
    digest = stream(MODEL, f"{place.host}/{place.name}:1").image.digest
    forged = Forgery.of(place, digest)
    empty = encoded({**forged.index, "manifests": []})
    assert verify(f"{place.host}/{place.name}@{place.put_manifest(empty)}").outcome is Outcome.BROKEN


def test_images_that_others_made_are_told_in_one_line(
    place: Place, plain_registry: Registry, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    """By skopeo as docker's schema 2, by buildah, by hand as an artifact; none is of this project."""
    base = push_base_image(plain_registry, f"{place.name}:skopeo", tmp_path)
    docker = f"docker://{place.host}/{place.name}:docker"
    options = ["--dest-tls-verify=false", "--src-tls-verify=false", "--format", "v2s2"]
    subprocess.run(["skopeo", "copy", *options, f"docker://{base}", docker], check=True, capture_output=True)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/config.json").write_text("{}")
    buildah = ["buildah", "--root", f"{tmp_path}/root", "--runroot", f"{tmp_path}/run", "--storage-driver", "vfs"]
    made = subprocess.run([*buildah, "from", "scratch"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run([*buildah, "copy", made, str(tmp_path / "models"), "/models"], check=True, capture_output=True)
    target = f"docker://{place.host}/{place.name}:buildah"
    subprocess.run([*buildah, "commit", "--tls-verify=false", made, target], check=True, capture_output=True)
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": place.put_blob(b"{}"), "size": 2}
    artifact = {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x", "config": config}
    place.put_manifest(encoded({**artifact, "layers": [config]}), "artifact")

    for tag in ("skopeo", "docker", "buildah", "artifact"):
        done = subprocess.run(
            [MODELCAR, "verify", f"{place.host}/{place.name}:{tag}", "--key", str(keys[1])],
            capture_output=True,
            text=True,
            timeout=600,
            env=dict(os.environ),
        )
        assert done.returncode == 1, done.stderr
        assert "no image of this project" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr


def test_what_is_no_image_at_all_is_refused_in_one_line(place: Place) -> None:
    place.put_manifest(encoded({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}), "1")

    assert verify(f"{place.host}/{place.name}:1").outcome is Outcome.BROKEN
    with pytest.raises(RegistryError, match="there is no image"):
        verify(f"{place.host}/{place.name}:2")


@pytest.mark.parametrize("closed", ["closed", "full"])
def test_a_result_that_cannot_be_written_is_no_traceback(closed: str, place: Place) -> None:
    digest = stream(MODEL, f"{place.host}/{place.name}:1").image.digest
    where = ">&-" if closed == "closed" else ">/dev/full"
    command = f"{MODELCAR} verify --json {place.host}/{place.name}@{digest} {where}"

    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=600, env=dict(os.environ))

    assert "Traceback" not in done.stderr
    if closed == "full":
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("error: cannot write to stdout")
    else:
        # Whoever closes it asks for the exit code alone.
        assert done.returncode == 0


MEASURED = """
import re, sys
from modelcar.steps.verify.verify import verify
done = verify(sys.argv[1])
print(done.outcome, re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def peak_of(image: str) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, image], capture_output=True, text=True, timeout=300, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    outcome, peak = done.stdout.splitlines()[-1].rsplit(" ", 1)
    return outcome, int(peak) << 10


def test_a_layer_of_any_number_of_files_takes_no_memory(place: Place) -> None:
    digest = stream(MODEL, f"{place.host}/{place.name}:1").image.digest
    whole = Forgery.of(place, digest)
    before = peak_of(f"{place.host}/{place.name}@{digest}")
    peaks = []
    for kind in ("files", "directories"):
        forged = whole.copy()
        names = [f"models/{number:06}" for number in range(60_000)]
        members = [Member(name) if kind == "files" else directory(f"{name}/") for name in names]
        forged.replace_layer(forged.model_layers()[-1], tar_of(directory("models/"), *members))
        peaks.append(peak_of(f"{place.host}/{place.name}@{forged.push(place, kind)}"))

    assert before[0] == "whole"
    assert [outcome for outcome, _ in peaks] == ["broken", "broken"]
    assert max(peak for _, peak in peaks) - before[1] < 24 << 20


def test_any_number_of_attachments_takes_no_memory(place: Place) -> None:
    """Twenty-four manifests of 3.9 MB, each attached as a referrer, as anybody can who may push."""
    digest = stream(MODEL, f"{place.host}/{place.name}:1").image.digest
    image = f"{place.host}/{place.name}@{digest}"
    before = peak_of(image)
    subject = {"mediaType": INDEX, "digest": digest, "size": len(place.manifest(digest))}
    config = {"mediaType": CONFIG, "digest": place.put_blob(b"{}"), "size": 2}
    name = digest.replace(":", "-")
    listed = json.loads(place.manifest(name))
    for number in range(24):
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [], "subject": subject}
        content = encoded({**manifest, "annotations": {str(number): "x" * 3_900_000}})
        listed["manifests"].append(
            {"mediaType": MANIFEST, "digest": place.put_manifest(content), "size": len(content), "artifactType": "x"}
        )
    place.put_manifest(encoded(listed), name)

    after = peak_of(image)

    assert before[0] == after[0] == "whole"
    assert after[1] - before[1] < 48 << 20


def test_a_key_that_is_given_counts_alone(place: Place, keys: tuple[Path, Path]) -> None:
    """Junk that a stranger attaches makes no signed image less than whole."""
    digest = stream(MODEL, f"{place.host}/{place.name}:1").image.digest
    config = {"mediaType": CONFIG, "digest": place.put_blob(b"{}"), "size": 2}
    layer = {"mediaType": IN_TOTO, "digest": place.put_blob(DEEP), "size": len(DEEP)}
    manifest = encoded({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]})
    place.put_manifest(manifest, digest.replace(":", "-") + ".sbom")
    image = f"{place.host}/{place.name}@{digest}"

    assert verify(image, key=PublicKey.read(keys[1])).is_whole
    unsigned = verify(image)
    assert [link.name for link in unsigned.links if link.state is State.BROKEN] == ["provenance"]
