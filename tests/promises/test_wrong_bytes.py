"""Wrong bytes in what an image is made of and on its way: each is named before a tag moves.

Of the Hub: test_download.py and test_stream.py; on the claim: test_build.py; on the wire: test_faults.py; in a registry
that is copied from: test_mirror.py. Here: the base image, and the mirror.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelcar.errors import ModelcarError, WrongBytesError
from modelcar.image.shell import layer
from modelcar.image.shell.programs import PROGRAMS
from modelcar.steps.download import Downloaded
from modelcar.steps.mirror import mirror
from tests.parts.base_images import push_base_image
from tests.parts.fault_proxy import FaultProxy
from tests.parts.hub import Hub
from tests.parts.registries import Registry, registry_plain
from tests.parts.steps import build, stream
from tests.soak import images

MODEL = "example/tiny-llama"
WAYS = ("build", "stream")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Give a registry with an image that can be a base, model/base:1."""
    with registry_plain(tmp_path_factory.mktemp("base")) as registry:
        push_base_image(registry, "model/base:1", tmp_path_factory.mktemp("layout"))
        yield registry


@pytest.fixture
def run(hub: Hub, model: Path, downloaded: Downloaded) -> object:
    """Give a function that makes an image in a way: (way, target, base)."""
    hub.publish(MODEL, model)

    def made(way: str, target: str, base_image: str = "") -> str:
        if way == "build":
            return build(downloaded.directory, target, base_image=base_image, builder="direct").image.digest
        return stream(MODEL, target, base_image=base_image).image.digest

    return made


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("part", "at"), [("/blobs/", 70), ("/blobs/", 10_000), ("/manifests/sha256:", 300), ("/manifests/1$", 300)]
)
def test_base_that_is_altered_on_the_way_is_named(
    part: str, at: int, way: str, base: Registry, plain_registry: Registry, run: object, waits: list[float]
) -> None:
    assert callable(run)
    target = f"{plain_registry.host}/wrong-base/{way}-{part.strip('/$:').replace(':', '-')}-{at}:1"
    with FaultProxy(base.host) as proxy:
        proxy.corrupt_answer(at=at, method="GET", path=part, times=None)

        with pytest.raises(ModelcarError) as raised:
            run(way, target, f"{proxy.host}/model/base:1")

        assert "\n" not in str(raised.value)
        assert images.digest_at(target) == ""
        proxy.clear()
        assert run(way, target, f"{proxy.host}/model/base:1") == images.pulled_whole(target)


@pytest.mark.parametrize("way", WAYS)
def test_base_that_is_damaged_in_its_registry_is_named(
    way: str, base: Registry, plain_registry: Registry, run: object, waits: list[float]
) -> None:
    assert callable(run)
    target = f"{plain_registry.host}/wrong-base/{way}-at-rest:1"
    layer = sorted(images.layers_of(f"{base.host}/model/base:1"))[0].removeprefix("sha256:")
    file = base.storage / "docker/registry/v2/blobs/sha256" / layer[:2] / layer / "data"
    right = file.read_bytes()
    file.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    try:
        with pytest.raises(ModelcarError, match=f"sha256:{layer}"):
            run(way, target, f"{base.host}/model/base:1")
    finally:
        file.write_bytes(right)

    assert images.digest_at(target) == ""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "damage", [lambda text: text[:-100], lambda text: text[:500] + "~" * 9 + text[509:], lambda text: ""]
)
def test_base_of_the_package_that_is_damaged_on_this_machine_is_named(
    way: str,
    damage: Callable[[str], str],
    plain_registry: Registry,
    run: object,
    monkeypatch: pytest.MonkeyPatch,
    waits: list[float],
) -> None:
    assert callable(run)
    monkeypatch.setitem(PROGRAMS, "arm64", damage(PROGRAMS["arm64"]))
    layer.layer_of.cache_clear()
    monkeypatch.setattr(layer, "layer_of", layer.layer_of.__wrapped__)
    target = f"{plain_registry.host}/wrong-base/{way}-package-{len(PROGRAMS['arm64'])}:1"

    with pytest.raises(WrongBytesError, match=r"the shell for arm64 .* is damaged.*Install modelcar again"):
        run(way, target)

    assert images.digest_at(target) == ""


def test_mirror_that_keeps_other_bytes_than_it_was_given_is_named(
    base: Registry, plain_registry: Registry, waits: list[float]
) -> None:
    """It says that all is well, and gives another manifest for the tag than it got."""
    with FaultProxy(plain_registry.host) as proxy:
        # The first look at the tag finds none, so has no body; no digest is in the answer to compare with.
        proxy.corrupt_answer(at=400, method="GET", path="/manifests/1$", times=None)

        with pytest.raises(ModelcarError, match=r"on the way alters it|is sha256:"):
            mirror(f"{base.host}/model/base:1", f"{proxy.host}/wrong-mirror/copy:1")
