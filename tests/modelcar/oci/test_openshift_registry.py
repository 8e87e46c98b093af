"""Whole runs on OpenShift's own registry, by its rules (tests/parts/openshift_registry.py) and by similar ones."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelcar import pod
from modelcar.attestation.keys import PublicKey
from modelcar.errors import HubError, ModelcarError, RegistryError
from modelcar.oci import referrers, spec
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored
from modelcar.steps.mirror import mirror
from modelcar.steps.verify.result import State
from modelcar.steps.verify.verify import verify
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.openshift_registry import OpenShiftRegistry
from tests.parts.registries import Registry, registry_plain
from tests.parts.signing_keys import write_keys
from tests.parts.steps import PROGRAMS, build, download, stream
from tests.soak.images import digest_at, layers_of, pulled_whole

MODEL = "example/tiny-llama"
SHARD = "model-00002-of-00002.safetensors"
REPOSITORY = "team/model"


@pytest.fixture
def openshift(tmp_path: Path) -> Iterator[OpenShiftRegistry]:
    with registry_plain(tmp_path / "openshift") as registry, OpenShiftRegistry(registry) as openshift:
        yield openshift


@pytest.fixture
def target(openshift: OpenShiftRegistry) -> str:
    return f"{openshift.host}/{REPOSITORY}:1"


@pytest.fixture
def published(hub: Hub, tmp_path: Path, waits: list[float]) -> Hub:
    files = tiny_llama(tmp_path / "model", shards=2, bytes_per_shard=1_200_000, consolidated=False)
    hub.publish(MODEL, files, date=datetime(2026, 1, 1, tzinfo=UTC))
    return hub


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublicKey:
    """Give the public key of the one that runs sign with."""
    private, public = write_keys(tmp_path)
    monkeypatch.setenv(pod.SIGNING_KEY, str(private))
    return PublicKey.read(public)


def broken_links(image: str, key: PublicKey | None = None) -> list[str]:
    done = verify(image, key=key)
    return [f"{link.name}: {link.detail}" for link in done.links if link.state is State.BROKEN]


def attached(image: Reference) -> set[str]:
    """The digests of all that is attached to an image."""
    with Repository(image) as repository:
        return {one.stored.digest for one in referrers.find(repository, image.digest)}


@pytest.mark.parametrize("way", ["stream", "direct", "buildah"])
def test_signed_image_is_whole_there_and_stays_so_when_it_is_pruned(
    way: str, published: Hub, openshift: OpenShiftRegistry, target: str, key: PublicKey, tmp_path: Path
) -> None:
    if way == "stream":
        image = stream(MODEL, target).image
    else:
        directory = download(MODEL, tmp_path / "claim").directory
        image = build(directory, target, builder=way).image  # type: ignore[arg-type]

    documents = attached(image)
    openshift.prune()

    assert openshift.refused == []
    assert openshift.tags(REPOSITORY)["1"] == image.digest
    assert len(documents) >= 3
    assert attached(image) == documents
    assert broken_links(target, key) == []
    assert pulled_whole(target) == image.digest


def test_image_is_the_one_that_others_have(
    published: Hub, target: str, plain_registry: Registry, key: PublicKey
) -> None:
    assert stream(MODEL, target).image.digest == stream(MODEL, f"{plain_registry.host}/openshift/same:1").image.digest


def test_image_without_a_key_has_its_documents(
    published: Hub, openshift: OpenShiftRegistry, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = stream(MODEL, target).image
    openshift.prune()

    assert len(attached(image)) == 2
    assert "takes no provenance" not in capsys.readouterr().out


def test_second_run_moves_nothing(published: Hub, openshift: OpenShiftRegistry, target: str, key: PublicKey) -> None:
    first = stream(MODEL, target)
    openshift.prune()

    second = stream(MODEL, target)

    assert (second.image, second.read_bytes, second.unchanged) == (first.image, 0, True)


def test_image_of_a_run_without_a_key_is_signed_later(
    published: Hub, openshift: OpenShiftRegistry, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream(MODEL, target)
    private, public = write_keys(tmp_path)
    monkeypatch.setenv(pod.SIGNING_KEY, str(private))

    assert stream(MODEL, target).unchanged

    openshift.prune()
    assert broken_links(target, PublicKey.read(public)) == []


def test_image_is_mirrored_there_and_back(
    published: Hub, openshift: OpenShiftRegistry, target: str, plain_registry: Registry, key: PublicKey
) -> None:
    source = stream(MODEL, f"{plain_registry.host}/openshift/source:1").image

    there = mirror(str(source), target).image
    openshift.prune()
    back = mirror(str(there), f"{plain_registry.host}/openshift/back:1").image
    again = mirror(str(source), target)

    assert openshift.refused == []
    assert there.digest == back.digest == source.digest
    assert attached(there) >= attached(source)
    assert attached(back) >= attached(source)
    assert again.copied_bytes == 0
    assert broken_links(target, key) == []


def test_both_are_fed_in_one_pass(
    published: Hub, openshift: OpenShiftRegistry, target: str, plain_registry: Registry, key: PublicKey
) -> None:
    done = stream(MODEL, f"{plain_registry.host}/openshift/pass:1", mirror=target)
    openshift.prune()

    assert done.mirrored is not None
    assert done.mirrored.digest == done.image.digest
    assert broken_links(target, key) == []


def test_two_runs_at_once_bring_one_whole_image(
    published: Hub, openshift: OpenShiftRegistry, target: str, key: PublicKey
) -> None:
    """A schedule's form allows ten runs at once; whatever it says, no harm is done."""
    with ThreadPoolExecutor(2) as pool:
        images = [done.image.digest for done in pool.map(lambda _: stream(MODEL, target), range(2))]
    openshift.prune()

    assert len(set(images)) == 1
    assert openshift.tags(REPOSITORY)["1"] == images[0]
    assert broken_links(target, key) == []
    assert pulled_whole(target) == images[0]


