"""The images that pods run, made of this machine's own files: nothing is pulled, for there may be no network.

`localhost/tiny:test` has a shell and a few commands, and is the pods' sandbox as well. `localhost/modelcar:test` adds
Python, buildah, our packages at the versions of this environment, and this repository's code as a wheel would lay it
out. KFP's launcher is not in it.
"""

import hashlib
import importlib.metadata
import io
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.kubernetes.file_layer import FileLayer
from tests.kubernetes.node import SANDBOX_IMAGE

IMAGE = "localhost/modelcar:test"
TINY_IMAGE = SANDBOX_IMAGE

_REPOSITORY = Path(__file__).parents[2]
_COMMANDS = (
    *("sh", "cat", "chmod", "cp", "dd", "df", "du", "env", "false", "grep", "head", "id", "ln", "ls", "mkdir"),
    *("mktemp", "mv", "rm", "sleep", "stat", "sync", "tail", "test", "timeout", "touch", "true", "unshare", "wc"),
)
_FOR_WHEELS = tuple(
    f"lib{name}"
    for name in (
        "gcc_s.so.1",
        "stdc++.so.6",
        "m.so.6",
        "dl.so.2",
        "rt.so.1",
        "pthread.so.0",
        "util.so.1",
        "resolv.so.2",
    )
)
_SETTINGS = ("/etc/containers/policy.json", "/etc/protocols", "/etc/services")
_LOADER_NAMES = re.compile(r"(?:=> )?(/\S+) \(0x")
SITE = PurePosixPath("usr/local/lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
_NOT_NEEDED = (
    *("__pycache__", "test", "tests", "idlelib", "tkinter", "ensurepip", "site-packages", "dist-packages"),
    # Debian's word to pip that it shall install nothing.
    "EXTERNALLY-MANAGED",
)
_ENTRY = "import sys; from modelcar.cli.program import main; sys.exit(main())"
_OCI = "application/vnd.oci.image"


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes:
        name: Its name with the tag.
        layers: Tar streams.
        entrypoint: What runs where a pod names no command.
    """

    name: str
    layers: Sequence[bytes]
    entrypoint: Sequence[str] = ()


def write_archive(path: Path) -> Path:
    """Writes both images into an archive, see `write_images`.

    Args:
        path: The file.

    Returns:
        The path.
    """
    tiny, *further = python_layers()
    return write_images(
        path,
        Image(TINY_IMAGE, [tiny], entrypoint=["/usr/bin/sleep", "infinity"]),
        Image(IMAGE, [tiny, *further, _code_layer()]),
    )


def write_images(path: Path, *images: Image) -> Path:
    """Writes images into an archive that containerd and skopeo read (an OCI layout).

    Args:
        path: The file.
        images: What to write into it.

    Returns:
        The path.
    """
    with tarfile.open(path, "w") as archive:
        index = {"schemaVersion": 2, "manifests": [_image(archive, image) for image in images]}
        _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(archive, "index.json", json.dumps(index).encode())
    return path


def python_layers() -> list[bytes]:
    """Returns layers with a shell, Python and our packages, for images of other programs."""
    return [tiny_layer(), _python_layer(), _packages_layer()]


def write_python_image(path: Path, name: str) -> Path:
    """Writes an image into an archive that has Python and pip, and no package of ours: steps install what they need.

    Args:
        path: The file.
        name: The image's name with the tag.

    Returns:
        The path.
    """
    layer = FileLayer()
    _add_package(layer, "pip")
    return write_images(path, Image(name, [tiny_layer(), _python_layer(), layer.finished()]))


def write_image_with(path: Path, name: str, *packages: str) -> Path:
    """Writes an image like `localhost/modelcar:test` into an archive, with more packages of this environment.

    Args:
        path: The file.
        name: The image's name with the tag.
        *packages: Packages that it has as well, with all that they need.

    Returns:
        The path.
    """
    layer = FileLayer()
    there = {*_packages()}
    bundled = [file for package in _needed(packages) - there for file in _add_package(layer, package)]
    add_libraries(layer, bundled, {library.resolve() for library in bundled})
    return write_images(path, Image(name, [*python_layers(), layer.finished(), _code_layer()]))


def _needed(packages: Iterable[str]) -> set[str]:
    """Returns packages with all that they need, as far as they are installed here."""
    found: set[str] = set()
    left = [canonicalize_name(one) for one in packages]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or ():
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                left.append(canonicalize_name(wanted.name))
    return found


def tiny_layer() -> bytes:
    """Returns a layer with a shell and a few commands, and the libraries that they need."""
    layer = FileLayer()
    for name in ("bin", "sbin", "lib", "lib64"):
        layer.link(name, f"usr/{name}")
    for name in ("tmp", "var/tmp"):
        layer.directory(name, 0o1777)
    layer.directory("root")
    layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    layer.file("etc/group", b"root:x:0:\n")
    layer.file("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n")
    _add_programs(layer, [_program(name) for name in _COMMANDS])
    return layer.finished()


def _python_layer() -> bytes:
    layer = FileLayer()
    standard = Path(sysconfig.get_path("stdlib"))
    layer.tree(SITE.parent, standard, _NOT_NEEDED)
    # Debian's own Python looks for packages in another folder.
    layer.link(SITE.with_name("dist-packages"), SITE.name)
    for name in ("python", "python3", SITE.parent.name):
        layer.file(f"usr/local/bin/{name}", Path(sys.executable).resolve())
    add_libraries(layer, [Path(sys.executable).resolve(), *standard.glob("lib-dynload/*.so")])
    # Wheels rely on them, and every image with Python has them (PEP 513, manylinux).
    for library in (Path("/usr/lib", sysconfig.get_config_var("MULTIARCH"), name) for name in _FOR_WHEELS):
        layer.file(PurePosixPath(library), library.resolve())
    return layer.finished()


def _packages_layer() -> bytes:
    layer = FileLayer()
    for setting in _SETTINGS:
        if Path(setting).exists():
            layer.file(setting, Path(setting))
    bundled = [library for package in _packages() for library in _add_package(layer, package)]
    _add_programs(layer, [_program("buildah")])
    add_libraries(layer, bundled, {library.resolve() for library in bundled})
    return layer.finished()


def _add_package(layer: FileLayer, name: str) -> list[Path]:
    """Adds an installed package; returns the libraries that it brings along."""
    libraries = []
    for file in importlib.metadata.distribution(name).files or ():
        source = Path(str(file.locate()))
        if ".." not in file.parts and "__pycache__" not in file.parts and source.is_file():
            layer.file(SITE / file, source)
            if ".so" in source.suffixes:
                libraries.append(source)
    return libraries


def _code_layer() -> bytes:
    layer = FileLayer()
    # modelcar/components and modelcar/pipelines are links, which are followed.
    layer.tree(SITE / "modelcar", _REPOSITORY / "modelcar")
    layer.file("usr/local/bin/modelcar", f"#!/usr/local/bin/python3\n{_ENTRY}\n".encode(), 0o755)
    return layer.finished()


def _packages() -> Iterator[str]:
    for line in (_REPOSITORY / "requirements" / "runtime.txt").read_text().splitlines():
        if found := re.match(r"([\w.-]+)==", line):
            yield found[1]


def _program(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    return Path(found)


def _add_programs(layer: FileLayer, programs: list[Path]) -> None:
    for program in programs:
        layer.file(f"usr/bin/{program.name}", program.resolve())
    add_libraries(layer, [program.resolve() for program in programs])


def add_libraries(layer: FileLayer, binaries: list[Path], there: Collection[Path] = ()) -> None:
    """Adds what the dynamic loader would load, but for the libraries that are there anyway."""
    done = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False)
    for name in sorted(set(_LOADER_NAMES.findall(done.stdout))):
        library = Path(name)
        if library.resolve() in there:
            continue
        if library.parts[1] in ("lib", "lib64"):
            library = Path("/usr", *library.parts[1:])
        # The loader looks into its own folder for what is not where it was here, such as Python's library.
        place = (
            library
            if library.parts[1] == "usr"
            else Path("/usr/lib", sysconfig.get_config_var("MULTIARCH"), library.name)
        )
        layer.file(PurePosixPath(place), Path(name).resolve())


def _image(archive: tarfile.TarFile, image: Image) -> dict[str, Any]:
    described = [_blob(archive, "layer.v1.tar", layer) for layer in image.layers]
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[sysconfig.get_platform().rpartition("-")[2]],
        "os": "linux",
        "config": {
            "Entrypoint": list(image.entrypoint),
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin"],
            "WorkingDir": "/tmp",
        },
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in described]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _blob(archive, "config.v1+json", json.dumps(config).encode()),
        "layers": described,
    }
    descriptor = _blob(archive, "manifest.v1+json", json.dumps(manifest).encode())
    return {**descriptor, "annotations": {"io.containerd.image.name": image.name}}


def _blob(archive: tarfile.TarFile, kind: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    name = f"blobs/sha256/{digest}"
    if name not in archive.getnames():
        _add(archive, name, content)
    return {"mediaType": f"{_OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(content)}


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
