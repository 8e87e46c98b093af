"""Plans made of the Hub's metadata alone, held against what the steps then really do."""

import os
import shutil
from pathlib import Path

import pytest

from modelcar import pod
from modelcar.claim.downloads import partial_path
from modelcar.errors import BuildError, HubError, RegistryError, SelectionError, UnsafeNameError
from modelcar.image.annotations import RECIPE
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import build, download, plan

MODEL = "example/tiny-llama"


@pytest.fixture
def published(hub: Hub, model: Path) -> Hub:
    hub.publish(MODEL, model)
    return hub


def test_plan_is_what_download_and_build_do(published: Hub, plain_registry: Registry, tmp_path: Path) -> None:
    target = f"{plain_registry.host}/planned/image:1"
    planned = plan(MODEL, target, max_layer_size=2_000_000)

    done = download(MODEL, tmp_path / "claim")
    built = build(done.directory, target, builder="direct", max_layer_size=2_000_000)

    assert planned.problems == ()
    assert planned.snapshot == done.snapshot
    assert planned.fetch_bytes == done.fetched_bytes
    assert planned.choice.saved == done.left_out_bytes > 5_000_000
    assert len(planned.layers) == built.layer_count
    assert planned.image_bytes >= built.sent_bytes > 0
    with Repository(built.image) as repository:
        said = repository.manifest(built.image.digest).annotations()
    assert planned.annotations.items() <= said.items()
    assert planned.recipe == said[RECIPE]


def test_of_files_only_what_describes_the_model_is_read(published: Hub) -> None:
    plan(MODEL)

    read = {request.path.rpartition("/")[2] for request in published.requests if "/resolve/" in request.path}
    assert read == {"config.json", "params.json", "model.safetensors.index.json"}


def test_duplicates_are_left_out_with_their_reason(published: Hub) -> None:
    left = {one.file.path: one.reason for one in plan(MODEL).choice.left_out}

    assert left["consolidated.safetensors"] == "the same weights as the other safetensors beside it"


def test_file_over_the_limit_is_a_problem_with_its_remedy(published: Hub) -> None:
    planned = plan(MODEL, "registry.example/a/b:1", max_layer_size=1_000_000)

    (problem,) = planned.problems
    assert isinstance(problem, BuildError)
    assert "model-00001-of-00004.safetensors makes a layer of 1.5 MB" in problem.what
    assert "max_shard_size" in problem.remedy
    assert [layer.size > 1_000_000 for layer in planned.layers].count(True) == 4
    assert planned.recipe == ""


def test_all_problems_are_told_at_once(published: Hub, closed_port: int, waits: list[float]) -> None:
    planned = plan(MODEL, "not a reference", base_image=f"127.0.0.1:{closed_port}/base:1", max_layer_size=1_000_000)

    assert [type(problem) for problem in planned.problems] == [
        BuildError,
        planned.problems[1].__class__,
        UnsafeNameError,
    ]
    assert isinstance(planned.problems[1], RegistryError)
    assert (planned.base, planned.target) == (None, None)


def test_claim_needs_the_download_and_buildahs_largest_layer(published: Hub) -> None:
    planned = plan(MODEL)

    assert planned.fetch_bytes == planned.snapshot.size
    assert planned.scratch_bytes == max(layer.size for layer in planned.layers)
    assert planned.claim_bytes == planned.fetch_bytes + planned.scratch_bytes
    assert plan(MODEL, layer_copies=0).scratch_bytes == 0
    assert plan(MODEL, layer_copies=2).scratch_bytes == 2 * plan(MODEL).scratch_bytes > 0
    assert plan(MODEL, with_claim=False).claim_bytes == 0


def test_what_an_earlier_download_left_is_not_needed_again(published: Hub, tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    assert plan(MODEL, claim=claim).fetch_bytes == plan(MODEL).snapshot.size
    done = download(MODEL, claim)
    assert plan(MODEL, claim=claim).fetch_bytes == 0

    shard = done.directory / "model-00002-of-00004.safetensors"
    (file,) = [file for file in done.snapshot.files if file.path == shard.name]
    partial = done.directory / partial_path(file)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(shard.read_bytes()[:400_000])
    shard.unlink()
    assert plan(MODEL, claim=claim).fetch_bytes == file.size - 400_000


def test_files_that_another_commit_left_are_not_needed_again(published: Hub, model: Path, tmp_path: Path) -> None:
    download(MODEL, tmp_path / "claim")
    newer = tmp_path / "newer"
    shutil.copytree(model, newer)
    (newer / "notes.txt").write_text("new")
    published.publish(MODEL, newer)

    assert plan(MODEL, claim=tmp_path / "claim").fetch_bytes == len("new")


def test_claim_is_only_read(published: Hub, tmp_path: Path) -> None:
    plan(MODEL, claim=tmp_path / "claim")

    assert not (tmp_path / "claim").exists()


def test_target_is_the_project_in_a_pod_and_unknown_elsewhere(published: Hub) -> None:
    assert plan(MODEL).target is None
    os.makedirs(pod.SERVICE_ACCOUNT)
    (pod.SERVICE_ACCOUNT / "namespace").write_text("team")

    planned = plan(MODEL)

    commit = planned.snapshot.commit[:12]
    assert planned.target == Reference("image-registry.openshift-image-registry.svc:5000", "team/tiny-llama", commit)


def test_what_the_hub_refuses_is_its_own_error(published: Hub) -> None:
    with pytest.raises(HubError, match="has no revision 'gone'"):
        plan(MODEL, revision="gone")
    with pytest.raises(SelectionError, match="matches no file"):
        plan(MODEL, include=["*.gguf"])
