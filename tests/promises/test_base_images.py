"""A base image that holds a model itself: two models in one image would be served as one."""

import gzip
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modelcar.cli.app import app
from modelcar.errors import BuildError, WrongBytesError
from modelcar.image.base_contents import look_into
from modelcar.steps.verify.result import Outcome, State
from modelcar.steps.verify.verify import verify
from tests.parts.base_images import push_base_image
from tests.parts.forged import LAYER, Forgery, Member, Place, digest_of, directory, tar_of
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import stream

MODEL = "example/over"


@pytest.fixture
def place(plain_registry: Registry, request: pytest.FixtureRequest) -> Place:
    return Place(plain_registry.host, f"over/{digest_of(request.node.nodeid.encode())[7:23]}")


def base_with(place: Place, registry: Registry, folder: Path, content: bytes, kind: str = LAYER) -> str:
    """Pushes a base image with one more layer, of some type."""
    push_base_image(registry, f"{place.name}:base", folder)
    forged = Forgery.of(place, "base")
    forged.index["annotations"] = {}
    for manifest in forged.manifests:
        manifest.setdefault("annotations", {})
    forged.add_layer(content)
    for manifest in forged.manifests:
        manifest["layers"][-1]["mediaType"] = kind
    return f"{place.host}/{place.name}@{forged.push(place, 'base')}"


MODELS = tar_of(directory("models/"), Member("models/config.json", b"{}"))
LAYERS = {
    "a file": (MODELS, LAYER),
    "a file, compressed": (gzip.compress(MODELS), f"{LAYER}+gzip"),
    "a file, compressed in parts": (gzip.compress(MODELS[:700]) + gzip.compress(MODELS[700:]), f"{LAYER}+gzip"),
    "a path that begins with a dot": (tar_of(Member("./models/x", b"x")), LAYER),
    "a path that begins with a slash": (tar_of(Member("/models/x", b"x")), LAYER),
    "a link in the place of the directory": (tar_of(Member("models", kind=b"2", link="/opt")), LAYER),
    "a file in the place of the directory": (tar_of(Member("models", b"x")), LAYER),
    "compressed, and said not to be": (gzip.compress(MODELS), LAYER),
    "not compressed, and said to be": (MODELS, f"{LAYER}+gzip"),
    "of another type": (MODELS, "application/vnd.docker.image.rootfs.foreign.diff.tar"),
    "behind much else": (tar_of(*[Member(f"usr/{n}", b"x" * 600) for n in range(3000)], Member("models/x")), LAYER),
}


@pytest.mark.parametrize("what", LAYERS)
def test_a_base_with_models_is_refused(
    what: str, hub: Hub, place: Place, plain_registry: Registry, tmp_path: Path
) -> None:
    hub.publish(MODEL, {"config.json": "{}", "model.gguf": b"GGUF" * 300_000})
    base = base_with(place, plain_registry, tmp_path, *LAYERS[what])

    with pytest.raises(BuildError, match="cannot be under a model: it holds /models"):
        stream(MODEL, f"{place.host}/{place.name}:1", base_image=base)


CLOSED = {"zstd": b"\x28\xb5\x2f\xfd", "xz": b"\xfd7zXZ\x00", "bzip2": b"BZh9"}


@pytest.mark.parametrize("how", CLOSED)
def test_a_base_that_cannot_be_looked_into_is_refused(
    how: str, hub: Hub, place: Place, plain_registry: Registry, tmp_path: Path
) -> None:
    hub.publish(MODEL, {"config.json": "{}", "model.gguf": b"GGUF" * 300_000})
    base = base_with(place, plain_registry, tmp_path, CLOSED[how] + bytes(600), f"{LAYER}+zstd")
    target = f"{place.host}/{place.name}:1"

    with pytest.raises(BuildError, match="compressed in a way that is not read here"):
        stream(MODEL, target, base_image=base)

    image = str(stream(MODEL, target, base_image=base, allow_base_models=True).image)
    assert verify(image).outcome is Outcome.NOT_PROVED
    assert verify(image, allow_base_models=True).is_whole


@pytest.mark.parametrize("volume", ["/models", "/models/", "models/x", "//models", "/opt/../models", "/"])
def test_a_base_with_a_volume_over_the_model_is_refused(
    volume: str, hub: Hub, place: Place, plain_registry: Registry, tmp_path: Path
) -> None:
    """A container would find an empty directory there, or a copy of the whole model on the node."""
    hub.publish(MODEL, {"config.json": "{}", "model.gguf": b"GGUF" * 300_000})
    base_with(place, plain_registry, tmp_path, tar_of(Member("usr/x")))
    forged = Forgery.of(place, "base")
    for config in forged.configs:
        config["config"]["Volumes"] = {"/data": {}, volume: {}}
    base = f"{place.host}/{place.name}@{forged.push(place, 'base')}"

    with pytest.raises(BuildError, match=r"it declares a volume at /.*which would lie over the model"):
        stream(MODEL, f"{place.host}/{place.name}:1", base_image=base)


