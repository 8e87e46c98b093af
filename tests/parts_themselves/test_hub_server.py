"""The tests' own Hub and models, judged by the client that everyone uses."""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from tests.parts.hub import Hub
from tests.parts.models import INDEX, ODD_NAMES, sparse_model, tiny_llama, variants
from tests.parts.weights import read_header
from tests.parts.wire import Wire

REPO = "org/tiny"
SHARD = "model-00002-of-00004.safetensors"
DATE = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)

Download = Callable[..., Path]


@pytest.fixture(autouse=True)
def plain_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the client to HTTP, and from telling anyone."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """Give an empty Hub."""
    with Hub(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Give a small model."""
    return tiny_llama(tmp_path / "model", bytes_per_shard=60_000)


@pytest.fixture
def api(hub: Hub) -> HfApi:
    """Give the client without a token."""
    return HfApi(endpoint=hub.url, token=False)


@pytest.fixture
def download(hub: Hub, tmp_path: Path) -> Download:
    """Give the client's download of a whole repository into a fresh folder."""
    target, cache = tmp_path / "download", tmp_path / "cache"

    def run(repo_id: str = REPO, **options: Any) -> Path:
        chosen: dict[str, Any] = {
            "token": False,
            "endpoint": hub.url,
            "local_dir": target,
            "cache_dir": cache,
            **options,
        }
        return Path(snapshot_download(repo_id, **chosen))

    return run