def test_new_commit_moves_the_tag_and_the_old_image_is_pruned(
    hub: Hub, openshift: OpenShiftRegistry, target: str, tmp_path: Path, key: PublicKey, waits: list[float]
) -> None:
    folder = tiny_llama(tmp_path / "model", shards=2, bytes_per_shard=1_200_000, consolidated=False)
    hub.publish(MODEL, folder)
    first = stream(MODEL, target).image
    (folder / "README.md").write_text("---\nlicense: mit\n---\nanew\n")
    hub.publish(MODEL, folder)

    second = stream(MODEL, target)
    openshift.prune()

    assert 0 < second.read_bytes < 100_000
    assert second.image.digest != first.digest
    assert broken_links(target, key) == []


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("deletions", [(401,), (405,), (403,), (404,), (202,), (401, 202), (500,), (501,)])
def test_broken_run_is_taken_up_whatever_it_says_to_delete(
    deletions: tuple[int, ...], pruned: bool, published: Hub, openshift: OpenShiftRegistry, target: str, key: PublicKey
) -> None:
    openshift.rules.deletions = deletions
    published.status(SHARD, 503, times=None)
    with pytest.raises(HubError):
        stream(MODEL, target)
    partial = layers_of(f"{target}.partial")
    if pruned:
        openshift.prune()
    published.faults.clear()

    done = stream(MODEL, target)

    assert 0 < done.read_bytes < 1_500_000
    assert partial
    assert openshift.tags(REPOSITORY)["1.partial"] == done.image.digest
    openshift.prune()
    assert broken_links(target, key) == []
    assert stream(MODEL, target).unchanged


