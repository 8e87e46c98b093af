"""Copies from registry to registry."""

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelcar.errors import CredentialsError, RegistryError, UnsafeNameError, WrongBytesError
from modelcar.oci import referrers
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored
from modelcar.oci.upload import Upload
from modelcar.steps.download import Downloaded
from modelcar.steps.mirror import mirror
from tests.conftest import LogIn
from tests.parts.access_log import Request
from tests.parts.registries import (
    BasicAuthRegistry,
    Registry,
    TokenAuthRegistry,
    registry_plain,
    registry_with_basic_auth,
    registry_with_token_auth,
)
from tests.parts.skopeo.program import skopeo
from tests.parts.steps import build


def skopeo_raw(registry: Registry, image: str, authfile: Path) -> str:
    return skopeo("inspect", "--raw", f"--authfile={authfile}", *registry.tls_options(), f"docker://{image}")


def requests_of(registry: Registry, name: str) -> list[Request]:
    return [request for request in registry.requests() if f"/{name}/" in request.path]


def blobs_moved(requests: list[Request]) -> list[Request]:
    return [r for r in requests if "/blobs/" in r.path and r.method in ("GET", "PATCH", "PUT", "POST")]


def blob_file(registry: Registry, digest: str) -> Path:
    value = digest.removeprefix("sha256:")
    return registry.storage / "docker/registry/v2/blobs/sha256" / value[:2] / value / "data"


@pytest.fixture
def image(basic_registry: BasicAuthRegistry, downloaded: Downloaded, log_in: LogIn) -> Reference:
    """Give an image in the registry with passwords."""
    log_in(basic_registry)
    return build(downloaded.directory, f"{basic_registry.host}/mirror/source:1", builder="direct").image


def test_copy_is_the_same_image(
    image: Reference, basic_registry: BasicAuthRegistry, token_registry: TokenAuthRegistry, log_in: LogIn
) -> None:
    authfile = log_in(basic_registry, token_registry)
    target = f"{token_registry.host}/mirror/copy:1"

    done = mirror(str(image), target)

    copied = skopeo_raw(token_registry, target, authfile)
    index = json.loads(copied)
    assert done.image == Reference.parse(target).at(image.digest)
    assert copied == skopeo_raw(basic_registry, str(image), authfile)
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    attached = json.loads(
        skopeo_raw(token_registry, f"{token_registry.host}/mirror/copy:{image.digest.replace(':', '-')}", authfile)
    )
    blobs = {}
    for entry in (*index["manifests"], *attached["manifests"]):
        manifest = json.loads(
            skopeo_raw(token_registry, f"{token_registry.host}/mirror/copy@{entry['digest']}", authfile)
        )
        blobs |= {blob["digest"]: blob["size"] for blob in (manifest["config"], *manifest["layers"])}
    assert done.copied_bytes == sum(blobs.values())
    for digest in blobs:
        assert blob_file(token_registry, digest).read_bytes() == blob_file(basic_registry, digest).read_bytes()


def test_whole_image_is_pulled_from_the_copy(
    image: Reference,
    basic_registry: BasicAuthRegistry,
    token_registry: TokenAuthRegistry,
    log_in: LogIn,
    tmp_path: Path,
) -> None:
    authfile = log_in(basic_registry, token_registry)
    assert token_registry.ca_file
    mirror(f"{image.registry}/{image.repository}:1", f"docker://{token_registry.host}/mirror/pulled:1")

    options = ["--all", f"--src-cert-dir={token_registry.ca_file.parent}", f"--src-authfile={authfile}"]
    source = f"docker://{token_registry.host}/mirror/pulled:1"
    pulled = subprocess.run(["skopeo", "copy", *options, source, f"oci:{tmp_path}/pulled:1"], capture_output=True)

    assert pulled.returncode == 0, pulled.stderr


def test_second_run_moves_nothing(
    image: Reference, basic_registry: BasicAuthRegistry, token_registry: TokenAuthRegistry, log_in: LogIn
) -> None:
    log_in(basic_registry, token_registry)
    target = f"{token_registry.host}/mirror/twice:1"
    first = mirror(str(image), target)
    before = [len(registry.requests()) for registry in (basic_registry, token_registry)]

    second = mirror(str(image), target)

    later = [
        request
        for registry, count in zip((basic_registry, token_registry), before, strict=True)
        for request in registry.requests()[count:]
    ]
    assert (second.image, second.copied_bytes) == (first.image, 0)
    assert (first.unchanged, second.unchanged) == (False, True)
    assert blobs_moved(later) == []
    assert not [request for request in later if request.method == "PUT"]