def contents(folder: Path) -> dict[str, bytes]:
    """Read a folder, but for what the client keeps there for itself."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(".cache/")}


def git_blob_id(content: bytes) -> str:
    """Name a content as git does."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def test_model_info(hub: Hub, api: HfApi, model: Path) -> None:
    commit = hub.publish(REPO, model, date=DATE)
    info = api.model_info(REPO, files_metadata=True)
    assert (info.id, info.sha, info.last_modified, info.created_at) == (REPO, commit, DATE, DATE)
    assert (info.private, info.gated, info.author) == (False, False, "org")
    assert info.card_data is not None
    assert info.card_data.license == "apache-2.0"
    assert info.config == {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    assert {"license:apache-2.0", "base_model:example/tiny-llama-base", "safetensors"} <= set(info.tags or [])


def test_model_info_has_sizes_and_digests(hub: Hub, api: HfApi, model: Path) -> None:
    hub.publish(REPO, model)
    siblings = {one.rfilename: one for one in api.model_info(REPO, files_metadata=True).siblings or []}
    source = contents(model)
    assert {name: one.size for name, one in siblings.items()} == {name: len(data) for name, data in source.items()}
    shard = siblings[SHARD].lfs
    assert shard is not None
    assert shard.sha256 == hashlib.sha256(source[SHARD]).hexdigest()
    assert siblings["config.json"].lfs is None
    assert siblings["config.json"].blob_id == git_blob_id(source["config.json"])


def test_model_info_without_metadata_has_names_alone(hub: Hub, api: HfApi, model: Path) -> None:
    hub.publish(REPO, model)
    assert {one.size for one in api.model_info(REPO).siblings or []} == {None}
    expanded = api.model_info(REPO, expand=["sha", "gated"])
    assert (expanded.sha is not None, expanded.gated, expanded.siblings) == (True, False, None)


def test_quantization_and_card(hub: Hub, api: HfApi) -> None:
    quantization = {"quant_method": "awq", "bits": 4}
    files = {"config.json": json.dumps({"model_type": "llama", "quantization_config": quantization})}
    hub.publish("gpt2", files, card={"license": "mit", "base_model": ["a/b"], "base_model_relation": "quantized"})
    info = api.model_info("gpt2")
    assert (info.config or {})["quantization_config"] == quantization
    assert {"license:mit", "base_model:a/b", "base_model:quantized:a/b"} <= set(info.tags or [])


def test_download_equals_source(hub: Hub, model: Path, download: Download) -> None:
    hub.publish(REPO, model)
    assert contents(download()) == contents(model)


def test_checksums_verify(hub: Hub, api: HfApi, model: Path, download: Download) -> None:
    hub.publish(REPO, model)
    checked = api.verify_repo_checksums(REPO, local_dir=download())
    assert (checked.mismatches, checked.missing_paths, checked.extra_paths) == ([], [], [])
    assert checked.checked_count == len(contents(model))


@pytest.mark.parametrize("path", [SHARD, "config.json"])
def test_corrupted_download(hub: Hub, api: HfApi, model: Path, download: Download, path: str) -> None:
    hub.publish(REPO, model)
    hub.corrupt(REPO, path)
    checked = api.verify_repo_checksums(REPO, local_dir=download())
    assert [one["path"] for one in checked.mismatches] == [path]
    repaired = api.verify_repo_checksums(REPO, local_dir=download(force_download=True))
    assert repaired.mismatches == []


def test_cut_download_is_resumed(hub: Hub, model: Path, download: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    # The client forgets what did not fill one of its pieces.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    hub.publish(REPO, model)
    hub.cut(REPO, SHARD, after=20_000)
    assert contents(download()) == contents(model)
    bodies = [one for one in hub.requests if "/cdn/" in one.path and one.path.endswith(SHARD)]
    assert [(one.status, one.range) for one in bodies] == [(200, None), (206, "bytes=20000-")]
    assert sum(one.bytes for one in bodies) == (model / SHARD).stat().st_size


def test_every_byte_is_served_once(hub: Hub, model: Path, download: Download) -> None:
    hub.publish(REPO, model)
    download()
    assert hub.bytes_served == sum(len(data) for data in contents(model).values())


@pytest.mark.parametrize("path", [SHARD, "config.json"])
@pytest.mark.parametrize(("asked", "start", "stop"), [("10-19", 10, 20), ("100-", 100, None), ("-7", -7, None)])
def test_ranges(hub: Hub, model: Path, path: str, asked: str, start: int, stop: int | None) -> None:
    hub.publish(REPO, model)
    headers = {"Range": f"bytes={asked}"}
    response = requests.get(f"{hub.url}/{REPO}/resolve/main/{path}", headers=headers, timeout=600)
    source = (model / path).read_bytes()
    first, last, _ = slice(start, stop).indices(len(source))
    assert (response.status_code, response.content) == (206, source[first:last])
    assert response.headers["Content-Range"] == f"bytes {first}-{last - 1}/{len(source)}"


def test_range_beyond_the_end(hub: Hub) -> None:
    hub.publish(REPO, {"a.txt": "abc"})
    response = requests.get(f"{hub.url}/{REPO}/resolve/main/a.txt", headers={"Range": "bytes=3-"}, timeout=600)
    assert (response.status_code, response.headers["Content-Range"]) == (416, "bytes */3")


def test_head_of_a_large_file_tells_of_it_before_the_redirect(hub: Hub, model: Path) -> None:
    commit = hub.publish(REPO, model)
    response = requests.head(f"{hub.url}/{REPO}/resolve/main/{SHARD}", timeout=600)
    source = (model / SHARD).read_bytes()
    assert (response.status_code, response.headers["X-Repo-Commit"]) == (302, commit)
    assert int(response.headers["X-Linked-Size"]) == len(source)
    assert response.headers["X-Linked-ETag"] == f'"{hashlib.sha256(source).hexdigest()}"'


def test_empty_file(hub: Hub, download: Download) -> None:
    hub.publish(REPO, {"__init__.py": "", "empty.bin": b""})
    assert contents(download()) == {"__init__.py": b"", "empty.bin": b""}


def test_commits_follow_each_other(hub: Hub, api: HfApi, download: Download, tmp_path: Path) -> None:
    first = hub.publish(REPO, {"a.txt": "one", "b.txt": "same"}, message="First\n\nMore of it.", date=DATE)
    second = hub.publish(REPO, {"a.txt": "two", "b.txt": "same"}, message="Second")
    listed = api.list_repo_commits(REPO)
    assert [(one.commit_id, one.title, one.message) for one in listed] == [
        (second, "Second", ""),
        (first, "First", "More of it."),
    ]
    assert listed[1].created_at == DATE
    assert contents(download(revision=first))["a.txt"] == b"one"
    assert contents(download(local_dir=tmp_path / "newer"))["a.txt"] == b"two"


def test_contents_are_kept_once(hub: Hub, model: Path) -> None:
    hub.publish(REPO, model)
    kept = set((hub.store.root / "blobs").iterdir())
    hub.publish("org/other", model)
    assert set((hub.store.root / "blobs").iterdir()) == kept


def test_tags_and_branches(hub: Hub, api: HfApi) -> None:
    first = hub.publish(REPO, {"a.txt": "one"})
    second = hub.publish(REPO, {"a.txt": "two"}, branch="try/this")
    hub.tag(REPO, "v1.0", first)
    refs = api.list_repo_refs(REPO)
    assert {one.name: one.target_commit for one in refs.branches} == {"main": first, "try/this": second}
    assert [(one.name, one.ref, one.target_commit) for one in refs.tags] == [("v1.0", "refs/tags/v1.0", first)]
    assert api.model_info(REPO, revision="try/this").sha == second
    assert api.model_info(REPO, revision="v1.0").sha == first
    assert len(api.list_repo_commits(REPO, revision="try/this")) == 2


def test_tree_and_paths_info(hub: Hub, api: HfApi) -> None:
    first = hub.publish(REPO, {"a.txt": "a", "on nx/x.onnx": "x", "on nx/deep/y.bin": "y"})
    hub.publish(REPO, {"a.txt": "b", "on nx/x.onnx": "x", "on nx/deep/y.bin": "y"})
    assert [one.path for one in api.list_repo_tree(REPO)] == ["a.txt", "on nx"]
    assert [one.path for one in api.list_repo_tree(REPO, "on nx")] == ["on nx/deep", "on nx/x.onnx"]
    found = list(api.list_repo_tree(REPO, recursive=True, expand=True))
    assert [one.path for one in found if isinstance(one, RepoFile)] == ["a.txt", "on nx/deep/y.bin", "on nx/x.onnx"]
    last = next(one.last_commit for one in found if one.path == "on nx/x.onnx")
    assert last is not None
    assert last.oid == first
    assert [one.path for one in api.get_paths_info(REPO, ["on nx", "a.txt", "none"])] == ["on nx", "a.txt"]


def test_long_listings_come_in_pages(tmp_path: Path) -> None:
    names = {f"{number:03}.txt" for number in range(23)}
    with Hub(tmp_path / "hub", page_size=10) as hub:
        for _ in range(52):
            hub.publish(REPO, dict.fromkeys(names, "x"))
        api = HfApi(endpoint=hub.url, token=False)
        assert {one.path for one in api.list_repo_tree(REPO)} == names
        assert len(api.list_repo_commits(REPO)) == 52


def test_odd_names(hub: Hub, api: HfApi, tmp_path: Path, download: Download) -> None:
    source = tmp_path / "odd"
    source.mkdir()
    variants(source, "odd")
    (source / "wéights #2 100%.safetensors").write_bytes(b"w" * 99)
    hub.publish(REPO, source)
    assert contents(download()) == contents(source)
    assert set(ODD_NAMES) < set(api.list_repo_files(REPO))


def test_unknown_repository(hub: Hub, api: HfApi) -> None:
    hub.tokens["hf_known"] = set()
    with pytest.raises(RepositoryNotFoundError, match="401"):
        api.model_info("org/none")
    with pytest.raises(RepositoryNotFoundError, match="404"):
        api.model_info("org/none", token="hf_known")


def test_unknown_revision_and_file(hub: Hub, api: HfApi, download: Download) -> None:
    hub.publish(REPO, {"a.txt": "one"})
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="none")
    with pytest.raises(RevisionNotFoundError):
        download(revision="f" * 40)
    with pytest.raises(RemoteEntryNotFoundError):
        api.hf_hub_download(REPO, "b.txt", local_dir=hub.store.root.parent / "one")
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(REPO, "none"))


