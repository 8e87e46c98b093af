"""Components that need no image of ours: our code travels inside them, and the packages it needs are pinned.

kfp can embed a directory as well (`embedded_artifact_path`), but stamps the archive with the time of the compilation
and the files' owners, so that no two compilations give the same YAML.
"""

import base64
import io
import lzma
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import kfp
from kfp import dsl

import modelcar

BASE_IMAGE = "registry.access.redhat.com/ubi9/python-311:latest"
"""Has Python and pip, runs as any UID in group 0, needs no login and is not rate limited."""

# $0 is the archive and $1 the packages; the component's own command follows. Where modelcar is installed, as under
# kfp's local runner and in our own image, there is nothing to do.
BOOTSTRAP = """\
if ! python3 -P -c 'import importlib.metadata as m, sys
sys.exit(m.version("modelcar-pipelines") != sys.argv[1])' "$2" 2>/dev/null; then
  place=$(mktemp -d)
  python3 -c 'import base64, io, sys, tarfile
tarfile.open(fileobj=io.BytesIO(base64.b64decode(sys.argv[1])), mode="r:xz").extractall(sys.argv[2])' "$0" "$place"
  printf "%s\\n" "$1" > "$place/requirements.txt"
  python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps \\
    --target "$place" --requirement "$place/requirements.txt"
  export PYTHONPATH="$place${PYTHONPATH:+:$PYTHONPATH}"
fi
shift 2
exec "$@"
"""
_LENGTH = len(["sh", "-ec", BOOTSTRAP, "archive", "packages", "version"])
_OUR_CODE = Path(modelcar.__file__).parent
_LEFT_OUT = ("cli", "components", "pipelines", "__pycache__")


def self_contained(folder: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Makes a function a component that carries our code and its packages with it.

    Args:
        folder: `__file__` of the component; beside it lies requirements.txt, in which every package is pinned.
        **options: Passed on to `dsl.component`.
    """

    def wrap(function: Callable[..., Any]) -> Any:
        component = dsl.component(function, base_image=BASE_IMAGE, install_kfp_package=False, **options)
        container = component.component_spec.implementation.container
        packages = f"{_pinned(Path(folder).parent / 'requirements.txt')}\nkfp=={kfp.__version__}"
        container.command = ["sh", "-ec", BOOTSTRAP, archive(), packages, modelcar.__version__, *container.command]
        return component

    return wrap


def without_bootstrap(command: list[str]) -> list[str]:
    """The command of a component without what makes it self-contained, for an image that has all of it."""
    return command[_LENGTH:] if command[2:3] == [BOOTSTRAP] else command


@cache
def archive() -> str:
    """Our code as base64 of a tar.xz, byte-stable: sorted, without times and owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(_OUR_CODE.rglob("*.py")):
            inside = path.relative_to(_OUR_CODE)
            if inside.parts[0] not in _LEFT_OUT and "__pycache__" not in inside.parts:
                member = tarfile.TarInfo(f"modelcar/{inside.as_posix()}")
                content = path.read_bytes()
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return base64.b64encode(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME)).decode()


def _pinned(requirements: Path) -> str:
    lines = (line.split("#")[0].strip() for line in requirements.read_text().splitlines())
    return "\n".join(line for line in lines if line)
