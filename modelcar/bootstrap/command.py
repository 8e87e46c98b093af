"""How our code and its packages travel in a container's command, so that a pod needs no image of ours.

kfp can embed a directory as well (`embedded_artifact_path`), but stamps the archive with the time of the compilation
and the files' owners, so that no two compilations give the same YAML.
"""

import base64
import io
import lzma
import os
import tarfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import modelcar
from modelcar.bootstrap import sources
from modelcar.errors import BuildError

LONGEST_ARGUMENT = 128 << 10
"""Linux's MAX_ARG_STRLEN: no single argument of a process may be longer, with the zero at its end."""

REQUIREMENTS = "MODELCAR_REQUIREMENTS"
"""Names the packages that the bootstrap installed, for a step that hands our code on; unset where it did nothing."""

# $0 is the archive, $1 the packages and $2 our version; the command follows. Where modelcar is installed, as under
# kfp's local runner and in our own image, there is nothing to do.
BOOTSTRAP = f"""\
if ! python3 -P -c 'import importlib.metadata as m, sys
sys.exit(m.version("modelcar-pipelines") != sys.argv[1])' "$2" 2>/dev/null; then
  place=$(mktemp -d)
  python3 -c 'import base64, io, sys, tarfile
tarfile.open(fileobj=io.BytesIO(base64.b64decode(sys.argv[1])), mode="r:xz").extractall(sys.argv[2])' "$0" "$place"
  printf "%s\\n" "$1" > "$place/requirements.txt"
  python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps \\
    --target "$place" --requirement "$place/requirements.txt"
  export PYTHONPATH="$place${{PYTHONPATH:+:$PYTHONPATH}}" {REQUIREMENTS}="$place/requirements.txt"
fi
shift 2
exec "$@"
"""
_LENGTH = len(["sh", "-ec", BOOTSTRAP, "archive", "packages", "version"])


def carrying(command: Sequence[str], packages: str, code: str = "") -> list[str]:
    """A command that brings our code and its packages with it.

    Args:
        command: What is run once they are there.
        packages: Lines of a requirements.txt in which every package is pinned.
        code: What will import our modules: only what it needs is brought. Empty: all that is there.

    Raises:
        BuildError: A part of it is longer than Linux lets an argument be.
    """
    whole = ["sh", "-ec", BOOTSTRAP, archive(code), packages, modelcar.__version__, *command]
    longest = max(len(part.encode()) for part in whole)
    if longest >= LONGEST_ARGUMENT:
        raise BuildError(
            f"an argument of the step's command has {longest} bytes and may have {LONGEST_ARGUMENT - 1}",
            "Use an image that holds modelcar: modelcar compile --image",
        )
    return whole


def handed_on(command: Sequence[str]) -> list[str]:
    """A command for another pod of this one's image, with our code and its packages where this pod was given them."""
    requirements = os.environ.get(REQUIREMENTS)
    return carrying(command, Path(requirements).read_text().strip()) if requirements else list(command)


def without_bootstrap(command: list[str]) -> list[str]:
    """What a command runs once all is there, for an image that has all of it."""
    return command[_LENGTH:] if command[2:3] == [BOOTSTRAP] else command


@cache
def archive(code: str = "") -> str:
    """Our code as base64 of a tar.xz, byte-stable: sorted, without times and owners.

    Args:
        code: What will import it: only what it needs is packed. Empty: all that is there.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sources.needed(code) if code else sources.every():
            member = tarfile.TarInfo(f"{modelcar.__name__}/{path.relative_to(sources.ROOT).as_posix()}")
            content = sources.stripped(path.read_text()).encode()
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return base64.b64encode(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME)).decode()
