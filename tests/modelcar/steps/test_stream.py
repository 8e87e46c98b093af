"""Streaming: Hub bytes become image layers while they arrive, on real registries and through every break."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from modelcar.errors import BuildError, CredentialsError, HubError, UnsafeNameError, WrongBytesError
from modelcar.image.annotations import FILES
from modelcar.oci.reference import Reference
from modelcar.steps.mirror import mirror
from modelcar.steps.stream import Streamed
from tests.parts.fault_proxy import FaultProxy
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama, variants
from tests.parts.registries import BasicAuthRegistry, Registry, TokenAuthRegistry
from tests.parts.steps import PROGRAMS, build, download, stream
from tests.soak.images import digest_at, manifests_of, pulled_whole

MODEL = "example/tiny-llama"
SHARD = "model-00002-of-00004.safetensors"
LogIn = Callable[..., Path]


@pytest.fixture
def published(hub: Hub, model: Path) -> Hub:
    hub.publish(MODEL, model)
    return hub


def tags(registry: Registry, repository: str) -> list[str]:
    """The tags but for those that list what is attached to an image (tests/test_attachments.py)."""
    answer = requests.get(f"{registry.url}/v2/{repository}/tags/list", timeout=600)
    found = list(answer.json().get("tags") or []) if answer.ok else []
    return [tag for tag in found if not tag.startswith("sha256-")]


def uploads(registry: Registry, repository: str) -> int:
    return sum(request.method == "PATCH" and f"/{repository}/" in request.path for request in registry.requests())


def resolved(hub: Hub, path: str) -> int:
    return sum(request.method == "GET" and request.path.endswith(path) for request in hub.requests)


def test_the_image_is_the_one_that_download_and_build_make(
    published: Hub, plain_registry: Registry, tmp_path: Path
) -> None:
    streamed = stream(MODEL, f"{plain_registry.host}/alike/streamed:1")
    done = download(MODEL, tmp_path)
    for builder in ("direct", "buildah"):
        built = build(done.directory, f"{plain_registry.host}/alike/{builder}:1", builder=builder)
        assert built.image.digest == streamed.image.digest
    assert streamed.commit == done.snapshot.commit
    assert tags(plain_registry, "alike/streamed") == ["1"]


def test_files_are_byte_identical_for_skopeo_and_umoci(hub: Hub, plain_registry: Registry, tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "model")
    odd = variants(folder, "odd")
    hub.publish("example/odd", folder)
    image = stream("example/odd", f"{plain_registry.host}/identical/odd:1").image
    layout = f"oci:{tmp_path}/layout:1"
    subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{image}", layout], check=True)
    unpack = ["umoci", "unpack", "--image", f"{tmp_path}/layout:1", tmp_path / "bundle"]
    subprocess.run(unpack, check=True, capture_output=True)
    models = tmp_path / "bundle" / "rootfs" / "models"
    for name in [*odd, SHARD, "config.json"]:
        assert (models / name).read_bytes() == (folder / name).read_bytes()


def test_two_registries_are_fed_in_one_pass(
    published: Hub, basic_registry: BasicAuthRegistry, token_registry: TokenAuthRegistry, log_in: LogIn
) -> None:
    log_in(basic_registry, token_registry)
    target, copy = f"{basic_registry.host}/fan/out:1", f"{token_registry.host}/fan/copy:1"
    done = stream(MODEL, target, mirror=copy)
    assert done.mirrored is not None
    assert done.image.digest == done.mirrored.digest
    paths = [request.path for request in published.requests if request.path.endswith(SHARD)]
    assert [path.split("/")[1] for path in paths] == ["example", "cdn"], "its bytes were sent more than once"
    assert mirror(str(done.image), copy).copied_bytes == 0


def test_a_second_run_moves_nothing_and_asks_little(
    published: Hub, basic_registry: BasicAuthRegistry, token_registry: TokenAuthRegistry, log_in: LogIn
) -> None:
    log_in(basic_registry, token_registry)
    target, copy = f"{basic_registry.host}/again/a:1", f"{token_registry.host}/again/b:1"
    first = stream(MODEL, target, mirror=copy)
    before = [len(published.requests), len(basic_registry.requests()), len(token_registry.requests())]
    issued = token_registry.tokens_issued
    second = stream(MODEL, target, mirror=copy)
    after = [len(published.requests), len(basic_registry.requests()), len(token_registry.requests())]
    asked = sum(after) - sum(before) + token_registry.tokens_issued - issued
    assert second == Streamed(first.image, first.mirrored, first.commit, 0, unchanged=True)
    # The commit and its files, the configuration and the index; then each registry.
    assert asked <= 4 + 2 * 4


def test_a_new_commit_sends_only_what_changed(hub: Hub, model: Path, plain_registry: Registry) -> None:
    files = {path.name: path for path in model.iterdir()}
    hub.publish(MODEL, files)
    target = f"{plain_registry.host}/commits/model:1"
    stream(MODEL, target)
    hub.publish(MODEL, {**files, "README.md": b"---\nlicense: mit\n---\nanew\n"})
    hub.requests.clear()
    done = stream(MODEL, target)
    assert not done.unchanged
    assert 0 < done.read_bytes < 100_000
    assert resolved(hub, SHARD) == 0


def test_layers_say_what_is_in_them(published: Hub, plain_registry: Registry) -> None:
    done = stream(MODEL, f"{plain_registry.host}/says/model:1")
    base = f"{plain_registry.url}/v2/says/model/manifests"
    accept = {"Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"}
    index = requests.get(f"{base}/{done.image.digest}", headers=accept, timeout=600).json()
    manifest = requests.get(f"{base}/{index['manifests'][0]['digest']}", headers=accept, timeout=600).json()
    assert [FILES in layer.get("annotations", {}) for layer in manifest["layers"]] == [False] + [True] * 5


@pytest.mark.parametrize("times", [1, None])
def test_wrong_bytes_from_the_hub_reach_no_image(times: int | None, published: Hub, plain_registry: Registry) -> None:
    published.corrupt(MODEL, SHARD, times=times)
    name = f"wrong/{times or 'always'}"
    with pytest.raises(WrongBytesError, match=SHARD):
        stream(MODEL, f"{plain_registry.host}/{name}:1")
    assert "1" not in tags(plain_registry, name)
    published.faults.clear()
    stream(MODEL, f"{plain_registry.host}/{name}:1")


@pytest.mark.parametrize("after", [0, 1, 700_000, 1_499_999])
def test_a_cut_connection_to_the_hub_is_taken_up(after: int, published: Hub, plain_registry: Registry) -> None:
    published.cut(MODEL, SHARD, after=after, times=2)
    done = stream(MODEL, f"{plain_registry.host}/cut/at-{after}:1")
    assert done.read_bytes > 6_000_000
    ranges = [request.range for request in published.requests if request.range]
    assert ranges or after == 0


@pytest.mark.parametrize(
    "options",
    [{}, {"model_layout": "versioned"}, {"reshard": True, "max_layer_size": 1_000_000}],
    ids=["flat", "versioned", "cut"],
)
def test_a_hub_that_stays_away_ends_it_and_the_next_run_goes_on(
    options: dict[str, Any], published: Hub, plain_registry: Registry, waits: list[float]
) -> None:
    published.status(SHARD, 503, times=None)
    name = f"away/{''.join(options) or 'flat'}"
    target = f"{plain_registry.host}/{name}:1"
    with pytest.raises(HubError, match="answered 503"):
        stream(MODEL, target, **options)
    assert tags(plain_registry, name) in ([], ["1.partial"])
    published.faults.clear()
    published.requests.clear()
    done = stream(MODEL, target, **options)
    assert tags(plain_registry, name) == ["1"]
    # The same as in one go.
    assert done.image.digest == stream(MODEL, f"{plain_registry.host}/{name}/whole:1", **options).image.digest


def test_a_killed_run_is_taken_up_by_another(published: Hub, plain_registry: Registry, tmp_path: Path) -> None:
    target = f"{plain_registry.host}/killed/model:1"
    published.cut(MODEL, SHARD, after=0, times=None)
    script = f"import sys; {PROGRAMS['stream']}"
    process = subprocess.Popen(
        [sys.executable, "-c", script, MODEL, target], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    waited_until = time.monotonic() + 600
    while "1.partial" not in tags(plain_registry, "killed/model") and time.monotonic() < waited_until:
        time.sleep(0.05)
    time.sleep(1.0)
    process.kill()
    process.wait()
    published.faults.clear()
    published.requests.clear()
    done = stream(MODEL, target)
    assert resolved(published, "model-00001-of-00004.safetensors") == 0, "a finished layer was read again"
    assert done.read_bytes < 4_000_000
    assert tags(plain_registry, "killed/model") == ["1"]


def test_a_model_goes_over_a_serving_image(published: Hub, plain_registry: Registry, downloaded_base: str) -> None:
    done = stream(MODEL, f"{plain_registry.host}/over/model:1", base_image=downloaded_base)
    inspected = subprocess.run(
        ["skopeo", "inspect", "--config", "--tls-verify=false", f"docker://{done.image}"],
        check=True,
        capture_output=True,
        text=True,
    )
    config = json.loads(inspected.stdout)
    assert config["config"]["Entrypoint"] == ["/bin/link-model-and-wait"]
    assert config["config"]["Labels"]["org.opencontainers.image.base.name"] == downloaded_base


@pytest.fixture
def downloaded_base(plain_registry: Registry, tmp_path: Path) -> str:
    """A base image in a registry, in another repository than the target's."""
    from modelcar_base_image.embedded_oci_layout import embedded_oci_layout

    embedded_oci_layout(tmp_path / "base")
    name = f"{plain_registry.host}/serving/vllm:1"
    command = [
        "skopeo",
        "copy",
        "-q",
        "--all",
        "--dest-tls-verify=false",
        f"oci:{tmp_path}/base:latest",
        f"docker://{name}",
    ]
    subprocess.run(command, check=True)
    return name