def test_gated_repository(hub: Hub, api: HfApi, model: Path, download: Download) -> None:
    hub.tokens |= {"hf_granted": {REPO}, "hf_stranger": set()}
    hub.publish(REPO, model, gated=True)
    assert api.model_info(REPO).gated == "manual"
    with pytest.raises(GatedRepoError, match="401"):
        download()
    with pytest.raises(GatedRepoError, match="403"):
        download(token="hf_stranger")
    assert contents(download(token="hf_granted")) == contents(model)


def test_gating_outlasts_the_next_commit(hub: Hub, api: HfApi) -> None:
    hub.publish(REPO, {"a.txt": "one"}, gated="auto")
    hub.publish(REPO, {"a.txt": "two"})
    assert api.model_info(REPO).gated == "auto"


def test_private_repository(hub: Hub, api: HfApi) -> None:
    hub.tokens |= {"hf_granted": {REPO}, "hf_stranger": set()}
    hub.publish(REPO, {"a.txt": "one"}, private=True)
    for token in (False, "hf_stranger"):
        with pytest.raises(RepositoryNotFoundError):
            api.model_info(REPO, token=token)
    assert api.model_info(REPO, token="hf_granted").private


def test_invalid_token(hub: Hub, api: HfApi) -> None:
    hub.publish(REPO, {"a.txt": "one"})
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as caught:
        api.model_info(REPO, token="hf_wrong")
    assert type(caught.value) is HfHubHTTPError
    hub.tokens["hf_known"] = set()
    assert api.whoami(token="hf_known")["type"] == "user"


def test_token_stays_with_the_hub(hub: Hub, model: Path, download: Download) -> None:
    hub.tokens["hf_granted"] = {REPO}
    hub.publish(REPO, model, gated=True)
    download(token="hf_granted")
    assert {one.authorized for one in hub.requests if one.path.startswith("/cdn/")} == {False}
    assert {one.authorized for one in hub.requests if not one.path.startswith("/cdn/")} == {True}


