"""Tags that hold something already: what may be replaced, and what two runs make of one target at once."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from modelcar.errors import ModelcarError, TagError
from modelcar.image import send
from modelcar.image.request import ImageRequest
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored
from modelcar.steps.build import BuildRequest
from modelcar.steps.mirror import mirror
from modelcar.steps.preflight.preflight import preflight
from modelcar.steps.preflight.request import RunRequest
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import PROGRAMS, build, download, stream
from tests.soak.images import digest_at, pulled_whole

MODEL, OTHER = "example/tagged", "example/another"
WAYS = ("build", "stream", "mirror")

Way = Callable[..., Reference]


@pytest.fixture
def published(hub: Hub) -> Hub:
    for model in (MODEL, OTHER):
        hub.publish(model, {"config.json": "{}", "model.gguf": model.encode() * 70_000})
    return hub


@pytest.fixture
def ways(published: Hub, plain_registry: Registry, tmp_path: Path) -> dict[str, Way]:
    """Give a function for each way to write a tag: (model, target, options)."""

    def by_build(model: str, target: str, **options: str) -> Reference:
        return build(download(model, tmp_path / "claim").directory, target, builder="direct", **options).image

    def by_stream(model: str, target: str, **options: str) -> Reference:
        return stream(model, target, **options).image

    def by_mirror(model: str, target: str, **options: str) -> Reference:
        name = target.replace("/", "-").replace(":", "-")
        source = stream(model, f"{plain_registry.host}/if-exists/source-{name}:{model[-3:]}").image
        return mirror(str(source), target, **options).image

    return {"build": by_build, "stream": by_stream, "mirror": by_mirror}


def anew(hub: Hub, model: str = MODEL) -> None:
    """Publish another commit of a model."""
    hub.publish(model, {"config.json": '{"a": 1}', "model.gguf": model.encode() * 70_000})


def foreign(registry: Registry, name: str) -> str:
    """Put something under a tag that is no image of a model, such as a Helm chart; gives its digest."""
    with Repository(Reference.parse_target(f"{registry.host}/{name}:1"), push=True) as repository:
        repository.put_small_blob(b"{}")
        config = {"mediaType": "application/vnd.cncf.helm.config.v1+json", "size": 2}
        config["digest"] = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        media_type = "application/vnd.oci.image.manifest.v1+json"
        document = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": []}
        stored = Stored(json.dumps(document).encode(), media_type)
        repository.put_manifest(stored, "1")
    return stored.digest


@pytest.mark.parametrize("way", WAYS)
def test_another_commit_of_the_model_moves_the_tag(
    way: str, ways: dict[str, Way], published: Hub, plain_registry: Registry
) -> None:
    target = f"{plain_registry.host}/if-exists/commit-{way}:1"
    first = ways[way](MODEL, target)
    anew(published)

    second = ways[way](MODEL, target)

    assert first.digest != second.digest == digest_at(target)


@pytest.mark.parametrize("way", WAYS)
def test_another_model_is_refused_and_can_be_replaced(way: str, ways: dict[str, Way], plain_registry: Registry) -> None:
    target = f"{plain_registry.host}/if-exists/model-{way}:1"
    first = ways[way](OTHER, target)

    with pytest.raises(TagError, match=f"holds {OTHER} at commit .*if_exists=replace") as raised:
        ways[way](MODEL, target)

    assert "\n" not in str(raised.value)
    assert digest_at(target) == first.digest
    assert ways[way](MODEL, target, if_exists="replace").digest == digest_at(target) != first.digest


@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_model_is_refused(way: str, ways: dict[str, Way], plain_registry: Registry) -> None:
    name = f"if-exists/foreign-{way}"
    held = foreign(plain_registry, name)

    with pytest.raises(TagError, match="none of this project's"):
        ways[way](MODEL, f"{plain_registry.host}/{name}:1")

    assert digest_at(f"{plain_registry.host}/{name}:1") == held


@pytest.mark.parametrize("way", WAYS)
def test_refuse_takes_the_same_image_only(
    way: str, ways: dict[str, Way], published: Hub, plain_registry: Registry
) -> None:
    target = f"{plain_registry.host}/if-exists/refuse-{way}:1"
    first = ways[way](MODEL, target, if_exists="refuse")
    assert ways[way](MODEL, target, if_exists="refuse").digest == first.digest
    anew(published)

    with pytest.raises(TagError, match=r"if_exists=refuse does not let it be replaced.*if_exists=update"):
        ways[way](MODEL, target, if_exists="refuse")

    assert digest_at(target) == first.digest


@pytest.mark.parametrize("way", WAYS)
def test_word_that_means_nothing_is_named(way: str, ways: dict[str, Way], plain_registry: Registry) -> None:
    with pytest.raises(TagError, match=r"there is no if_exists 'overwrite'\. Choose one of update, replace, refuse"):
        ways[way](MODEL, f"{plain_registry.host}/if-exists/word-{way}:1", if_exists="overwrite")


def test_one_of_two_targets_may_not_move_so_none_does(published: Hub, plain_registry: Registry) -> None:
    target, copy = (f"{plain_registry.host}/if-exists/{name}:1" for name in ("both", "both-mirror"))
    held = foreign(plain_registry, "if-exists/both-mirror")

    with pytest.raises(TagError, match="both-mirror:1 holds"):
        stream(MODEL, target, mirror=copy)

    assert digest_at(target) == ""
    assert digest_at(copy) == held


@pytest.mark.parametrize("way", WAYS)
def test_what_came_under_the_tag_meanwhile_is_seen(
    way: str, ways: dict[str, Way], plain_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tag is free when the run begins, and taken when it ends."""
    name = f"if-exists/meanwhile-{way}"
    held: list[str] = []

    def taken(where: object, function: str) -> None:
        real = getattr(where, function)

        def then_taken(*arguments: object, **options: object) -> object:
            done = real(*arguments, **options)
            if not held and name in str(arguments):
                held.append(foreign(plain_registry, name))
            return done

        monkeypatch.setattr(where, function, then_taken)

    if way == "mirror":
        taken(sys.modules["modelcar.steps.mirror"], "copy_blob")
    else:
        taken(send, "send_layer")
    monkeypatch.setattr(Repository, "__repr__", lambda self: str(self.reference))

    with pytest.raises(TagError, match="none of this project's"):
        ways[way](MODEL, f"{plain_registry.host}/{name}:1")

    assert {digest_at(f"{plain_registry.host}/{name}:1")} == set(held)


