"""The layer of the default base image: the shell, under the names of the commands that it knows."""

import base64
import io
import lzma
import tarfile
from collections.abc import Iterator
from functools import cache

from modelcar.errors import BuildError, WrongBytesError
from modelcar.image.shell.digests import LAYERS
from modelcar.image.shell.programs import PROGRAMS
from modelcar.oci.spec import digest_of

COMMANDS = ("[", "cat", "echo", "false", "ln", "ls", "mkdir", "rm", "sleep", "test", "touch", "true")
"""Names under which the shell can be called as a program, for `kubectl exec` and for whoever starts the image."""

_DIRECTORY, _PROGRAM = 0o755, 0o755


def make_layer(program: bytes) -> bytes:
    """Returns the layer over a program as a tar file, byte for byte the same each time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        folder = tarfile.TarInfo("bin/")
        folder.type, folder.mode = tarfile.DIRTYPE, _DIRECTORY
        tar.addfile(folder)
        shell = tarfile.TarInfo("bin/sh")
        shell.size, shell.mode = len(program), _PROGRAM
        tar.addfile(shell, io.BytesIO(program))
        for name in COMMANDS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname, link.mode = tarfile.SYMTYPE, "sh", 0o777
            tar.addfile(link)
    return buffer.getvalue()


def read_layer(digest: str, offset: int = 0) -> Iterator[bytes]:
    """Gives the bytes of a layer of the default base image, by its digest, from an offset on.

    Raises:
        BuildError: It is not a layer of this version's base image.
        WrongBytesError: What is installed here is damaged.
    """
    architecture = next((name for name, (known, _) in LAYERS.items() if known == digest), None)
    if architecture is None:
        raise BuildError(f"the default base image has no layer {digest}", "Build the image again with this version")
    try:
        layer = layer_of(architecture)
    except (KeyError, ValueError, lzma.LZMAError):
        layer = b""
    if digest_of(layer) != digest:
        raise WrongBytesError(
            f"the shell for {architecture} in modelcar.image.shell is damaged", "Install modelcar again"
        )
    yield layer[offset:]


@cache
def layer_of(architecture: str) -> bytes:
    """Returns the layer for an architecture, in OCI's words (`amd64`)."""
    packed = "".join(PROGRAMS[architecture].split())
    return make_layer(lzma.decompress(base64.b85decode(packed)))
