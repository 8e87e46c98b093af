"""buildah as a process: it puts layers into a registry and writes nothing outside a directory on the claim.

buildah compresses every layer that it pushes, whatever `--disable-compression` says, except where that would change a
manifest whose digest was given beforehand. So it is given that digest: the layer's tar stream is known
(modelcar.oci.tar_writer), a small probe shows the form of this buildah's config and manifest, and from both follows the
manifest that it must arrive at, to the byte. The layer stays as it is, no tag is written, and a layer with any other
bytes is refused by buildah and by the registry alike.

The files are hard-linked into working containers, and one layer is committed at a time, so that the claim holds,
besides the weights, one layer's temporary copy.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelcar.claim.files import OnDisk
from modelcar.errors import BuildError, ClaimError, CredentialsError
from modelcar.image.builder import INSIDE_A_NAMESPACE, is_privileged, is_there, may_run_here
from modelcar.oci import credentials, spec
from modelcar.oci.reference import Reference
from modelcar.oci.tar_writer import DIRECTORY_MODE, FILE_MODE, Entry, Layer
from modelcar.oci.trust import authorities
from modelcar.progress import Count, silent

_SECONDS_BETWEEN_LOOKS = 0.5
_COMMIT = (
    "--quiet",
    "--format",
    "oci",
    "--disable-compression",
    "--timestamp",
    "0",
    "--omit-history",
    "--identity-label=false",
)
_NOT_FOR_BUILDAH = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODEL_REGISTRY_TOKEN", "COSIGN_PASSWORD")
"""Secrets of other steps' parties. buildah gets the one that it needs in a file."""

_NEARLY_FULL_BYTES = 4 << 20
_PASSES = 2
"""Times that buildah writes each of a layer's bytes: to its temporary file and to the registry."""


@dataclass(frozen=True)
class _Form:
    """The documents of a probe's image, into which another layer's digest can be put."""

    config: bytes
    manifest: bytes
    layer: str

    def manifest_for(self, digest: str, size: int) -> bytes:
        config = self.config.replace(self.layer.encode(), digest.encode())
        manifest = json.loads(self.manifest)
        manifest["config"] |= {"digest": spec.digest_of(config), "size": len(config)}
        manifest["layers"][0] |= {"digest": digest, "size": size}
        return json.dumps(manifest, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True)
class Container:
    """A working container of buildah's.

    Attributes:
        name: What buildah calls it.
        root: Where its files are.
    """

    name: str
    root: Path


class Buildah:
    """buildah with all its storage in one directory.

    Args:
        scratch: A directory on the same file system as the weights.

    Raises:
        BuildError: There is no buildah, it may not run here, or it writes layers in a form that is not foreseen.
    """

    def __init__(self, scratch: Path) -> None:
        if not is_there():
            raise BuildError(
                "there is no buildah here",
                "Install it (apt-get install buildah), compile the pipeline for an image that has it "
                "(modelcar compile --image), or choose builder=direct, which needs none and gives the same image",
            )
        if not may_run_here():
            raise BuildError(
                "buildah may not make a user namespace in this pod: the node's seccomp profile, SELinux or "
                "user.max_user_namespaces refuses it",
                "Choose build_mode=auto, which takes a Job that may (manifests/), or builder=direct, "
                "which needs no privilege and gives the same image",
            )
        # It inherits what of our files is inheritable, which is the lock on this directory (modelcar.claim.space).
        self._scratch = scratch
        self._temporary = scratch / "tmp"
        self._temporary.mkdir()
        storage = ["--root", str(scratch / "root"), "--runroot", str(scratch / "run"), "--storage-driver", "vfs"]
        if is_privileged():
            self._program = ["buildah", *storage]
        else:
            self._program = [*INSIDE_A_NAMESPACE, "buildah", *storage, "--storage-opt", "vfs.ignore_chown_errors=true"]
        self._form = self._probe()

    def prepare(self, layer: Layer) -> "Container":
        """Makes a working container that holds a layer's files: hard links where the file system allows it."""
        name = self._run("from", "scratch")
        root = Path(self._run("mount", name))
        # buildah makes it read-only, which hinders no root user; the layer does not show its mode.
        root.chmod(DIRECTORY_MODE)
        for entry in layer.entries:
            _place(entry, root)
        return Container(name, root)

    def put_layer(
        self,
        container: "Container",
        layer: Layer,
        digest: str,
        target: Reference,
        *,
        insecure: bool,
        count: Count = silent,
    ) -> None:
        """Puts a prepared layer into a repository.

        Args:
            container: The layer's container; it is empty afterwards.
            layer: The files.
            digest: The digest the layer must have.
            target: Any reference in the repository. No tag is written.
            insecure: Whether the registry has no TLS, or a certificate that nobody checks.
            count: Is told how many bytes are done.

        Raises:
            BuildError: buildah failed; with its own words.
        """
        image = target.at(spec.digest_of(self._form.manifest_for(digest, layer.size)))
        with _access(target, insecure=insecure) as access:
            self._commit(container, f"docker://{image}", access, layer.size, count)
        # The containers themselves go with the scratch directory; only copies would take room until then.
        for inside in container.root.iterdir():
            shutil.rmtree(inside)

    def _probe(self) -> _Form:
        """Commits a layer of one byte, to learn the form of what this buildah writes and compare its tar with ours."""
        source = self._scratch / "probe"
        source.write_bytes(b"\n")
        layer = Layer((Entry("models/probe", OnDisk.at(source), 1),))
        place = self._scratch / "probed"
        self._commit(self.prepare(layer), f"dir:{place}", [], layer.size, silent)
        manifest = (place / "manifest.json").read_bytes()
        named = spec.Manifest.model_validate_json(manifest)
        form = _Form(_blob(place, named.config), manifest, named.layers[0].digest)
        expected = b"".join(layer.chunks())
        if (
            _blob(place, named.layers[0]) != expected
            or form.manifest_for(spec.digest_of(expected), len(expected)) != manifest
        ):
            raise BuildError(
                f"{self._run('--version')} writes layers in another form than the one we can foresee",
                "Choose builder=direct, and tell us the version",
            )
        return form

    def _commit(self, container: "Container", destination: str, access: Sequence[str], size: int, count: Count) -> None:
        command = self._command("commit", *_COMMIT, *access, container.name, destination)
        with tempfile.TemporaryFile() as words:
            process = subprocess.Popen(
                command, env=self._environment(), stdout=words, stderr=subprocess.STDOUT, close_fds=False
            )
            try:
                _watch(process, size, count)
            except BaseException:
                process.terminate()
                process.wait()
                raise
            words.seek(0)
            self._check(process.returncode, words.read().decode(errors="replace"))

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            self._command(*arguments),
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            close_fds=False,
        )
        self._check(done.returncode, done.stderr)
        return done.stdout.strip()

    def _check(self, code: int, words: str) -> None:
        if code == 0:
            return
        last = (words.strip().splitlines() or ["no word of why"])[-1].removeprefix("Error: ")
        # A full disk also shows as `io: read/write on closed pipe`.
        if "no space left on device" in words or shutil.disk_usage(self._scratch).free < _NEARLY_FULL_BYTES:
            raise ClaimError(f"the claim at {self._scratch} is full", "Enlarge it and run again: the download is kept")
        if "unauthorized" in words or "authentication required" in words:
            raise CredentialsError(f"the registry refused buildah: {last}", "Check the credentials")
        raise BuildError(f"buildah failed ({code}): {last}")

    def _command(self, *arguments: str) -> list[str]:
        return [*self._program, *arguments]

    def _environment(self) -> dict[str, str]:
        temporary = str(self._temporary)
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_BUILDAH}
        environment |= {"TMPDIR": temporary, "BUILDAH_TMPDIR": temporary}
        # buildah keeps locks in its home, and a random user's is often the root's or none.
        if not os.access(os.environ.get("HOME", ""), os.W_OK):
            environment["HOME"] = temporary
        return environment