def test_attachment_that_moves_no_blob_is_a_change(
    image: Reference, basic_registry: BasicAuthRegistry, token_registry: TokenAuthRegistry, log_in: LogIn
) -> None:
    log_in(basic_registry, token_registry)
    target = f"{token_registry.host}/mirror/attached:1"
    mirror(str(image), target)
    with Repository(image, push=True) as source:
        top = source.manifest(image.digest)
        one = json.loads(source.manifest(json.loads(top.content)["manifests"][0]["digest"]).content)
        subject = {"mediaType": top.media_type, "digest": top.digest, "size": len(top.content)}
        document = {**one, "artifactType": "application/vnd.example.note", "subject": subject}
        note = Stored(json.dumps(document).encode(), one["mediaType"])
        referrers.put(source, top, [referrers.Attached(note)])

    second, third = mirror(str(image), target), mirror(str(image), target)

    assert (second.copied_bytes, second.unchanged) == (0, False)
    assert (third.copied_bytes, third.unchanged) == (0, True)
    with Repository(Reference.parse(target)) as copy:
        assert copy.find_manifest(note.digest) is not None


def test_other_tag_moves_no_blob(
    image: Reference, basic_registry: BasicAuthRegistry, token_registry: TokenAuthRegistry, log_in: LogIn
) -> None:
    log_in(basic_registry, token_registry)
    mirror(str(image), f"{token_registry.host}/mirror/tags:1")
    before = len(requests_of(token_registry, "mirror/tags"))

    second = mirror(str(image), f"{token_registry.host}/mirror/tags:2")

    assert (second.copied_bytes, second.unchanged) == (0, False)
    assert blobs_moved(requests_of(token_registry, "mirror/tags")[before:]) == []
    assert token_registry.has_tag("mirror/tags", "2")


def test_tag_is_moved(
    image: Reference, basic_registry: BasicAuthRegistry, downloaded: Downloaded, log_in: LogIn
) -> None:
    log_in(basic_registry)
    source = f"{basic_registry.host}/mirror/moved-source:1"
    index = build(downloaded.directory, source, builder="direct").image
    (one, *_) = json.loads(skopeo_raw(basic_registry, source, log_in(basic_registry)))["manifests"]
    target = f"{basic_registry.host}/mirror/moved:1"
    first = mirror(f"{index.registry}/{index.repository}@{one['digest']}", target)

    second = mirror(str(index), target)

    assert first.image.digest == one["digest"]
    assert second.image.digest == index.digest
    assert skopeo_raw(basic_registry, target, log_in(basic_registry)) == skopeo_raw(
        basic_registry, source, log_in(basic_registry)
    )


def test_same_registry_mounts(image: Reference, basic_registry: BasicAuthRegistry, log_in: LogIn) -> None:
    log_in(basic_registry)

    done = mirror(str(image), f"{basic_registry.host}/mirror/mounted:1")

    moved = blobs_moved(requests_of(basic_registry, "mirror/mounted"))
    assert done.copied_bytes == 0
    assert {(request.method, request.status) for request in moved} == {("POST", 201)}
    assert all("mount=" in request.query for request in moved)


@pytest.mark.parametrize("start", [registry_with_basic_auth, registry_with_token_auth])
def test_rotated_password_is_taken_up(
    start: Callable[[Path], Any], image: Reference, basic_registry: BasicAuthRegistry, log_in: LogIn, tmp_path: Path
) -> None:
    with start(tmp_path / "registry") as registry:
        log_in(basic_registry, registry)
        mirror(str(image), f"{registry.host}/mirror/rotated:1")
        registry.rotate()
        with pytest.raises(CredentialsError, match=re.escape(registry.host)):
            mirror(str(image), f"{registry.host}/mirror/rotated:2")
        log_in(basic_registry, registry)

        assert mirror(str(image), f"{registry.host}/mirror/rotated:2").copied_bytes == 0


