"""What somebody can do who may push to the target repository and has no key: nothing that is signed, and no proof."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from modelcar import pod
from modelcar.attestation.keys import PublicKey, SigningKey
from modelcar.errors import HubError, ModelcarError
from modelcar.image.existing import Existing
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.steps.verify.result import Outcome, State, Verification
from modelcar.steps.verify.verify import verify
from tests.parts.forged import INDEX, LAYER, MANIFEST, Forgery, Member, Place, digest_of, directory, encoded, tar_of
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys
from tests.parts.skopeo import skopeo_program
from tests.parts.steps import plan, stream
from tests.parts.weights import Tensor, write_safetensors

MODEL = "example/honest"
SHARD = "model-00001-of-00002.safetensors"
Keys = tuple[Path, Path]


@pytest.fixture(scope="module")
def filled_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("honest")
    files = tiny_llama(folder / "model", shards=2, bytes_per_shard=1_200_000, consolidated=False)
    with Hub(folder / "hub") as hub:
        hub.publish(MODEL, files, date=datetime(2026, 1, 1, tzinfo=UTC), card={"license": "mit", "base_model": "a/b"})
        yield hub


@pytest.fixture
def published(filled_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("HF_ENDPOINT", filled_hub.url)
    filled_hub.requests.clear()
    yield filled_hub
    filled_hub.faults.clear()


def run(place: Place, tag: str = "1") -> Reference:
    return stream(MODEL, f"{place.host}/{place.name}:{tag}").image


def checked(place: Place, digest: str, key: PublicKey | None = None, **options: bool) -> Verification:
    return verify(f"{place.host}/{place.name}@{digest}", key=key, **options)


def has(place: Place, tag: str) -> bool:
    return requests.head(place.url(f"manifests/{tag}"), timeout=600).ok


def signature_tag(digest: str) -> str:
    return digest.replace(":", "-") + ".sig"


def evil_image(place: Place, honest: str) -> Forgery:
    """The honest annotations over another start, a whiteout and a file outside of /models."""
    forged = Forgery.of(place, honest)
    for config in forged.configs:
        config["config"]["Entrypoint"] = ["/bin/evil"]
    evil = tar_of(directory("models/"), directory("models/.wh.config.json/"), Member("etc-evil", b"evil"))
    forged.add_layer(evil, dict(forged.manifests[0]["layers"][-1]["annotations"]))
    return forged


def test_a_forged_image_is_replaced_and_never_signed(published: Hub, place: Place, with_key: PublicKey) -> None:
    honest = run(place)
    forged = evil_image(place, honest.digest).push(place, "1")

    again = run(place)

    assert again == honest
    assert digest_of(place.manifest("1")) == honest.digest
    assert not has(place, signature_tag(forged))
    assert checked(place, forged, with_key).outcome is Outcome.BROKEN
    assert checked(place, forged).outcome is Outcome.BROKEN
    assert checked(place, honest.digest, with_key).is_whole


def test_a_forged_image_is_replaced_without_a_key_too(published: Hub, place: Place) -> None:
    honest = run(place)
    evil_image(place, honest.digest).push(place, "1")

    assert run(place) == honest


def test_an_image_that_other_tools_changed_is_not_there_already(
    published: Hub, place: Place, with_key: PublicKey, tmp_path: Path
) -> None:
    """Umoci gives an image of ours another entry point and one more file; its annotations stay."""
    honest = run(place)
    target, layout = f"docker://{place.host}/{place.name}:1", f"oci:{tmp_path}/image:1"
    plain = ("--src-tls-verify=false", "--dest-tls-verify=false", "--insecure-policy")
    tool(skopeo_program(), "copy", "--preserve-digests", *plain[:1], target, layout)
    (tmp_path / "evil").write_text("evil")
    tool("umoci", "insert", "--image", f"{tmp_path}/image:1", str(tmp_path / "evil"), "/etc/evil")
    tool("umoci", "config", "--image", f"{tmp_path}/image:1", "--config.entrypoint", "/etc/evil")
    tool(skopeo_program(), "copy", "--preserve-digests", *plain[1:2], layout, target)
    forged = digest_of(place.manifest("1"))
    assert forged != honest.digest
    assert json.loads(place.manifest("1"))["annotations"]["io.modelcar.model"] == MODEL

    assert run(place) == honest
    assert not has(place, signature_tag(forged))
    assert checked(place, forged, with_key).outcome is Outcome.BROKEN


def tool(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=600)


def note_of(place: Place, digests: dict[str, str], sizes: dict[str, int]) -> None:
    """Leaves a note of finished layers, as an interrupted run does."""
    config = b"{}"
    layers = [
        {"mediaType": LAYER, "digest": digest, "size": sizes[key], "annotations": {"io.modelcar.files": key}}
        for key, digest in digests.items()
    ]
    described = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": place.put_blob(config), "size": 2}
    note = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers}
    place.put_manifest(encoded(note), "1.partial")


def evil_layer(place: Place, honest: str) -> tuple[str, str, int]:
    """Pushes a layer with another shard; gives the key of the honest one, the evil digest and the size."""
    forged = Forgery.of(place, honest)
    layer = forged.manifests[0]["layers"][forged.model_layers()[0]]
    content = bytearray(place.blob(layer["digest"]))
    content[700_000] ^= 1
    return layer["annotations"]["io.modelcar.files"], place.put_blob(bytes(content)), len(content)


@pytest.mark.parametrize("how", ["note", "old image"])
def test_layers_of_another_are_not_signed_unread(how: str, published: Hub, place: Place, with_key: PublicKey) -> None:
    honest = run(place, "elsewhere")
    key, evil, size = evil_layer(place, honest.digest)
    if how == "note":
        note_of(place, {key: evil}, {key: size})
    else:
        forged = Forgery.of(place, honest.digest)
        forged.replace_layer(forged.model_layers()[0], place.blob(evil))
        forged.push(place, "1")

    made = run(place)

    assert made.digest == honest.digest
    assert checked(place, made.digest, with_key).is_whole


def test_without_a_key_a_run_goes_on_from_a_note_and_says_so(
    published: Hub, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = run(place, "elsewhere")
    key, evil, size = evil_layer(place, honest.digest)
    note_of(place, {key: evil}, {key: size})

    made = run(place)

    assert "1 layers were there already and were not read" in capsys.readouterr().out
    assert not has(place, signature_tag(made.digest))
    done = checked(place, made.digest)
    assert done.outcome is Outcome.BROKEN
    assert any(link.name == "file" and link.state is State.BROKEN for link in done.links)


def test_an_unsigned_image_is_read_before_it_is_signed(
    published: Hub, place: Place, plain_registry: Registry, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(pod.SIGNING_KEY, raising=False)
    unsigned = run(place)
    layers = {layer["digest"] for layer in Forgery.of(place, unsigned.digest).manifests[0]["layers"][1:]}
    monkeypatch.setenv(pod.SIGNING_KEY, str(keys[0]))
    before = len(plain_registry.requests())

    signed = stream(MODEL, f"{place.host}/{place.name}:1")

    assert (signed.image, signed.read_bytes, signed.unchanged) == (unsigned, 0, True)
    read = {one.path.rpartition("/")[2] for one in plain_registry.requests()[before:] if one.method == "GET"}
    assert layers <= read
    assert checked(place, unsigned.digest, PublicKey.read(keys[1])).is_whole


def test_a_signed_image_is_unchanged_without_reading_a_layer(
    published: Hub, place: Place, plain_registry: Registry, with_key: PublicKey
) -> None:
    honest = run(place)
    layers = {layer["digest"] for layer in Forgery.of(place, honest.digest).manifests[0]["layers"]}
    before = len(plain_registry.requests())

    again = stream(MODEL, f"{place.host}/{place.name}:1")

    assert (again.image, again.read_bytes, again.unchanged) == (honest, 0, True)
    later = plain_registry.requests()[before:]
    assert not [one for one in later if one.method == "GET" and one.path.rpartition("/")[2] in layers]


def test_a_signed_note_is_gone_on_from_without_reading(
    published: Hub, place: Place, plain_registry: Registry, with_key: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(*_: object) -> None:
        raise HubError("broken off before the image was written")

    with monkeypatch.context() as ending:
        ending.setattr("modelcar.steps.stream.publish", broken_off)
        with pytest.raises(HubError, match="broken off"):
            run(place)
    noted = json.loads(place.manifest("1.partial"))["layers"]
    # The layer of small files is read: a model's signature needs hashes of theirs that the Hub does not publish.
    done = {layer["digest"] for layer in noted if layer["size"] > 1_000_000}
    published.requests.clear()
    before = len(plain_registry.requests())

    made = run(place)

    assert (len(noted), len(done)) == (3, 2)
    # The plan reads small files, which say how a model is put together.
    assert sum(one.bytes for one in published.requests) < 200_000, "a finished layer was read again"
    later = plain_registry.requests()[before:]
    assert not [one for one in later if one.method == "GET" and one.path.rpartition("/")[2] in done]
    assert checked(place, made.digest, with_key).is_whole


def test_a_note_that_another_key_signed_is_read_back(
    published: Hub,
    place: Place,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    waits: list[float],
) -> None:
    monkeypatch.setenv(pod.SIGNING_KEY, str(write_keys(tmp_path, "stranger")[0]))
    honest = run(place, "elsewhere")
    key, evil, size = evil_layer(place, honest.digest)
    note_of(place, {key: evil}, {key: size})
    monkeypatch.setenv(pod.SIGNING_KEY, str(keys[0]))

    made = run(place)

    assert made.digest == honest.digest
    assert checked(place, made.digest, PublicKey.read(keys[1])).is_whole


@pytest.mark.parametrize("junk", ["empty", "foreign", "index"])
def test_a_junk_signature_is_no_signature(
    junk: str, published: Hub, place: Place, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(pod.SIGNING_KEY, raising=False)
    honest = run(place)
    described = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": place.put_blob(b"{}"), "size": 2}
    layers = []
    if junk == "foreign":
        payload = json.dumps({"critical": {"image": {"docker-manifest-digest": honest.digest}}}).encode()
        kind = "application/vnd.dev.cosign.simplesigning.v1+json"
        said = {"dev.cosignproject.cosign/signature": "bm8gc2lnbmF0dXJl"}
        layers = [{"mediaType": kind, "digest": place.put_blob(payload), "size": len(payload), "annotations": said}]
    document = encoded({"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers})
    if junk == "index":
        document = encoded({"schemaVersion": 2, "mediaType": INDEX, "manifests": []})
    place.put_manifest(document, signature_tag(honest.digest))
    monkeypatch.setenv(pod.SIGNING_KEY, str(keys[0]))

    assert run(place) == honest

    assert checked(place, honest.digest, PublicKey.read(keys[1])).is_whole


def test_a_rotated_key_signs_again(
    published: Hub, place: Place, keys: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    former = write_keys(tmp_path, "former")
    monkeypatch.setenv(pod.SIGNING_KEY, str(former[0]))
    honest = run(place)
    monkeypatch.setenv(pod.SIGNING_KEY, str(keys[0]))

    assert run(place) == honest

    assert checked(place, honest.digest, PublicKey.read(keys[1])).is_whole
    assert checked(place, honest.digest, PublicKey.read(former[1])).is_whole


def test_a_signature_that_was_removed_is_made_again(published: Hub, place: Place, with_key: PublicKey) -> None:
    honest = run(place)
    # The last is the list of the rest, which cosign 3 goes by.
    for end in (".sig", ".att", ""):
        place.delete(digest_of(place.manifest(honest.digest.replace(":", "-") + end)))
    assert checked(place, honest.digest, with_key).outcome is Outcome.BROKEN

    assert run(place) == honest

    assert checked(place, honest.digest, with_key).is_whole


def test_preflight_tells_what_is_signed_from_what_is_not(
    published: Hub, place: Place, keys: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(pod.SIGNING_KEY, raising=False)
    target = f"{place.host}/{place.name}:1"
    honest = run(place)
    image = plan(MODEL, target).image
    assert image is not None
    ours, other = (SigningKey.read(key, b"") for key in (keys[0], write_keys(tmp_path, "other")[0]))

    def seen(key: SigningKey | None) -> tuple[bool, bool]:
        with Repository(honest) as repository:
            there = Existing(repository, "1", image, key)
            return there.is_the_image, there.is_signed

    assert (seen(None), seen(ours)) == ((True, True), (False, False))
    monkeypatch.setenv(pod.SIGNING_KEY, str(keys[0]))
    run(place)
    assert (seen(None), seen(ours), seen(other)) == ((True, True), (True, True), (False, False))
    place.delete(digest_of(place.manifest(signature_tag(honest.digest))))
    assert seen(ours) == (True, False)
    evil_image(place, honest.digest).push(place, "1")
    assert (seen(None), seen(ours)) == ((False, True), (False, False))


def test_offline_a_forgers_own_statement_proves_nothing(
    published: Hub, place: Place, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its maker left a shard out, of the image and of the statement."""
    monkeypatch.delenv(pod.SIGNING_KEY, raising=False)
    whole = run(place, "whole")
    with monkeypatch.context() as forging:
        # Ours refuses to make it; a forger's need not.
        forging.setattr("modelcar.hub.choice._problems", lambda *_, **__: iter(()))
        part = stream(MODEL, f"{place.host}/{place.name}:part", exclude=[SHARD]).image

    done = checked(place, part.digest, offline=True)

    assert done.outcome is Outcome.NOT_PROVED
    assert checked(place, whole.digest, offline=True).outcome is Outcome.NOT_PROVED
    assert checked(place, part.digest, offline=True, quick=True).outcome is Outcome.NOT_PROVED
    assert checked(place, part.digest, PublicKey.read(keys[1]), offline=True).outcome is Outcome.BROKEN
    online = checked(place, part.digest)
    assert online.outcome is Outcome.NOT_PROVED
    assert any(SHARD in link.detail for link in online.links if link.state is State.NOT_PROVED)


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        (("model-00001-of-000002.safetensors", "model-00002-of-000002.safetensors"), 0),
        (("model.safetensors", "2_Dense/model.safetensors"), 1),
    ],
)
def test_a_part_that_was_left_out_is_named_whatever_it_is_called(
    names: tuple[str, ...], lacking: int, hub: Hub, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DeepSeek-V3 counts its shards to six digits; sentence-transformers has a part in a folder of its own."""
    write_safetensors(tmp_path / "weights", [Tensor("a", (200_000,))])
    modules = json.dumps([{"path": ""}, {"path": "2_Dense"}])
    weights = dict.fromkeys(names, (tmp_path / "weights").read_bytes())
    hub.publish("example/parts", {"config.json": "{}", "modules.json": modules, **weights})
    monkeypatch.setattr("modelcar.hub.choice._problems", lambda *_, **__: iter(()))
    part = stream("example/parts", f"{place.host}/{place.name}:part", exclude=[names[lacking]]).image

    done = checked(place, part.digest)

    assert done.outcome is Outcome.NOT_PROVED
    assert any(names[lacking] in link.detail for link in done.links if link.state is State.NOT_PROVED)


def test_offline_what_is_signed_proves(published: Hub, place: Place, with_key: PublicKey) -> None:
    honest = run(place)
    published.requests.clear()

    for options in ({"offline": True}, {"offline": True, "quick": True}):
        assert checked(place, honest.digest, with_key, **options).is_whole
    assert not published.requests
    assert checked(place, honest.digest, with_key, quick=True).is_whole
    assert checked(place, honest.digest, quick=True).outcome is Outcome.NOT_PROVED


def test_a_pull_requests_commit_is_not_the_owners(published: Hub, place: Place, filled_hub: Hub) -> None:
    commit = filled_hub.publish("example/pulled", {"config.json": "{}", "model.gguf": b"GGUF" * 400_000})
    pulled = filled_hub.publish(
        "example/pulled", {"config.json": "{}", "model.gguf": b"EVIL" * 400_000}, branch="refs/pr/7"
    )
    evil = stream("example/pulled", f"{place.host}/{place.name}:evil", revision=pulled).image
    right = stream("example/pulled", f"{place.host}/{place.name}:right", revision=commit).image
    filled_hub.publish("example/pulled", {"config.json": "[]", "model.gguf": b"GGUF" * 400_000})
    filled_hub.tag("example/pulled", "v1", commit)

    done = checked(place, evil.digest)

    assert done.outcome is Outcome.BROKEN
    assert "no branch and no tag" in next(link.detail for link in done.links if link.state is State.BROKEN)
    assert checked(place, right.digest).is_whole


def test_an_old_commit_of_a_branch_is_the_owners(published: Hub, place: Place, filled_hub: Hub) -> None:
    first = filled_hub.publish("example/older", {"config.json": "{}", "model.gguf": b"GGUF" * 400_000})
    for number in range(3):
        filled_hub.publish("example/older", {"config.json": f"[{number}]", "model.gguf": b"GGUF" * 400_000})

    assert checked(place, stream("example/older", f"{place.host}/{place.name}:1", revision=first).image.digest).is_whole


def test_files_whose_names_sort_otherwise_in_a_tar_are_whole(published: Hub, place: Place, filled_hub: Hub) -> None:
    files = {"a-b.json": "1", "a/x.json": "2", "a.json": "3", "a/b-c/d": "4", "a/b/c": "5", "model.gguf": b"GG" * 9}
    filled_hub.publish("example/sorted", files)

    image = stream("example/sorted", f"{place.host}/{place.name}:1").image

    assert checked(place, image.digest).is_whole


def test_what_others_wrote_commands_no_terminal(published: Hub, place: Place) -> None:
    honest = run(place)
    forged = Forgery.of(place, honest.digest)
    forged.say("org.opencontainers.image.licenses", "mit\x1b[2J\x1b[H\r\n all is well \u202e \x9b2J")
    evil = tar_of(directory("models/"), Member("models/\x1b[2Jevil", b"evil"))
    forged.add_layer(evil, {"io.modelcar.files": "\x1b[2J"})
    digest = forged.push(place, "evil")
    command = [str(Path(sys.executable).with_name("modelcar")), "verify", f"{place.host}/{place.name}@{digest}"]

    for more in ([], ["--json"], ["--quick"]):
        done = subprocess.run([*command, *more], capture_output=True, timeout=600, env=dict(os.environ))
        shown = (done.stdout + done.stderr).decode()
        assert done.returncode == (3 if more == ["--quick"] else 1)
        assert not [letter for letter in shown.replace("\n", "") if not letter.isprintable()]


Change = Callable[[Forgery], None]


def in_configs(change: Callable[[dict[str, object]], None]) -> Change:
    return lambda forged: [change(config) for config in forged.configs] and None


def in_layers(change: Callable[[dict[str, object]], None]) -> Change:
    return lambda forged: [change(manifest["layers"][-1]) for manifest in forged.manifests] and None


def swap(forged: Forgery) -> None:
    def change(manifest: dict[str, list[object]], config: dict[str, dict[str, list[object]]]) -> None:
        layers, diffs = manifest["layers"], config["rootfs"]["diff_ids"]
        layers[-1], layers[-2] = layers[-2], layers[-1]
        diffs[-1], diffs[-2] = diffs[-2], diffs[-1]

    forged.each(change)


def parts_of(forged: Forgery) -> list[list[Any]]:
    return [forged.manifests, forged.configs, forged.index["manifests"]]


def in_index(**fields: Any) -> Change:
    return lambda forged: forged.index["manifests"][0]["platform"].update(fields)


CHANGES: dict[str, Change] = {
    "another entry point": in_configs(lambda config: config["config"].update(Entrypoint=["/x"])),
    "a command": in_configs(lambda config: config["config"].update(Cmd=["-c", "x"])),
    "another user": in_configs(lambda config: config["config"].update(User="0")),
    "a variable": in_configs(lambda config: config["config"].update(Env=["LD_PRELOAD=/models/x"])),
    "a working directory": in_configs(lambda config: config["config"].update(WorkingDir="/x")),
    "a volume": in_configs(lambda config: config["config"].update(Volumes={"/models": {}})),
    "a port": in_configs(lambda config: config["config"].update(ExposedPorts={"1/tcp": {}})),
    "a stop signal": in_configs(lambda config: config["config"].update(StopSignal="SIGKILL")),
    "a health check": in_configs(lambda config: config["config"].update(Healthcheck={"Test": ["CMD", "x"]})),
    "a hook of docker's": in_configs(lambda config: config["config"].update(OnBuild=["RUN x"])),
    "a label": in_configs(lambda config: config["config"]["Labels"].update(x="y")),
    "an author": in_configs(lambda config: config.update(author="x")),
    "another date": in_configs(lambda config: config.update(created="2020-01-01T00:00:00Z")),
    "another architecture": in_configs(lambda config: config.update(architecture="riscv64")),
    "another system": in_configs(lambda config: config.update(os="windows")),
    "a feature": in_configs(lambda config: config.update({"os.features": ["x"]})),
    "a line of history": in_configs(lambda config: config["history"].append({"created_by": "x", "empty_layer": True})),
    "less history": in_configs(lambda config: config["history"].pop()),
    "another kind of file system": in_configs(lambda config: config["rootfs"].update(type="x")),
    "another licence": lambda forged: forged.say("org.opencontainers.image.licenses", "GPL-3.0-only"),
    "no licence": lambda forged: forged.say("org.opencontainers.image.licenses", None),
    "another source": lambda forged: forged.say("org.opencontainers.image.source", "https://evil.example/x"),
    "another title": lambda forged: forged.say("org.opencontainers.image.title", "evil/model"),
    "another date everywhere": lambda forged: forged.say("org.opencontainers.image.created", "2020-01-01T00:00:00Z"),
    "other base models": lambda forged: forged.say("io.modelcar.base-models", "evil/base"),
    "another size": lambda forged: forged.say("io.modelcar.weights-size", "1"),
    "another recipe": lambda forged: forged.say("io.modelcar.recipe", "sha256:" + "0" * 64),
    "one more annotation": lambda forged: forged.say("io.modelcar.evil", "x"),
    "another recipe version": lambda forged: forged.say("io.modelcar.recipe-version", "99"),
    "an annotation of the index alone": lambda forged: forged.index["annotations"].update(x="y"),
    "an annotation of a manifest alone": lambda forged: forged.manifests[0]["annotations"].update(x="y"),
    "one platform only": lambda forged: [part.pop() for part in parts_of(forged)] and None,
    "platforms in another order": lambda forged: [part.reverse() for part in parts_of(forged)] and None,
    "another platform in the index": in_index(architecture="s390x"),
    "a variant in the index": in_index(variant="v9"),
    "no platform in the index": lambda forged: forged.index["manifests"][0].pop("platform") and None,
    "an annotation of an entry": lambda forged: forged.index["manifests"][0].update(annotations={"x": "y"}),
    "data in a layer": in_layers(lambda layer: layer.update(data="eA==")),
    "an annotation of a layer": in_layers(lambda layer: layer["annotations"].update(x="y")),
    "another name for what a layer holds": in_layers(
        lambda layer: layer["annotations"].update({"io.modelcar.files": "sha256:" + "1" * 64})
    ),
    "no name for what a layer holds": in_layers(lambda layer: layer.pop("annotations") and None),
    "another type of a layer": in_layers(lambda layer: layer.update(mediaType=f"{LAYER}+gzip")),
    "an artifact type": lambda forged: forged.manifests[0].update(artifactType="application/x"),
    "a field that nobody knows": lambda forged: forged.manifests[0].update(x={"y": 1}),
    "layers in another order": swap,
    "a file outside": lambda forged: forged.add_layer(tar_of(Member("config.json", b"{}")), {"io.modelcar.files": "x"}),
    "a layer below": lambda forged: forged.add_layer(tar_of(Member("sh", b"evil")), None, at=1),
    "a layer above": lambda forged: forged.add_layer(tar_of(Member("models/config.json", b"{}"))),
    "an empty layer": lambda forged: forged.add_layer(bytes(1024), {"io.modelcar.files": "x"}),
    "no layer's bytes": lambda forged: forged.add_layer(b"", {"io.modelcar.files": "x"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def honest(filled_hub: Hub, plain_registry: Registry, keys: Keys) -> tuple[Place, str]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ENDPOINT", filled_hub.url)
        environment.setenv(pod.SIGNING_KEY, str(keys[0]))
        place = Place(plain_registry.host, "forged/changed")
        return place, run(place).digest


@pytest.mark.parametrize("what", CHANGES)
def test_an_image_that_differs_in_anything_is_not_whole(
    what: str, published: Hub, honest: tuple[Place, str], keys: Keys
) -> None:
    place, digest = honest
    forged = Forgery.of(place, digest)
    CHANGES[what](forged)

    changed = forged.push(place, "changed")

    assert changed != digest
    for key in (None, PublicKey.read(keys[1])):
        for quick in (False, True):
            done = checked(place, changed, key, quick=quick)
            assert not done.is_whole, (key, quick)
            # An image of another source is taken for a model of one's own, which only a signature can prove.
            if not quick and what not in ("another recipe version", "another source"):
                assert done.outcome is Outcome.BROKEN, done.links


def rewritten(layer: bytes, change: Callable[[list[Member]], list[Member]]) -> bytes:
    """The layer's members, changed, in the bytes that our own writer gives headers of the same names."""
    import io
    import tarfile

    found = []
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        for info in tar:
            content = tar.extractfile(info).read() if info.isfile() else b""  # type: ignore[union-attr]
            found.append(directory(f"{info.name}/") if info.isdir() else Member(info.name, content))
    return ours(*change(found))


def ours(*members: Member) -> bytes:
    from modelcar.oci.tar_writer import directory_header, file_header

    out = b""
    for member in members:
        name = member.name.rstrip("/")
        if member.name.endswith("/"):
            out += directory_header(name)
        else:
            out += file_header(name, len(member.content)) + member.content + bytes(-len(member.content) % 512)
    return out + bytes(1024)


MEMBERS: dict[str, Callable[[list[Member]], list[Member]]] = {
    "a file at the root": lambda found: [*found, Member("zzz.json", b"{}")],
    "config.json at the root": lambda found: [Member("config.json", found[1].content), *found],
    "a whiteout": lambda found: [found[0], Member("models/.wh.config.json"), *found[1:]],
    "a directory that is a whiteout": lambda found: [found[0], directory("models/.wh.config.json/"), *found[1:]],
    "an opaque directory": lambda found: [found[0], directory("models/.wh..wh..opq/"), *found[1:]],
    "an empty directory": lambda found: [*found, directory("models/zzz/")],
    "a directory over a file": lambda found: [*found[:-1], directory(f"{found[-1].name}/")],
    "a directory elsewhere": lambda found: [directory("bin/"), *found],
    "no directory": lambda found: found[1:],
    "a file twice": lambda found: [*found[:2], found[1], *found[2:]],
    "files in another order": lambda found: [found[0], *reversed(found[1:])],
    "a file less": lambda found: found[:-1],
    "a file more": lambda found: [*found, Member("models/zzz.py", b"import os")],
    "a file under another name": lambda found: [*found[:-1], Member(f"{found[-1].name}x", found[-1].content)],
    "a file in another place": lambda found: [
        *found[:-1], directory("models/zzz/"), Member("models/zzz/config.json", found[-1].content)
    ],
    "other bytes": lambda found: [*found[:-1], Member(found[-1].name, b"x" + found[-1].content[1:])],
    "one byte more": lambda found: [*found[:-1], Member(found[-1].name, found[-1].content + b"\n")],
    "nothing": lambda found: [],
    "directories alone": lambda found: found[:1],
}  # fmt: skip


@pytest.mark.parametrize("what", MEMBERS)
def test_a_layer_that_differs_in_a_member_is_broken(
    what: str, published: Hub, honest: tuple[Place, str], keys: Keys
) -> None:
    place, digest = honest
    forged = Forgery.of(place, digest)
    at = forged.model_layers()[-1]
    layer = place.blob(forged.manifests[0]["layers"][at]["digest"])
    forged.replace_layer(at, rewritten(layer, MEMBERS[what]))

    changed = forged.push(place, "changed")

    for key in (None, PublicKey.read(keys[1])):
        assert checked(place, changed, key).outcome is Outcome.BROKEN
        assert not checked(place, changed, key, quick=True).is_whole


def test_an_untouched_copy_is_whole(published: Hub, honest: tuple[Place, str], keys: Keys) -> None:
    place, digest = honest

    assert Forgery.of(place, digest).push(place, "changed") == digest
    assert checked(place, digest, PublicKey.read(keys[1])).is_whole


def by_sha512(text: str) -> str:
    """Names the first layer, or the first platform, by another algorithm; runtimes know both."""
    return re.sub(r'"sha256:[0-9a-f]{64}"', f'"sha512:{"0" * 128}"', text, count=1)


TEXTS: dict[str, Callable[[str], str]] = {
    "white space": lambda text: text.replace(",", ", "),
    "a line at the end": lambda text: f"{text}\n",
    "a byte order mark": lambda text: f"\ufeff{text}",
    # Parsers differ in which of two keys counts; Go's takes any case for the same.
    "annotations twice": lambda text: text.replace("{", '{"annotations":{},', 1),
    "layers and manifests twice": lambda text: text.replace("{", '{"layers":[],"manifests":[],', 1),
    "another case": lambda text: text.replace("{", '{"Layers":[],"Manifests":[],"Config":{},', 1),
    "a key in other letters": lambda text: text.replace('"layers"', '"l\\u0061yers"').replace("manif", "m\\u0061nif"),
    "a number with a fraction": lambda text: text.replace('"schemaVersion":2', '"schemaVersion":2.0'),
    "another version": lambda text: text.replace('"schemaVersion":2', '"schemaVersion":1'),
    "a huge number": lambda text: text.replace('"schemaVersion":2', f'"schemaVersion":{"9" * 400}'),
    "addresses elsewhere": lambda text: text.replace('"size":', '"urls":["https://evil.example/x"],"size":'),
    "another algorithm": by_sha512,
    "an image that it is attached to": lambda text: text.replace(
        "{", f'{{"subject":{{"mediaType":"{MANIFEST}","digest":"sha256:{"0" * 64}","size":1}},', 1
    ),
    "deep nesting": lambda text: text.replace("{", '{"x":' + "[" * 5000 + "]" * 5000 + ",", 1),
}  # fmt: skip


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("what", TEXTS)
def test_documents_in_another_form_are_not_whole(
    what: str, published: Hub, honest: tuple[Place, str], keys: Keys
) -> None:
    place, digest = honest
    index = place.manifest(digest).decode()
    for entry in json.loads(index)["manifests"]:
        changed = TEXTS[what](place.manifest(entry["digest"]).decode()).encode()
        index = index.replace(entry["digest"], taken(place, changed, MANIFEST))
        index = index.replace(f'"size":{entry["size"]}', f'"size":{len(changed)}')
    forged = taken(place, TEXTS[what](index).encode(), INDEX)

    for key in (None, PublicKey.read(keys[1])):
        for options in ({}, {"quick": True}, {"offline": True}):
            assert not is_whole(place, forged, key, **options)


@pytest.mark.usefixtures("waits")
def test_an_index_within_an_index_is_not_whole(published: Hub, honest: tuple[Place, str], keys: Keys) -> None:
    place, digest = honest
    index = json.loads(place.manifest(digest))
    entry = {**index["manifests"][0], "mediaType": INDEX, "digest": digest, "size": len(place.manifest(digest))}
    for manifests in ([entry], [*index["manifests"], entry], [entry, *index["manifests"]]):
        forged = place.put_manifest(encoded({**index, "manifests": manifests}))

        assert not is_whole(place, forged, PublicKey.read(keys[1]))


def taken(place: Place, content: bytes, media_type: str) -> str:
    """Puts a document where it is served whatever it holds: many registries would refuse it, and need not."""
    try:
        return place.put_manifest(content, media_type=media_type)
    except AssertionError:
        return place.put_blob(content)


def is_whole(place: Place, digest: str, key: PublicKey | None, **options: bool) -> bool:
    """Tell whether it is called whole; one that cannot be read at all is refused."""
    with suppress(ModelcarError):
        return checked(place, digest, key, **options).is_whole
    return False
