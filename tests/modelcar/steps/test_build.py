"""Images of models, judged by skopeo and umoci, at registries of each kind."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from modelcar_base_image.embedded_oci_layout import embedded_oci_layout

from modelcar.claim.downloads import DIGESTS
from modelcar.claim.folder import Folder
from modelcar.claim.scratch import scratch
from modelcar.errors import BuildError, ClaimError, CredentialsError, RegistryError, UnsafeNameError, WrongBytesError
from modelcar.hub.paths import DOWNLOAD_NOTE
from modelcar.hub.snapshot import Snapshot
from modelcar.image import layout as layout_module
from modelcar.image import proof
from modelcar.oci.tar_writer import Layer
from modelcar.retries import ATTEMPTS
from modelcar.steps.build import Built
from modelcar.steps.download import Downloaded
from tests.conftest import LogIn, Mount
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama, variants
from tests.parts.registries import Registry, TokenAuthRegistry, registry_with_basic_auth
from tests.parts.skopeo.program import skopeo
from tests.parts.steps import build, download

ROOT = Path(__file__).parents[3]
BUILDERS: tuple[str, ...] = ("buildah", "direct")
SHARD = "model-00002-of-00004.safetensors"
KEPT_OUT = DOWNLOAD_NOTE.parent.name
MOVES = ("POST", "PATCH", "PUT")


def raw(registry: Registry, image: str, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        skopeo("inspect", "--raw", *options, *registry.tls_options(), f"docker://{image}")
    )
    return found


def paths_of(registry: Registry, name: str) -> list[tuple[str, str]]:
    return [(request.method, request.path) for request in registry.requests() if name in request.path]


def copy_of(downloaded: Downloaded, place: Path) -> Path:
    return Path(shutil.copytree(downloaded.directory, place))


def contents(folder: Path) -> dict[str, bytes]:
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {name.as_posix(): path.read_bytes() for name, path in files.items() if name.parts[0] != KEPT_OUT}


def scratches(directory: Path) -> list[str]:
    return [path.name for path in (directory / KEPT_OUT).glob("build-*")]


@pytest.fixture(params=["plain", "basic", "token"])
def registry(request: pytest.FixtureRequest, log_in: LogIn) -> Registry:
    running: Registry = request.getfixturevalue(f"{request.param}_registry")
    log_in(running)
    return running


@pytest.mark.parametrize("builder", BUILDERS)
def test_image_holds_the_model(
    builder: str, registry: Registry, downloaded: Downloaded, tmp_path: Path, log_in: LogIn
) -> None:
    target = f"{registry.host}/holds/{builder}:1"

    built = build(downloaded.directory, target, builder=builder)

    options = [*registry.tls_options("src-"), f"--src-authfile={log_in(registry)}", "--override-arch=arm64"]
    skopeo("copy", "--quiet", *options, f"docker://{target}", f"oci:{tmp_path}/layout:1")
    subprocess.run(["umoci", "unpack", "--image", f"{tmp_path}/layout:1", tmp_path / "bundle"], check=True)
    root = tmp_path / "bundle" / "rootfs"
    assert contents(root / "models") == contents(downloaded.directory)
    for path in (root / "models", *(root / "models").rglob("*")):
        state = path.stat()
        assert (state.st_uid, state.st_gid, state.st_mode & 0o7777) == (0, 0, 0o775 if path.is_dir() else 0o664)
    assert not built.unchanged
    assert built.sent_bytes == sum(
        layer.size
        for layer in layout_module.part(downloaded.snapshot, layout_module.on_disk(Folder(downloaded.directory)))
    )
    assert scratches(downloaded.directory) == []


def test_image_says_what_it_holds(plain_registry: Registry, downloaded: Downloaded) -> None:
    target = f"{plain_registry.host}/says/what:1"

    built = build(downloaded.directory, target, builder="direct")

    index = raw(plain_registry, target)
    parts = layout_module.part(downloaded.snapshot, layout_module.on_disk(Folder(downloaded.directory)))
    digests = [proof.digest(part, downloaded.snapshot) for part in parts]
    said = index["annotations"]
    assert (
        skopeo("inspect", "--format={{.Digest}}", *plain_registry.tls_options(), f"docker://{target}")
        == f"{built.image.digest}\n"
    )
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    assert said["org.opencontainers.image.revision"] == downloaded.snapshot.commit
    assert said["org.opencontainers.image.source"] == "https://huggingface.co/example/tiny-llama"
    assert said["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert said["io.modelcar.model"] == "example/tiny-llama"
    assert said["io.modelcar.base-models"] == "example/tiny-llama-base"
    assert said["io.modelcar.weights-size"] == str(downloaded.snapshot.size)
    assert built.layer_count == len(parts)
    for entry in index["manifests"]:
        platform = f"{plain_registry.host}/says/what@{entry['digest']}"
        manifest, config = raw(plain_registry, platform), raw(plain_registry, platform, "--config")
        ours = manifest["layers"][-len(parts) :]
        assert [layer["digest"] for layer in ours] == digests
        assert {layer["mediaType"] for layer in ours} == {"application/vnd.oci.image.layer.v1.tar"}
        assert [layer["size"] for layer in ours] == [part.size for part in parts]
        assert config["rootfs"]["diff_ids"][-len(parts) :] == digests
        assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"])
        assert config["architecture"] == entry["platform"]["architecture"]
        assert config["created"] == said["org.opencontainers.image.created"]
        assert said.items() <= config["config"]["Labels"].items()
        assert manifest["annotations"] == said


def test_same_commit_gives_the_same_image(
    plain_registry: Registry, basic_registry: Registry, downloaded: Downloaded, tmp_path: Path, log_in: LogIn
) -> None:
    log_in(basic_registry)
    elsewhere = copy_of(downloaded, tmp_path / "elsewhere")
    for path in elsewhere.rglob("*"):
        os.utime(path, (1, 1))

    images = [
        build(downloaded.directory, f"{plain_registry.host}/same/buildah:1", builder="buildah"),
        build(downloaded.directory, f"{plain_registry.host}/same/direct:1", builder="direct"),
        build(elsewhere, f"{plain_registry.host}/same/elsewhere:other", builder="buildah"),
        build(elsewhere, f"{basic_registry.host}/same/registry:1", builder="direct"),
    ]

    assert len({built.image.digest for built in images}) == 1
    assert len({built.sent_bytes for built in images}) == 1


def test_odd_names_are_kept_by_both_builders(hub: Hub, plain_registry: Registry, tmp_path: Path) -> None:
    tiny_llama(tmp_path / "model", shards=1, bytes_per_shard=20_000)
    variants(tmp_path / "model", "odd")
    long = {f"{'d' * 90}/{'é' * 50}/{number}.gguf": bytes(1 << 20) + bytes([number]) for number in range(2)}
    hub.publish("org/odd", {**{name: tmp_path / "model" / name for name in contents(tmp_path / "model")}, **long})
    done = download("org/odd", tmp_path / "claim", everything=True)

    images = [
        build(done.directory, f"{plain_registry.host}/odd/{builder}:1", builder=builder).image for builder in BUILDERS
    ]

    assert images[0].digest == images[1].digest
    skopeo("copy", "--quiet", "--src-tls-verify=false", f"docker://{images[0]}", f"oci:{tmp_path}/layout:1")
    subprocess.run(["umoci", "unpack", "--image", f"{tmp_path}/layout:1", tmp_path / "bundle"], check=True)
    assert contents(tmp_path / "bundle/rootfs/models") == contents(done.directory)


@pytest.mark.parametrize("builder", BUILDERS)
def test_second_build_sends_nothing(builder: str, registry: Registry, downloaded: Downloaded) -> None:
    target = f"{registry.host}/again/{builder}:1"
    first = build(downloaded.directory, target, builder=builder)
    before = len(paths_of(registry, f"again/{builder}"))

    second = build(downloaded.directory, target, builder=builder)

    later = paths_of(registry, f"again/{builder}")[before:]
    assert second == Built(first.image, first.layer_count, 0, unchanged=True)
    assert not [method for method, _ in later if method in MOVES]


@pytest.mark.parametrize("builder", BUILDERS)
def test_other_tag_sends_no_layer(builder: str, plain_registry: Registry, downloaded: Downloaded) -> None:
    name = f"other-tag/{builder}"
    first = build(downloaded.directory, f"{plain_registry.host}/{name}:1", builder=builder)
    before = len(paths_of(plain_registry, name))

    second = build(downloaded.directory, f"{plain_registry.host}/{name}:2", builder=builder)

    later = paths_of(plain_registry, name)[before:]
    assert (second.image, second.sent_bytes, second.unchanged) == (first.image, 0, False)
    assert not [path for method, path in later if method in MOVES and "blobs" in path]


def test_new_commit_sends_only_what_changed(hub: Hub, model: Path, plain_registry: Registry, tmp_path: Path) -> None:
    target = f"{plain_registry.host}/changed/model:1"
    hub.publish("org/changed", model)
    first = build(download("org/changed", tmp_path / "claim").directory, target)
    files = {name: model / name for name in contents(model)}
    hub.publish("org/changed", {**files, "config.json": "{}"})
    done = download("org/changed", tmp_path / "claim")

    second = build(done.directory, target)

    small = layout_module.part(done.snapshot, layout_module.on_disk(Folder(done.directory)))[-1]
    assert second.image != first.image
    assert second.sent_bytes == small.size < 1 << 20


def test_auto_takes_buildah_where_there_is_one(
    plain_registry: Registry, downloaded: Downloaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    wrapper = tmp_path / "buildah"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {shutil.which("buildah")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    build(downloaded.directory, f"{plain_registry.host}/auto/with:1")

    assert "docker://" in calls.read_text()


def test_missing_buildah_is_named_and_auto_does_without(
    plain_registry: Registry, downloaded: Downloaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    target = f"{plain_registry.host}/auto/without:1"

    with pytest.raises(BuildError, match=r"there is no buildah here.*builder=direct"):
        build(downloaded.directory, target, builder="buildah")

    assert scratches(downloaded.directory) == []
    assert not build(downloaded.directory, target).unchanged


def test_unknown_builder_is_named(plain_registry: Registry, downloaded: Downloaded) -> None:
    with pytest.raises(BuildError, match=r"no builder 'docker'.*auto, buildah, direct"):
        build(downloaded.directory, f"{plain_registry.host}/unknown/builder:1", builder="docker")  # type: ignore[arg-type]


@pytest.fixture
def base_layout(tmp_path: Path) -> Path:
    """Give a base image of its own bytes, in two architectures, as an OCI layout."""
    layout = tmp_path / "base"
    embedded_oci_layout(layout)
    return layout


def push_base(layout: Path, registry: Registry, name: str, log_in: LogIn) -> str:
    options = [f"--dest-authfile={log_in(registry)}", *registry.tls_options("dest-")]
    skopeo("copy", "--quiet", "--all", *options, f"oci:{layout}:latest", f"docker://{registry.host}/{name}")
    return f"{registry.host}/{name}"


@pytest.mark.parametrize("builder", BUILDERS)
def test_base_of_the_same_registry_is_mounted(
    builder: str, basic_registry: Registry, downloaded: Downloaded, base_layout: Path, log_in: LogIn
) -> None:
    base = push_base(base_layout, basic_registry, f"bases/for-{builder}:1", log_in)
    name = f"on-base/{builder}"

    built = build(downloaded.directory, f"{basic_registry.host}/{name}:1", base_image=base, builder=builder)

    authfile = f"--authfile={log_in(basic_registry)}"
    index = raw(basic_registry, str(built.image), authfile)
    repository = f"{basic_registry.host}/{name}"
    manifests = [raw(basic_registry, f"{repository}@{entry['digest']}", authfile) for entry in index["manifests"]]
    below = {layer["digest"] for found in manifests for layer in found["layers"][: -built.layer_count]}
    asked = [request for request in basic_registry.requests() if f"/{name}/" in request.path]
    mounts = [request for request in asked if f"from=bases/for-{builder}" in request.query]
    assert len(manifests) == 2
    assert index["annotations"]["org.opencontainers.image.base.name"] == base
    assert below
    assert [request.status for request in mounts] == [201] * len(below)
    assert not [r for r in asked if r.method == "PUT" and any(digest[7:] in r.query for digest in below)]


def test_base_of_another_registry_is_copied(
    basic_registry: Registry,
    token_registry: Registry,
    downloaded: Downloaded,
    base_layout: Path,
    tmp_path: Path,
    log_in: LogIn,
) -> None:
    base = push_base(base_layout, basic_registry, "bases/elsewhere:1", log_in)
    authfile = log_in(basic_registry, token_registry)
    target = f"{token_registry.host}/on-base/copied:1"

    build(downloaded.directory, target, base_image=base)

    options = [*token_registry.tls_options("src-"), f"--src-authfile={authfile}", "--override-arch=amd64"]
    skopeo("copy", "--quiet", *options, f"docker://{target}", f"oci:{tmp_path}/layout:1")
    subprocess.run(["umoci", "unpack", "--image", f"{tmp_path}/layout:1", tmp_path / "bundle"], check=True)
    assert contents(tmp_path / "bundle/rootfs/models") == contents(downloaded.directory)


def test_base_with_one_platform_gives_no_index(
    plain_registry: Registry, downloaded: Downloaded, base_layout: Path, log_in: LogIn
) -> None:
    options = ["--override-arch=arm64", *plain_registry.tls_options("dest-")]
    base = f"{plain_registry.host}/bases/single:1"
    skopeo("copy", "--quiet", *options, f"oci:{base_layout}:latest", f"docker://{base}")

    built = build(downloaded.directory, f"{plain_registry.host}/on-base/single:1", base_image=base)

    manifest = raw(plain_registry, str(built.image))
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["annotations"]["io.modelcar.model"] == "example/tiny-llama"
    assert raw(plain_registry, str(built.image), "--config")["architecture"] == "arm64"


def test_dockers_format_is_a_base_too(
    plain_registry: Registry, downloaded: Downloaded, base_layout: Path, tmp_path: Path
) -> None:
    base = f"{plain_registry.host}/bases/docker:1"
    options = ["--format=v2s2", *plain_registry.tls_options("dest-")]
    skopeo("copy", "--quiet", *options, f"oci:{base_layout}:latest", f"docker://{base}")

    built = build(downloaded.directory, f"{plain_registry.host}/on-base/docker:1", base_image=base)

    skopeo("copy", "--quiet", "--src-tls-verify=false", f"docker://{built.image}", f"oci:{tmp_path}/layout:1")
    subprocess.run(["umoci", "unpack", "--image", f"{tmp_path}/layout:1", tmp_path / "bundle"], check=True)
    assert contents(tmp_path / "bundle/rootfs/models") == contents(downloaded.directory)


def test_other_base_makes_another_image(
    plain_registry: Registry, downloaded: Downloaded, base_layout: Path, log_in: LogIn
) -> None:
    target = f"{plain_registry.host}/on-base/moved:1"
    first = build(downloaded.directory, target)
    options = ["--override-arch=amd64", *plain_registry.tls_options("dest-")]
    base = f"{plain_registry.host}/bases/moved:1"
    skopeo("copy", "--quiet", *options, f"oci:{base_layout}:latest", f"docker://{base}")

    second = build(downloaded.directory, target, base_image=base)

    assert (second.unchanged, second.sent_bytes) == (False, 0)
    assert second.image != first.image


def test_missing_base_is_named(plain_registry: Registry, downloaded: Downloaded) -> None:
    base = f"{plain_registry.host}/bases/missing:1"

    with pytest.raises(RegistryError, match=f"there is no image {base}"):
        build(downloaded.directory, f"{plain_registry.host}/on-base/missing:1", base_image=base)


@pytest.mark.parametrize("builder", BUILDERS)
def test_too_small_layer_limit_is_refused_before_any_byte(
    builder: str, plain_registry: Registry, downloaded: Downloaded
) -> None:
    name = f"too-small/{builder}"

    with pytest.raises(BuildError, match=r"model-0000\d-of-00004.safetensors makes a layer of 1\.\d MB"):
        build(downloaded.directory, f"{plain_registry.host}/{name}:1", builder=builder, max_layer_size=1_000_000)

    assert paths_of(plain_registry, name) == []


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("kind", ["basic", "token"])
def test_wrong_password_is_named(
    kind: str, builder: str, downloaded: Downloaded, log_in: LogIn, request: pytest.FixtureRequest
) -> None:
    registry: Registry = request.getfixturevalue(f"{kind}_registry")
    authfile = log_in(registry)
    authfile.write_text(json.dumps({"auths": {registry.host: {"username": "me", "password": "not-the-one"}}}))

    with pytest.raises(CredentialsError) as raised:
        build(downloaded.directory, f"{registry.host}/wrong/{builder}:1", builder=builder)

    assert registry.host in str(raised.value)
    assert str(authfile) in str(raised.value)
    assert "not-the-one" not in str(raised.value)
    assert not registry.has_tag(f"wrong/{builder}")


@pytest.mark.parametrize("kind", ["basic", "token"])
def test_missing_login_is_named(
    kind: str, downloaded: Downloaded, log_in: LogIn, request: pytest.FixtureRequest
) -> None:
    registry: Registry = request.getfixturevalue(f"{kind}_registry")
    log_in(registry).write_text("{}")

    with pytest.raises(CredentialsError, match=f"no credentials for it .*podman login {registry.host}"):
        build(downloaded.directory, f"{registry.host}/missing/login:1")


def test_unknown_authority_is_named(token_registry: TokenAuthRegistry, downloaded: Downloaded) -> None:
    with pytest.raises(RegistryError, match=f"no trusted TLS connection to {token_registry.host}.*SSL_CERT_FILE"):
        build(downloaded.directory, f"{token_registry.host}/unknown/authority:1")


@pytest.mark.parametrize("builder", BUILDERS)
def test_authority_of_certs_d_is_trusted(
    builder: str,
    token_registry: TokenAuthRegistry,
    downloaded: Downloaded,
    isolated: Path,
    log_in: LogIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log_in(token_registry)
    monkeypatch.delenv("SSL_CERT_FILE")
    folder = isolated / "certs.d" / token_registry.host
    folder.mkdir(parents=True)
    assert token_registry.ca_file
    shutil.copy(token_registry.ca_file, folder / "ca.crt")

    build(downloaded.directory, f"{token_registry.host}/certs-d/{builder}:1", builder=builder)

    assert token_registry.has_tag(f"certs-d/{builder}")


def test_unreachable_registry_is_named_soon(closed_port: int, downloaded: Downloaded, waits: list[float]) -> None:
    with pytest.raises(RegistryError, match=f"cannot reach the registry 127.0.0.1:{closed_port}.*Check its name"):
        build(downloaded.directory, f"127.0.0.1:{closed_port}/not/there:1")

    # Nested repetitions would multiply: one attempt may take 15 s to fail where packets are dropped.
    assert len(waits) < ATTEMPTS


@pytest.mark.parametrize("target", ["model:1", "quay.io", "quay.io/Team/model:1", "quay.io/a@sha256:" + "0" * 64])
def test_unusable_target_is_refused(target: str, downloaded: Downloaded) -> None:
    with pytest.raises(UnsafeNameError):
        build(downloaded.directory, target)


def test_unfinished_download_is_named(plain_registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ClaimError, match="holds no finished download"):
        build(tmp_path, f"{plain_registry.host}/unfinished/download:1")


@pytest.mark.parametrize("path", [SHARD, "config.json"])
@pytest.mark.parametrize("builder", BUILDERS)
def test_altered_file_is_refused(
    builder: str, path: str, plain_registry: Registry, downloaded: Downloaded, tmp_path: Path
) -> None:
    directory = copy_of(downloaded, tmp_path / "altered")
    content = bytearray((directory / path).read_bytes())
    content[-2] ^= 1
    (directory / path).write_bytes(content)
    name = f"altered/{builder}-{path.lower()}"

    with pytest.raises(WrongBytesError, match=f"{path} is not what the Hub published"):
        build(directory, f"{plain_registry.host}/{name}:1", builder=builder)

    assert not plain_registry.has_tag(name)
    assert scratches(directory) == []


@pytest.mark.parametrize("builder", BUILDERS)
def test_wrong_note_of_a_digest_is_refused_and_named(
    builder: str, plain_registry: Registry, downloaded: Downloaded, tmp_path: Path
) -> None:
    directory = copy_of(downloaded, tmp_path / "wrong-note")
    noted = json.loads((directory / DIGESTS).read_text())
    (directory / DIGESTS).write_text(json.dumps(dict.fromkeys(noted, "sha256:" + 64 * "0")))
    name = f"wrong-note/{builder}"

    with pytest.raises(WrongBytesError, match=r"the digest noted for .* is wrong\. Remove \.modelcar/layers"):
        build(directory, f"{plain_registry.host}/{name}:1", builder=builder)

    assert not plain_registry.has_tag(name)
    assert scratches(directory) == []


@pytest.mark.parametrize("builder", BUILDERS)
def test_download_without_notes_makes_the_same_image(
    builder: str, plain_registry: Registry, downloaded: Downloaded, tmp_path: Path
) -> None:
    directory = copy_of(downloaded, tmp_path / "no-notes")
    (directory / DIGESTS).unlink()

    without = build(directory, f"{plain_registry.host}/no-notes/{builder}:1", builder=builder)
    with_them = build(downloaded.directory, f"{plain_registry.host}/notes/{builder}:1", builder=builder)

    assert without.image.digest == with_them.image.digest


@pytest.mark.parametrize("builder", BUILDERS)
def test_lost_file_is_refused(builder: str, plain_registry: Registry, downloaded: Downloaded, tmp_path: Path) -> None:
    directory = copy_of(downloaded, tmp_path / "lost")
    (directory / SHARD).unlink()

    with pytest.raises(WrongBytesError, match=f"{SHARD} is gone"):
        build(directory, f"{plain_registry.host}/lost/{builder}:1", builder=builder)

    assert scratches(directory) == []


def test_file_altered_after_it_was_hashed_is_refused(
    plain_registry: Registry,
    downloaded: Downloaded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = copy_of(downloaded, tmp_path / "late")
    (directory / DIGESTS).unlink()

    def digest_then_alter(layer: Layer, snapshot: Snapshot) -> str:
        found = real(layer, snapshot)
        for entry in layer.entries:
            file = directory / entry.path.removeprefix("models/")
            content = bytearray(file.read_bytes())
            content[-1] ^= 1
            file.write_bytes(content)
        return found

    real = proof.digest
    monkeypatch.setattr(proof, "digest", digest_then_alter)

    with pytest.raises(WrongBytesError, match="is not what the Hub published"):
        build(directory, f"{plain_registry.host}/late/model:1", builder="buildah")

    assert not plain_registry.has_tag("late/model")
    assert scratches(directory) == []


def test_failed_buildah_leaves_no_scratch(
    plain_registry: Registry, downloaded: Downloaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = tmp_path / "buildah"
    script = (
        f'case "$*" in *docker://*) echo "Error: it broke" >&2; exit 125;; esac\nexec {shutil.which("buildah")} "$@"'
    )
    wrapper.write_text(f"#!/bin/sh\n{script}\n")
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(BuildError, match=r"buildah failed \(125\): it broke"):
        build(downloaded.directory, f"{plain_registry.host}/failed/buildah:1", builder="buildah")

    assert scratches(downloaded.directory) == []
    assert not plain_registry.has_tag("failed/buildah")


def test_full_claim_is_named(
    plain_registry: Registry, downloaded: Downloaded, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = mount("claim", 64)
    directory = copy_of(downloaded, claim / "model")
    target = f"{plain_registry.host}/full/claim:1"

    with pytest.raises(ClaimError, match=r"is too small: 1\.\d MB more are needed and 6\d\.\d MB are free.*direct"):
        build(directory, target, builder="buildah")
    assert scratches(directory) == []
    monkeypatch.setattr("modelcar.claim.space.SPARE_BYTES", -(1 << 40))
    (claim / "filler").write_bytes(bytes(shutil.disk_usage(claim).free - (1 << 20)))

    with pytest.raises(ClaimError, match=r"is full.*the download is kept"):
        build(directory, target, builder="buildah")

    assert scratches(directory) == []
    assert not build(directory, target, builder="direct").unchanged


KILLED = """
import sys, time
from pathlib import Path
from modelcar.claim.folder import Folder
from modelcar.claim.scratch import scratch
with scratch(Folder(Path(sys.argv[1]))) as place:
    (place / "root").mkdir()
    print(place, flush=True)
    time.sleep(60)