def test_password_rotated_in_the_middle_is_taken_up(
    image: Reference, basic_registry: BasicAuthRegistry, log_in: LogIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Secret that is mounted into a pod changes while a long copy runs, together with the registry."""
    with registry_with_basic_auth(tmp_path / "registry") as registry:
        log_in(basic_registry, registry)
        lock, rotated = threading.Lock(), threading.Event()

        def start_upload(self: Repository) -> Upload:
            with lock:
                if not rotated.is_set():
                    rotated.set()
                    registry.rotate()
                    log_in(basic_registry, registry)
            return real(self)

        real = Repository.start_upload
        monkeypatch.setattr(Repository, "start_upload", start_upload)

        assert mirror(str(image), f"{registry.host}/mirror/middle:1").copied_bytes > 0
        assert registry.has_tag("mirror/middle")


def test_short_lived_tokens_are_renewed(
    image: Reference, basic_registry: BasicAuthRegistry, log_in: LogIn, tmp_path: Path
) -> None:
    with registry_with_token_auth(tmp_path / "registry", token_lifetime=1) as registry:
        log_in(basic_registry, registry)

        mirror(str(image), f"{registry.host}/mirror/short:1")

        assert registry.has_tag("mirror/short")
        assert registry.tokens_issued >= 1


@pytest.mark.parametrize("side", ["source", "target"])
def test_wrong_credentials_are_named(
    side: str, image: Reference, basic_registry: BasicAuthRegistry, token_registry: TokenAuthRegistry, log_in: LogIn
) -> None:
    authfile = log_in(basic_registry, token_registry)
    wrong = basic_registry if side == "source" else token_registry
    auths = json.loads(authfile.read_text())
    auths["auths"][wrong.host] = {"username": "somebody", "password": "wrong"}
    authfile.write_text(json.dumps(auths))

    with pytest.raises(
        CredentialsError, match=f"{wrong.host} does not let us {'pull from' if side == 'source' else 'push to'}"
    ) as raised:
        mirror(str(image), f"{token_registry.host}/mirror/refused-{side}:1")

    assert f"'somebody' from {authfile}" in str(raised.value)
    assert not token_registry.has_tag(f"mirror/refused-{side}")


def test_missing_source_is_named(basic_registry: BasicAuthRegistry, plain_registry: Registry, log_in: LogIn) -> None:
    log_in(basic_registry)
    source = f"{basic_registry.host}/mirror/missing:1"

    with pytest.raises(RegistryError, match=f"there is no image {source}"):
        mirror(source, f"{plain_registry.host}/mirror/missing:1")

    assert blobs_moved(requests_of(plain_registry, "mirror/missing")) == []


@pytest.mark.parametrize("side", ["source", "target"])
def test_unreachable_registry_is_named(
    side: str, image: Reference, closed_port: int, plain_registry: Registry, waits: list[float]
) -> None:
    nowhere = f"127.0.0.1:{closed_port}/mirror/nowhere:1"
    source, target = (nowhere, f"{plain_registry.host}/mirror/nowhere:1") if side == "source" else (str(image), nowhere)

    with pytest.raises(RegistryError, match=f"cannot reach the registry 127.0.0.1:{closed_port}"):
        mirror(source, target)

    assert waits


def test_malformed_references_are_refused(plain_registry: Registry) -> None:
    with pytest.raises(UnsafeNameError):
        mirror("model:1", f"{plain_registry.host}/mirror/x:1")
    with pytest.raises(UnsafeNameError):
        mirror(f"{plain_registry.host}/mirror/x:1", "model:1")


def test_blobs_that_are_there_are_skipped(
    image: Reference, basic_registry: BasicAuthRegistry, plain_registry: Registry, downloaded: Downloaded, log_in: LogIn
) -> None:
    log_in(basic_registry)
    # The same model on no other layers: all blobs but the manifests are there under another tag.
    build(downloaded.directory, f"{plain_registry.host}/mirror/skipped:own", builder="direct")
    before = len(requests_of(plain_registry, "mirror/skipped"))

    done = mirror(str(image), f"{plain_registry.host}/mirror/skipped:1")

    later = requests_of(plain_registry, "mirror/skipped")[before:]
    assert done.copied_bytes == 0
    assert blobs_moved(later) == []
    assert [request.status for request in later if "/blobs/" in request.path]


def test_interrupted_copy_goes_on(
    basic_registry: BasicAuthRegistry, downloaded: Downloaded, log_in: LogIn, tmp_path: Path
) -> None:
    with registry_plain(tmp_path / "source") as source, registry_plain(tmp_path / "target") as target:
        image = build(downloaded.directory, f"{source.host}/mirror/broken:1", builder="direct").image
        (entry, *_) = json.loads(skopeo_raw(source, str(image), log_in()))["manifests"]
        manifest = json.loads(skopeo_raw(source, f"{source.host}/mirror/broken@{entry['digest']}", log_in()))
        small = manifest["layers"][-1]
        lost = blob_file(source, small["digest"])
        lost.rename(tmp_path / "lost")
        with pytest.raises(RegistryError):
            mirror(str(image), f"{target.host}/mirror/broken:1")
        assert not target.has_tag("mirror/broken")
        (tmp_path / "lost").rename(lost)

        done = mirror(str(image), f"{target.host}/mirror/broken:1")

        assert done.image.digest == image.digest
        assert target.has_tag("mirror/broken")
        assert 0 < small["size"] <= done.copied_bytes < sum(layer["size"] for layer in manifest["layers"])


@pytest.mark.usefixtures("waits")
def test_damaged_blob_is_not_passed_on(downloaded: Downloaded, tmp_path: Path, log_in: LogIn) -> None:
    with registry_plain(tmp_path / "source") as source, registry_plain(tmp_path / "target") as target:
        image = build(downloaded.directory, f"{source.host}/mirror/damaged:1", builder="direct").image
        (entry, *_) = json.loads(skopeo_raw(source, str(image), log_in()))["manifests"]
        manifest = json.loads(skopeo_raw(source, f"{source.host}/mirror/damaged@{entry['digest']}", log_in()))
        damaged = blob_file(source, manifest["layers"][-1]["digest"])
        content = bytearray(damaged.read_bytes())
        content[1000] ^= 1
        damaged.write_bytes(content)

        with pytest.raises((RegistryError, WrongBytesError)):
            mirror(str(image), f"{target.host}/mirror/damaged:1")

        assert not target.has_tag("mirror/damaged")


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<html>Welcome</html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def website() -> Iterator[str]:
    """Give the host of a server that answers each request by a page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_website_is_no_registry(website: str, plain_registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"is no image, but text/html\. A web page answers there"):
        mirror(f"{website}/mirror/page:1", f"{plain_registry.host}/mirror/page:1")
