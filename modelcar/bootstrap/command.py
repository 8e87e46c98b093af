"""The command of a step's container, and how our code and its packages reach the pod.

There are three ways, and one shell script for all of them: the code travels in the command itself (the default), is
installed as a published package, or is in the image already, where there is nothing to do.

kfp can embed a directory as well (`embedded_artifact_path`), but stamps the archive with the time of the compilation
and the files' owners, so that no two compilations give the same YAML.
"""

import base64
import bz2
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import modelcar
from modelcar import pod
from modelcar.bootstrap import sources, unpack
from modelcar.errors import BuildError

MAX_ARGUMENT_BYTES = 128 << 10
"""Linux's MAX_ARG_STRLEN: no single argument of a process may be longer, with the zero at its end."""

DISTRIBUTION = "modelcar-pipelines"
"""Our name in package indexes."""

PART_BYTES = 64 << 10
"""An archive that is longer is given in parts, one argument each."""

# $0 is our version, $1 the lines of a requirements.txt, $2 a program that unpacks our code (modelcar.bootstrap.unpack),
# and $3 how many of its arguments follow, or 0 where there is nothing to unpack; then comes the command.
# Python compiles what a step imports, which is less than pip would compile of kubernetes and botocore.
# Where that version is installed, as in an image of one's own or under kfp's local runner, nothing is done. In an image
# that begins in /, Python would take the claim's directory for our package, for it is called modelcar; hence SAFEPATH.
BOOTSTRAP = f"""\
requirements=$1 unpack=$2 parts=$3
shift 3
export PYTHONSAFEPATH=1
if ! python3 -P -c 'import importlib.metadata as m, sys
sys.exit(m.version("{DISTRIBUTION}") != sys.argv[1])' "$0" 2>/dev/null; then
  place=$(mktemp -d)
  [ "$parts" = 0 ] || python3 -c "$unpack" "$place" "$parts" "$@"
  printf "%s\\n" "$requirements" > "$place/requirements.txt"
  python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile \\
    --no-deps --target "$place" --requirement "$place/requirements.txt"
  export PYTHONPATH="$place${{PYTHONPATH:+:$PYTHONPATH}}" {pod.REQUIREMENTS}="$place/requirements.txt"
fi
shift "$parts"
exec "$@"
"""

_SHELL = ["sh", "-ec", BOOTSTRAP]
_PUBLISHED = re.compile(rf"^{DISTRIBUTION}==(\S+)$", re.MULTILINE)


class Bootstrapped(NamedTuple):
    """A command that brings our code with it, in its parts.

    Attributes:
        archive: The code (`archive`), or that the run holds it (`reference`; before the pipeline is compiled
            `unpack.IN_RUN`); empty if the requirements name it.
        requirements: Lines of a requirements.txt in which every package is pinned.
        version: The version of our code.
        command: What is run once all is there.
    """

    archive: str
    requirements: str
    version: str
    command: list[str]

    @classmethod
    def parse(cls, command: Sequence[str]) -> "Bootstrapped | None":
        """Returns the parts of a command; None if it brings no code of ours."""
        if list(command[: len(_SHELL)]) != _SHELL:
            return None
        version, requirements, _, parts, *rest = command[len(_SHELL) :]
        return cls("".join(rest[: int(parts)]), requirements, version, rest[int(parts) :])

    def whole(self) -> list[str]:
        """Returns the command.

        Raises:
            BuildError: A part of it is longer than Linux lets an argument be.
        """
        parts = [self.archive[start : start + PART_BYTES] for start in range(0, len(self.archive), PART_BYTES)]
        program = sources.bare(Path(unpack.__file__).read_text()) if parts else ""
        whole = [*_SHELL, self.version, self.requirements, program, str(len(parts)), *parts, *self.command]
        longest = max(len(part.encode()) for part in whole)
        if longest >= MAX_ARGUMENT_BYTES:
            raise BuildError(
                f"an argument of the step's command has {longest} bytes and may have {MAX_ARGUMENT_BYTES - 1}",
                "Use an image that holds modelcar: modelcar compile --image",
            )
        return whole


def self_contained_command(command: Sequence[str], requirements: str, code: str = "") -> list[str]:
    """Returns a command that brings our code and its packages with it.

    Args:
        command: What is run once they are there.
        requirements: Lines of a requirements.txt in which every package is pinned.
        code: What will import our modules: only what it needs is brought. Empty: all that is there.

    Raises:
        BuildError: A part of it is longer than Linux lets an argument be.
    """
    return Bootstrapped(archive(code), requirements, modelcar.__version__, list(command)).whole()


def sharing_command(command: Sequence[str], requirements: str) -> list[str]:
    """Returns a command that brings its packages, and takes our code from where `compile_pipeline` will put it.

    Args:
        command: What is run once they are there.
        requirements: Lines of a requirements.txt in which every package is pinned.
    """
    return Bootstrapped(unpack.IN_RUN, requirements, modelcar.__version__, list(command)).whole()


def command_for_other_pod(command: Sequence[str]) -> list[str]:
    """Returns a command for another pod of this one's image, which brings our code as this pod's own command did."""
    file = os.environ.get(pod.REQUIREMENTS)
    if not file:
        return list(command)
    requirements = Path(file).read_text().strip()
    published = _PUBLISHED.search(requirements)
    if published:
        return Bootstrapped("", requirements, published[1], list(command)).whole()
    return self_contained_command(command, requirements)


@cache
def archive(code: str = "") -> str:
    """Packs our code: base85 of a tar.bz2, byte-stable: sorted, without times and owners.

    Args:
        code: What will import it: only what it needs is packed. Empty: all that is there.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, source in (sources.needed(code) if code else sources.every()).items():
            member = tarfile.TarInfo(f"{modelcar.__name__}/{path.relative_to(sources.ROOT).as_posix()}")
            content = source.encode()
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    # Of text of this size bzip2 makes less than xz does.
    text = base64.b85encode(bz2.compress(buffer.getvalue())).decode()
    return text.translate(str.maketrans(unpack.B85, unpack.OURS))


def unpacked(archive: str) -> bytes:
    """Returns the tar.bz2 of an archive."""
    return base64.b85decode(archive.translate(str.maketrans(unpack.OURS, unpack.B85)))


def reference(archive: str) -> str:
    """Returns what stands in the place of an archive that the run's Workflow holds."""
    return f"{unpack.IN_RUN}{hashlib.sha256(archive.encode()).hexdigest()}"


def marked_parts(archive: str) -> list[str]:
    """Returns the parts of an archive as a run's Workflow holds them, where steps find them by their reference."""
    starts = range(0, len(archive), PART_BYTES)
    return [f"{reference(archive)}:{n}:{archive[start : start + PART_BYTES]}" for n, start in enumerate(starts)]