def test_an_image_of_a_model_is_no_base(hub: Hub, place: Place) -> None:
    hub.publish(MODEL, {"config.json": "{}", "model.gguf": b"GGUF" * 300_000})
    other = stream(MODEL, f"{place.host}/{place.name}:other").image

    with pytest.raises(BuildError, match="it is an image of a model itself"):
        stream(MODEL, f"{place.host}/{place.name}:1", base_image=str(other))


@pytest.mark.parametrize("kind", ["files", "an image of a model"])
def test_a_base_with_models_is_taken_if_that_is_asked_for(
    kind: str, hub: Hub, place: Place, plain_registry: Registry, tmp_path: Path
) -> None:
    hub.publish(MODEL, {"config.json": "{}", "model.gguf": b"GGUF" * 300_000})
    target = f"{place.host}/{place.name}:1"
    base = base_with(place, plain_registry, tmp_path, MODELS)
    if kind == "an image of a model":
        hub.publish("example/under", {"config.json": "{}", "adapter.gguf": b"GGUF" * 300_000})
        base = str(stream("example/under", f"{place.host}/{place.name}:other").image)

    image = str(stream(MODEL, target, base_image=base, allow_base_models=True).image)

    assert verify(image).outcome is Outcome.NOT_PROVED
    assert [link.name for link in verify(image).links if link.state is State.NOT_PROVED] == ["base image"]
    assert verify(image, allow_base_models=True).is_whole
    command = CliRunner().invoke(app, ["verify", image])
    assert (command.exit_code, "it holds /models/" in command.output) == (3, True)
    assert CliRunner().invoke(app, ["verify", image, "--allow-base-models"]).exit_code == 0


def test_a_base_without_models_is_taken(hub: Hub, place: Place, plain_registry: Registry, tmp_path: Path) -> None:
    """KServe's own documentation makes the empty directory in the base; and what a later layer removes is not there."""
    hub.publish(MODEL, {"config.json": "{}", "model.gguf": b"GGUF" * 300_000})
    base_with(place, plain_registry, tmp_path, MODELS)
    forged = Forgery.of(place, "base")
    forged.index["annotations"] = {}
    forged.add_layer(tar_of(Member(".wh.models")))
    forged.add_layer(tar_of(directory("models/"), Member("models/.wh..wh..opq"), Member("usr/models/x", b"x")))
    base = f"{place.host}/{place.name}@{forged.push(place, 'base')}"

    image = stream(MODEL, f"{place.host}/{place.name}:1", base_image=base).image

    assert verify(str(image)).is_whole


def test_an_honest_image_on_another_base_is_whole(
    hub: Hub, place: Place, plain_registry: Registry, tmp_path: Path
) -> None:
    hub.publish(MODEL, {"config.json": "{}", "model.gguf": b"GGUF" * 300_000})
    base = push_base_image(plain_registry, f"{place.name}/base:1", tmp_path)
    image = stream(MODEL, f"{place.host}/{place.name}:1", base_image=base).image

    assert verify(str(image)).is_whole
    Place(place.host, f"{place.name}/base").delete(base_digest(place))
    gone = verify(str(image))
    assert gone.outcome is Outcome.NOT_PROVED
    assert [link.name for link in gone.links if link.state is State.NOT_PROVED] == ["base image", "recipe"]


def base_digest(place: Place) -> str:
    return digest_of(Place(place.host, f"{place.name}/base").manifest("1"))


@pytest.mark.parametrize(
    "content",
    [b"", b"no tar", bytes(5000), gzip.compress(MODELS, mtime=0)[:40], b"\x1f\x8b" + b"x" * 99],
    ids=["empty", "no tar", "zeros", "gzip cut short", "gzip of nothing"],
)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_a_layer_that_is_none_is_read_as_far_as_it_goes(content: bytes, step: int) -> None:
    assert not look_into(iter([content[at : at + step] for at in range(0, len(content), step)])).cleared


def test_a_layer_of_many_members_takes_no_memory() -> None:
    def chunks(count: int) -> object:
        header = tar_of(Member("usr/x"))[:512]
        for _ in range(count):
            yield header * 64
        yield bytes(1024)

    peaks = []
    for count in (50, 400):
        tracemalloc.start()
        look_into(chunks(count))  # type: ignore[arg-type]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < peaks[0] * 1.5


def test_a_layer_that_unpacks_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelcar.image.base_contents.MAX_UNPACKED_BYTES", 1 << 20)
    endless = tarfile.TarInfo("usr/x")
    endless.size = 1 << 40
    bomb = gzip.compress(endless.tobuf() + bytes(16 << 20))

    with pytest.raises(WrongBytesError, match="unpacks to more than"):
        look_into(iter([bomb]))