"""


def test_scratch_of_a_killed_build_is_removed_and_a_running_ones_kept(
    plain_registry: Registry, downloaded: Downloaded, tmp_path: Path
) -> None:
    directory = copy_of(downloaded, tmp_path / "killed")
    command = [sys.executable, "-c", KILLED, str(directory / KEPT_OUT)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        place = Path(other.stdout.readline().strip())

        build(directory, f"{plain_registry.host}/killed/running:1", builder="buildah")
        assert scratches(directory) == [place.name]

        other.send_signal(signal.SIGKILL)
        other.wait()
    assert (place / "root").exists()

    build(directory, f"{plain_registry.host}/killed/gone:1", builder="buildah")

    assert scratches(directory) == []


def test_scratch_is_made_anew_each_time(tmp_path: Path) -> None:
    with scratch(Folder(tmp_path)) as one, scratch(Folder(tmp_path)) as two:
        assert one != two
        assert one.is_dir()
        assert two.is_dir()
    assert list(tmp_path.iterdir()) == []


# The node is all that is not the claim: each write to it lands in the upper layer of an overlay over the machine's own
# file system, which is a small file system of its own. Nothing of this outlives the process's mount namespace.
NODE = """
set -eu
mount -t tmpfs -o size=512m node "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" node "$1/root"
for name in proc dev sys; do mount --rbind "/$name" "$1/root/$name"; done
mount --bind "$2" "$1/root$2"
# What earlier builds noted there on this machine would count when it is written to.
rm -rf "$1/root/var/lib/containers/cache"
shift 2
exec chroot "$0" "$@"
"""
WATCHER = """
import json, os, sys, threading
from pathlib import Path
from modelcar.image.request import ImageRequest
from modelcar.steps.build import BuildRequest, build
directory, target = Path(sys.argv[1]), sys.argv[2]
def used(path):
    state = os.statvfs(path)
    return (state.f_blocks - state.f_bfree) * state.f_frsize