def test_status_and_delay(hub: Hub, api: HfApi) -> None:
    hub.publish(REPO, {"a.txt": "one"})
    hub.status("/api/models/org", 503)
    with pytest.raises(HfHubHTTPError, match="503"):
        api.model_info(REPO)
    hub.delay(0.3)
    with pytest.raises(requests.Timeout):
        requests.get(f"{hub.url}/api/models/{REPO}", timeout=0.1)
    hub.delay(0)
    assert api.model_info(REPO).id == REPO


def test_own_process_follows_what_others_publish(tmp_path: Path) -> None:
    publisher = Hub(tmp_path / "hub")
    publisher.publish(REPO, {"a.txt": "one"})
    command = [sys.executable, "-m", "tests.parts.hub", "--root", str(tmp_path / "hub"), "--token", f"hf_x={REPO}"]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        api = HfApi(endpoint=process.stdout.readline().strip(), token="hf_x")
        assert api.model_info(REPO).sha == publisher.store.load(REPO).branches["main"]  # type: ignore[union-attr]
        newer = publisher.publish(REPO, {"a.txt": "two"})
        assert api.model_info(REPO).sha == newer
        process.stdin.close()
        assert process.wait(600) == 0


@pytest.mark.parametrize("make", [tiny_llama, sparse_model])
def test_shards_are_safetensors(tmp_path: Path, make: Callable[..., Path]) -> None:
    folder = make(tmp_path / "model", shards=3, bytes_per_shard=1_000_000)
    weight_map: dict[str, str] = {}
    shards = sorted(folder.glob("model-*.safetensors"))
    for shard in shards:
        data, header = read_header(shard)
        spans = [one["data_offsets"] for name, one in header.items() if name != "__metadata__"]
        assert [span[0] for span in spans] == [0, *(span[1] for span in spans[:-1])]
        assert data % 8 == 0
        assert data + spans[-1][1] == shard.stat().st_size
        weight_map |= {name: shard.name for name in header if name != "__metadata__"}
    index = json.loads((folder / INDEX).read_text())
    assert index["weight_map"] == weight_map
    sizes = [shard.stat().st_size for shard in shards]
    assert max(sizes) / min(sizes) < 1.05
    assert sum(sizes) == pytest.approx(3_000_000, rel=0.05)


def test_client_reads_the_safetensors(hub: Hub, api: HfApi, model: Path) -> None:
    hub.publish(REPO, model)
    metadata = api.get_safetensors_metadata(REPO)
    assert metadata.weight_map == json.loads((model / INDEX).read_text())["weight_map"]
    assert metadata.metadata is not None
    assert metadata.parameter_count["BF16"] * 2 == metadata.metadata["total_size"]


def test_consolidated_holds_the_same_weights(model: Path) -> None:
    shards = b"".join(path.read_bytes()[read_header(path)[0] :] for path in sorted(model.glob("model-*.safetensors")))
    twin = model / "consolidated.safetensors"
    data, header = read_header(twin)
    assert twin.read_bytes()[data:] == shards
    assert {"tok_embeddings.weight", "layers.0.attention.wq.weight", "norm.weight", "output.weight"} < set(header)


def test_models_follow_from_their_seed(tmp_path: Path) -> None:
    one, same, other = (
        tiny_llama(tmp_path / name, bytes_per_shard=60_000, seed=seed)
        for name, seed in {"one": 1, "same": 1, "other": 2}.items()
    )
    for folder in (one, same):
        variants(folder)
    assert contents(one) == contents(same)
    assert (one / SHARD).read_bytes() != (other / SHARD).read_bytes()


def test_sparse_model_takes_no_room(tmp_path: Path) -> None:
    folder = sparse_model(tmp_path / "model", shards=2, bytes_per_shard=4_000_000_000)
    stats = [path.stat() for path in folder.glob("*.safetensors")]
    assert sum(stat.st_size for stat in stats) == pytest.approx(8e9, rel=0.05)
    assert sum(stat.st_blocks * 512 for stat in stats) < 1_000_000


def test_contents_come_no_faster_than_the_wire(tmp_path: Path) -> None:
    with Hub(tmp_path / "hub", wire=Wire(4 << 20)) as hub:
        hub.publish("example/tiny", {"model.safetensors": bytes(3 << 20)})
        begun = time.monotonic()
        received = requests.get(f"{hub.url}/example/tiny/resolve/main/model.safetensors", timeout=600).content
        assert received == bytes(3 << 20)
        assert time.monotonic() - begun > 0.7
