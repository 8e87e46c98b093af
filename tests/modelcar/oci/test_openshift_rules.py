"""OpenShift's registry, and others that would have its rules in other words: any codes, in any order."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelcar import pod
from modelcar.attestation.keys import PublicKey
from modelcar.errors import ModelcarError
from modelcar.steps.mirror import mirror
from modelcar.steps.verify.result import State
from modelcar.steps.verify.verify import verify
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.openshift_registry import OpenShiftRegistry, Rules
from tests.parts.registries import Registry, registry_plain
from tests.parts.signing_keys import write_keys
from tests.parts.steps import build, download, stream
from tests.soak.images import pulled_whole

MODEL, SHARD = "example/tiny-llama", "model-00002-of-00002.safetensors"
ABSENT = [(404, "MANIFEST_UNKNOWN"), (404, "NAME_UNKNOWN"), (404, "NOT_FOUND"), (404, "")]
HIDDEN = [*ABSENT, (400, "UNSUPPORTED"), (401, "UNAUTHORIZED"), (403, "DENIED"), (410, ""), (500, "UNKNOWN"), (503, "")]
NO_REFERRERS = (400, 404, 405, 406, 410, 501)
DELETIONS = (202, 204, 400, 401, 403, 404, 405, 409, 500, 501)


def rules(seed: int) -> Rules:
    """Chooses how a registry says what OpenShift's says."""
    dice = random.Random(seed)
    return Rules(
        unseen=dice.choice(HIDDEN),
        no_tag=dice.choice(ABSENT),
        unknown_name=dice.choice(ABSENT),
        no_platform=dice.choice([(500, "UNKNOWN"), (400, "MANIFEST_INVALID"), (422, ""), (404, "NOT_FOUND")]),
        referrers=dice.choice(NO_REFERRERS),
        deletions=tuple(dice.choices(DELETIONS, k=dice.randint(1, 4))),
        lag=dice.choice((0, 0, 1, 2)),
    )


@dataclass
class Project:
    """Steps that a project takes with a model over time, in any order, with its registry's pruner in between."""

    hub: Hub
    openshift: OpenShiftRegistry
    plain: Registry
    folder: Path
    done: list[str] = field(default_factory=list)

    @property
    def target(self) -> str:
        """The image."""
        return f"{self.openshift.host}/team/model:1"

    def stream(self) -> None:
        stream(MODEL, self.target)

    def build(self) -> None:
        build(download(MODEL, self.folder / "claim").directory, self.target, builder="direct")

    def break_off(self) -> None:
        """Begins to bring a new commit, and fails on the way."""
        self.commit()
        self.hub.status(SHARD, 503, times=None)
        with pytest.raises(ModelcarError):
            stream(MODEL, self.target)
        self.hub.faults.clear()

    def commit(self) -> None:
        """Publishes a new version: another word in the README, and another last shard."""
        self.done.append("new")
        seed = len(self.done)
        files = tiny_llama(
            self.folder / f"model-{seed}", shards=2, bytes_per_shard=60_000, consolidated=False, seed=seed
        )
        self.hub.publish(MODEL, files)

    def prune(self) -> None:
        self.openshift.prune()

    def mirror(self) -> None:
        """Brings it by way of another registry."""
        source = stream(MODEL, f"{self.plain.host}/{self.folder.name}/source:1").image
        mirror(str(source), self.target)

    def act(self, dice: random.Random) -> None:
        """Does any of it."""
        ways: list[Callable[[], None]] = [self.stream, self.build, self.break_off, self.commit, self.prune, self.mirror]
        way = dice.choice(ways)
        self.done.append(way.__name__)
        way()


@contextmanager
def project(rules: Rules, hub: Hub, plain: Registry, folder: Path) -> Iterator[Project]:
    with registry_plain(folder / "openshift") as registry, OpenShiftRegistry(registry, rules) as openshift:
        made = Project(hub, openshift, plain, folder)
        made.commit()
        yield made


def test_whatever_it_says_the_image_is_whole_signed_and_taken_for_done(
    soak_seed: int,
    hub: Hub,
    plain_registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    waits: list[float],
) -> None:
    private, public = write_keys(tmp_path)
    monkeypatch.setenv(pod.SIGNING_KEY, str(private))
    dice = random.Random(soak_seed)
    with project(rules(soak_seed), hub, plain_registry, tmp_path) as here:
        for _ in range(dice.randint(1, 5)):
            here.act(dice)

        image = stream(MODEL, here.target).image
        here.prune()
        again = stream(MODEL, here.target)
        broken = [link for link in verify(here.target, key=PublicKey.read(public)).links if link.state is State.BROKEN]

        told = (here.openshift.rules, here.done)
        assert (again.image.digest, again.read_bytes, again.unchanged) == (image.digest, 0, True), told
        assert here.openshift.refused == [], told
        assert broken == [], told
        assert pulled_whole(here.target) == image.digest, told