places = {"node": "/", "claim": str(directory)}
before = {name: used(path) for name, path in places.items()}
peaks = dict.fromkeys(places, 0)
done = threading.Event()
def watch():
    while not done.wait(0.005):
        for name, path in places.items():
            peaks[name] = max(peaks[name], used(path) - before[name])
watcher = threading.Thread(target=watch)
watcher.start()
build(BuildRequest(directory=directory, image=ImageRequest(target), builder="buildah"))
done.set()
watcher.join()
print(json.dumps(peaks))
"""


def test_build_needs_a_quarter_on_the_claim_and_nothing_on_the_node(
    hub: Hub, plain_registry: Registry, mount: Mount, tmp_path: Path
) -> None:
    model = tiny_llama(tmp_path / "model", bytes_per_shard=64 << 20, consolidated=False)
    hub.publish("org/large", model)
    claim = mount("claim", 700)
    done = download("org/large", claim)
    node = tmp_path / "node"
    node.mkdir()
    target = f"{plain_registry.host}/disk/use:1"
    python = [sys.executable, "-c", WATCHER, str(done.directory), target]
    isolated = ["unshare", "--mount", "sh", "-c", NODE, str(node / "root"), str(node), str(claim)]

    ran = subprocess.run(
        [*isolated, *python], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=600
    )

    assert ran.returncode == 0, ran.stderr
    peaks = json.loads(ran.stdout.splitlines()[-1])
    assert (64 << 20) * 0.9 < peaks["claim"] <= 0.30 * done.snapshot.size
    assert peaks["node"] <= 16 << 20
    assert plain_registry.has_tag("disk/use")


def test_rotated_password_is_taken_up(downloaded: Downloaded, tmp_path: Path, log_in: LogIn) -> None:
    with registry_with_basic_auth(tmp_path / "registry") as registry:
        log_in(registry)
        build(downloaded.directory, f"{registry.host}/rotated/model:1", builder="direct")
        registry.rotate()
        with pytest.raises(CredentialsError):
            build(downloaded.directory, f"{registry.host}/rotated/model:2", builder="direct")
        log_in(registry)

        assert build(downloaded.directory, f"{registry.host}/rotated/model:2", builder="direct").sent_bytes == 0


@pytest.mark.parametrize("builder", BUILDERS)
def test_interrupted_build_goes_on(
    builder: str, plain_registry: Registry, downloaded: Downloaded, tmp_path: Path
) -> None:
    directory = copy_of(downloaded, tmp_path / "interrupted")
    name = f"interrupted/{builder}"
    kept = (directory / SHARD).read_bytes()
    (directory / SHARD).write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(WrongBytesError):
        build(directory, f"{plain_registry.host}/{name}:1", builder=builder)
    (directory / SHARD).write_bytes(kept)

    built = build(directory, f"{plain_registry.host}/{name}:1", builder=builder)

    # The first shard was in place before the second one was found wrong.
    whole = sum(
        layer.size for layer in layout_module.part(downloaded.snapshot, layout_module.on_disk(Folder(directory)))
    )
    assert 0 < built.sent_bytes < whole