def _blob(place: Path, descriptor: spec.Descriptor) -> bytes:
    return (place / descriptor.digest.removeprefix("sha256:")).read_bytes()


def links(layer: Layer, directory: Path) -> bool:
    """Tells whether a layer's files can be linked into a directory, so that containers take no room."""
    device = directory.stat().st_dev
    return all(_is_linkable(entry, device) for entry in layer.entries)


def _is_linkable(entry: Entry, device: int) -> bool:
    if not isinstance(entry.source, OnDisk):
        # It was made of a file that is.
        return False
    try:
        opened = entry.source.open()
    except FileNotFoundError:
        return False
    state = os.fstat(opened)
    os.close(opened)
    return state.st_dev == device and (state.st_uid == os.geteuid() or os.geteuid() == 0)


def _place(entry: Entry, root: Path) -> None:
    """Puts a file into the container without a copy where that can be done, with the owner and mode a layer needs."""
    target = root / entry.path
    parents = [parent for parent in reversed(target.parents) if parent != root and parent.is_relative_to(root)]
    for parent in parents:
        if not parent.exists():
            parent.mkdir()
            os.chown(parent, os.geteuid(), os.getegid())
            parent.chmod(DIRECTORY_MODE)
    if isinstance(entry.source, OnDisk) and _is_linkable(entry, root.stat().st_dev):
        entry.source.link_to(target)
    else:
        with target.open("xb") as copy:
            copy.writelines(entry.source.read())
    os.chown(target, os.geteuid(), os.getegid())
    target.chmod(FILE_MODE)


@contextmanager
def _access(target: Reference, *, insecure: bool) -> Iterator[list[str]]:
    """Options with which buildah reaches the registry as our own client does: the same credentials and authorities."""
    found = credentials.find(target.registry, target.repository)
    with tempfile.TemporaryDirectory() as private:
        options = [f"--tls-verify={str(not insecure).lower()}"]
        certificates = authorities(target.registry)
        for number, certificate in enumerate(certificates):
            Path(private, f"{number}.crt").symlink_to(certificate)
        if certificates:
            options += ["--cert-dir", private]
        if found is not None:
            file = Path(private, "auth.json")
            file.touch(mode=0o600)
            file.write_text(json.dumps({"auths": {target.registry: found.entry()}}))
            options += ["--authfile", str(file)]
        yield options


def _watch(process: subprocess.Popen[bytes], size: int, count: Count) -> None:
    """Waits for buildah and counts what it has written so far, as the kernel accounts it."""
    seen = 0
    while True:
        try:
            process.wait(_SECONDS_BETWEEN_LOOKS)
            break
        except subprocess.TimeoutExpired:
            done = min(_written(process.pid) // _PASSES, size)
            count(max(done - seen, 0))
            seen = max(done, seen)
    count((size if process.returncode == 0 else 0) - seen)


def _written(pid: int) -> int:
    # Only here: what needs no buildah starts sooner without it.
    import psutil

    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        return sum(int(member.io_counters().write_chars) for member in family)
    except (psutil.Error, OSError):
        return 0