def test_preflight_tells_of_both_tags_before_any_byte(
    ways: dict[str, Way], published: Hub, plain_registry: Registry
) -> None:
    target, copy = (f"{plain_registry.host}/if-exists/{name}:1" for name in ("planned", "planned-mirror"))
    for place in (target, copy):
        ways["stream"](OTHER, place)
    run = RunRequest(model=MODEL, target=target, mirror_target=copy, streaming=True)
    refused = [finding.what for finding in preflight(run).refusals]
    assert len(refused) == 2
    assert all(f"{place} holds {OTHER}" in what for place, what in zip((target, copy), refused, strict=True))

    run = RunRequest(model=MODEL, target=target, mirror_target=copy, streaming=True, if_exists="replace")
    found = preflight(run)
    assert found.refusals == []
    assert sum("which this run replaces" in finding.what for finding in found.findings) == 2

    bad = preflight(RunRequest(model=MODEL, target=target, streaming=True, if_exists="x")).refusals
    assert [finding.what for finding in bad] == ["there is no if_exists 'x'"]


def test_job_is_told() -> None:
    request = BuildRequest(directory=Path("/x"), image=ImageRequest(if_exists="replace"))
    assert BuildRequest.model_validate_json(request.model_dump_json()) == request


WORDS = """\
import sys; from pathlib import Path; from modelcar.records.termination_message import exit_with_one_line
with exit_with_one_line(): """


@pytest.mark.parametrize("way", WAYS)
def test_two_runs_to_one_target_end_with_one_of_the_two_images_whole(
    way: str, hub: Hub, plain_registry: Registry, tmp_path: Path
) -> None:
    """Two processes, two commits of a model."""
    host = plain_registry.host
    commits, wanted, arguments = [], [], []
    for number in (1, 2):
        weights = bytes([number]) * 2_000_000
        commits.append(hub.publish(MODEL, {"config.json": f'{{"a": {number}}}', "model.gguf": weights}))
        done = download(MODEL, tmp_path / "claim")
        source = build(done.directory, f"{host}/two/{way}-source:{number}", builder="direct").image
        wanted.append(source.digest)
        arguments.append({"build": [str(done.directory)], "mirror": [str(source)], "stream": [f"{MODEL}"]}[way])
    target, copy = f"{host}/two/{way}:1", f"{host}/two/{way}-copy:1"
    script = WORDS + PROGRAMS[way]
    if way == "stream":
        script = script.replace("Selection(sys.argv[1])", "Selection(sys.argv[1], revision=sys.argv[4])")
        script = script.replace("''.join(sys.argv[3:])", "sys.argv[3]")
    processes = []
    for commit, more in zip(commits, arguments, strict=True):
        words = [sys.executable, "-c", script, *more, target, copy, commit]
        processes.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=600)[1] for process in processes]

    # The one whose tag the other moved at that very moment says so.
    for process, words in zip(processes, said, strict=True):
        assert process.returncode == 0 or words.startswith("error: "), words
        assert "Traceback" not in words
    assert 0 in [process.returncode for process in processes]
    for place in (target, copy) if way == "stream" else (target,):
        assert digest_at(place) in wanted
        assert pulled_whole(place) == digest_at(place)
    tags = requests.get(f"{plain_registry.url}/v2/two/{way}/tags/list", timeout=600).json()["tags"]
    assert {tag for tag in tags if not tag.startswith("sha256-")} <= {"1", "1.partial"}


def test_two_threads_of_the_same_image_are_both_content(published: Hub, plain_registry: Registry) -> None:
    target = f"{plain_registry.host}/two/same:1"
    failed: list[ModelcarError] = []

    def run() -> None:
        try:
            stream(MODEL, target)
        except ModelcarError as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert pulled_whole(target) == digest_at(target)