def test_bad_input_is_named(published: Hub, plain_registry: Registry, basic_registry: BasicAuthRegistry) -> None:
    target = f"{plain_registry.host}/bad/model:1"
    with pytest.raises(HubError, match="there is no model"):
        stream("example/nowhere", target)
    with pytest.raises(UnsafeNameError, match="is not an image reference"):
        stream(MODEL, "nowhere")
    with pytest.raises(UnsafeNameError, match="no target image was named"):
        stream(MODEL, "")
    with pytest.raises(BuildError, match="max_layer_size"):
        stream(MODEL, target, max_layer_size=1_000_000)
    with pytest.raises(CredentialsError, match="no credentials for it"):
        stream(MODEL, f"{basic_registry.host}/bad/model:1")
    assert tags(plain_registry, "bad/model") == []


def test_a_gated_model_is_read_with_the_token(
    hub: Hub, model: Path, plain_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish(MODEL, model, gated=True)
    with pytest.raises(HubError, match="gives no access"):
        stream(MODEL, f"{plain_registry.host}/gated/model:1")
    hub.tokens["hf_granted"] = {MODEL}
    monkeypatch.setenv("HF_TOKEN", "hf_granted")
    done = stream(MODEL, f"{plain_registry.host}/gated/model:1")
    assert Reference.parse(str(done.image)).digest
    assert not [request for request in hub.requests if request.path.startswith("/cdn") and request.authorized]


def test_note_that_a_registry_would_not_remove_takes_no_image_with_it(
    published: Hub, plain_registry: Registry, downloaded_base: str, waits: list[float]
) -> None:
    """Where a note cannot be removed the image takes its place; a later run must not remove that image."""
    with FaultProxy(plain_registry.host) as proxy:
        proxy.status(405, method="DELETE", path="/manifests/", times=None)
        target = f"{proxy.host}/kept/model:1"
        published.status(SHARD, 503, times=None)
        with pytest.raises(HubError):
            stream(MODEL, target)
        published.faults.clear()
        first = stream(MODEL, target).image
        assert {"1", "1.partial"} <= set(tags(plain_registry, "kept/model"))
        proxy.clear()

        # On another base it is another image of the same layers.
        base = downloaded_base.rpartition(":")[0] + "@" + manifests_of(downloaded_base)[0]
        second = stream(MODEL, target, base_image=base).image

        assert second.digest != first.digest
        assert pulled_whole(f"{plain_registry.host}/kept/model@{first.digest}") == first.digest
        assert pulled_whole(f"{plain_registry.host}/kept/model:1.partial") == second.digest


def test_note_that_a_full_disk_damaged_is_no_note(published: Hub, plain_registry: Registry, waits: list[float]) -> None:
    """docker-registry keeps an empty manifest under the digest of what it could not write, for ever."""
    target = f"{plain_registry.host}/damaged-note/model:1"
    published.status(SHARD, 503, times=None)
    with pytest.raises(HubError):
        stream(MODEL, target)
    published.faults.clear()
    note = digest_at(f"{plain_registry.host}/damaged-note/model:1.partial").removeprefix("sha256:")
    file = plain_registry.storage / "docker/registry/v2/blobs/sha256" / note[:2] / note / "data"
    file.write_bytes(b"")

    assert stream(MODEL, target).image.digest == pulled_whole(target)