def test_killed_run_is_taken_up_by_another(
    published: Hub, openshift: OpenShiftRegistry, target: str, key: PublicKey, waits: list[float]
) -> None:
    """What was finished stays, although the pruner comes between."""
    published.cut(MODEL, SHARD, after=0, times=None)
    script = f"import sys; {PROGRAMS['stream']}"
    process = subprocess.Popen(
        [sys.executable, "-c", script, MODEL, target], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not layers_of_note(openshift, target):
        pass
    process.kill()
    process.wait()
    openshift.prune()
    published.faults.clear()
    published.requests.clear()

    stream(MODEL, target)

    first = "model-00001-of-00002.safetensors"
    assert not [one for one in published.requests if one.method == "GET" and one.path.endswith(first)]
    assert broken_links(target, key) == []


def layers_of_note(openshift: OpenShiftRegistry, target: str) -> bool:
    if "1.partial" not in openshift.tags(REPOSITORY):
        return False
    with Repository(Reference.parse(f"{target}.partial")) as repository:
        return any(layer.size > 1_000_000 for layer in repository.manifest("1.partial").manifest().layers)


def test_build_that_broke_keeps_its_layers_from_the_pruner(
    published: Hub, openshift: OpenShiftRegistry, target: str, tmp_path: Path
) -> None:
    """A build of hours outlasts the hour after which what no tag reaches may go; buildah's layers are noted, too."""
    directory = download(MODEL, tmp_path / "claim").directory
    openshift.status(403, method="PUT", path=f"/{REPOSITORY}/manifests/sha256:", skip=1, times=None)
    with pytest.raises(ModelcarError):
        build(directory, target, builder="buildah")
    openshift.prune()
    openshift.clear()

    done = build(directory, target, builder="buildah")

    assert done.sent_bytes < 1_500_000
    assert pulled_whole(target) == done.image.digest


@pytest.mark.parametrize(
    "unseen", [(404, "MANIFEST_UNKNOWN"), (404, "NAME_UNKNOWN"), (403, "DENIED"), (500, "UNKNOWN")]
)
def test_nothing_is_read_by_digest_before_a_tag_leads_to_it(
    unseen: tuple[int, str],
    published: Hub,
    openshift: OpenShiftRegistry,
    target: str,
    plain_registry: Registry,
    key: PublicKey,
) -> None:
    """However the registry would say so, it is never asked."""
    openshift.rules.unseen = unseen
    stream(MODEL, target)
    source = stream(MODEL, f"{plain_registry.host}/openshift/unseen-{unseen[0]}-{unseen[1].lower()}:1").image
    copy = f"{openshift.host}/team/copy:1"
    mirror(str(source), copy)

    by_digest = [one for one in openshift.requests if one.method == "GET" and "/manifests/sha256:" in one.path]

    assert by_digest == []
    assert broken_links(copy, key) == []


@pytest.mark.parametrize("unknown", [(404, "NAME_UNKNOWN"), (404, "MANIFEST_UNKNOWN"), (404, "")])
@pytest.mark.parametrize("referrers_status", [404, 405, 400, 501])
def test_first_look_ups_may_be_answered_in_any_of_the_known_ways(
    unknown: tuple[int, str], referrers_status: int, published: Hub, openshift: OpenShiftRegistry, target: str
) -> None:
    openshift.rules.unknown_name, openshift.rules.referrers = unknown, referrers_status

    image = stream(MODEL, target).image

    assert len(attached(image)) == 2


def test_others_entries_get_a_platform_too(
    published: Hub, openshift: OpenShiftRegistry, target: str, plain_registry: Registry
) -> None:
    """What an earlier release listed without a platform, in a registry that asks for none, is listed anew."""
    image = stream(MODEL, f"{plain_registry.host}/openshift/old:1").image
    with Repository(image, push=True) as repository:
        old = repository.manifest(referrers.tag(image.digest)).index()
        for entry in old.manifests:
            entry.platform = None
        repository.put_manifest(Stored(old.encoded(), spec.INDEX), referrers.tag(image.digest))

    mirror(str(image), target)

    assert openshift.refused == []
    assert attached(image.at(image.digest)) == attached(Reference.parse(target).at(image.digest))


@pytest.mark.parametrize("refusal", [(500, "UNKNOWN"), (400, "MANIFEST_INVALID"), (422, "MANIFEST_INVALID")])
def test_image_index_without_platforms_is_refused_with_the_remedy(
    refusal: tuple[int, str], published: Hub, openshift: OpenShiftRegistry, target: str, plain_registry: Registry
) -> None:
    """Another's index cannot be mended without changing its digest."""
    openshift.rules.no_platform = refusal
    image = stream(MODEL, f"{plain_registry.host}/openshift/bare:1").image
    with Repository(image, push=True) as repository:
        bare = repository.manifest(image.digest).index()
        for entry in bare.manifests:
            entry.platform = None
        stored = Stored(bare.encoded(), spec.INDEX)
        repository.put_manifest(stored, "bare")
        digest = bare.manifests[0].digest

    with pytest.raises(RegistryError, match=rf"no platform.*mirror one.*{digest[:19]}"):
        mirror(str(image.at(stored.digest)), target)

    assert digest_at(target) == ""
