"""buildah without privilege: as any user where a user namespace may be made, and named where it may not."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcar.image import builder
from modelcar.steps.download import Downloaded
from tests.parts.other_account import CLOSED, RESTRICTED, may_enter
from tests.parts.registries import Registry
from tests.parts.steps import build

# What a node's seccomp profile or sysctl says, for this process and its children alone.
NO_NAMESPACES = (
    "unshare",
    "--map-root-user",
    "sh",
    "-c",
    'echo 0 > /proc/sys/user/max_user_namespaces; exec "$0" "$@"',
)
WITHOUT_CAPABILITIES = "setpriv --bounding-set -all --inh-caps -all"

ASKS = "from modelcar.image import builder; print(builder.may_run_here())"
BUILDS = """
import sys
from pathlib import Path
from modelcar.image.request import ImageRequest
from modelcar.records.termination_message import exit_with_one_line
from modelcar.steps.build import BuildRequest, build
with exit_with_one_line():
    request = BuildRequest(directory=Path(sys.argv[1]), image=ImageRequest(sys.argv[2]), builder=sys.argv[3])
    print(build(request).image.digest)
"""


def run(confinement: list[str], *arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(home), "TMPDIR": "/tmp"}
    command = [*confinement, sys.executable, "-c", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=600)


@pytest.fixture
def opened(downloaded: Downloaded) -> Iterator[Path]:
    """Give a copy of the download whose owner is a random user, as a download step leaves it on a claim."""
    # pytest's own folders are for its user alone.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        copy = Path(folder, "claim")
        subprocess.run(["cp", "-r", downloaded.directory, copy], check=True)
        subprocess.run(["chown", "-R", "1000700000:0", copy], check=True)
        subprocess.run(["chmod", "-R", "g+rwX", copy], check=True)
        yield copy


@pytest.mark.parametrize("home", ["/tmp", "/root", "/nowhere"])
def test_any_user_may_build_and_gets_the_same_image(
    home: str, plain_registry: Registry, downloaded: Downloaded, opened: Path
) -> None:
    if not may_enter():
        pytest.skip(CLOSED)
    assert run(RESTRICTED.split(), ASKS, home=Path(home)).stdout == "True\n"

    target = f"{plain_registry.host}/random/of{home}:1"
    done = run(RESTRICTED.split(), BUILDS, str(opened), target, "buildah", home=Path(home))

    assert done.returncode == 0, done.stderr
    other = build(downloaded.directory, f"{plain_registry.host}/random/direct:1", builder="direct")
    assert done.stdout.splitlines()[-1] == other.image.digest


def test_without_user_namespaces_buildah_is_refused_and_auto_does_without(
    plain_registry: Registry, opened: Path, tmp_path: Path
) -> None:
    confined = [*NO_NAMESPACES, *WITHOUT_CAPABILITIES.split()]
    assert run(confined, ASKS, home=tmp_path).stdout == "False\n"

    refused = run(confined, BUILDS, str(opened), f"{plain_registry.host}/no/namespace:1", "buildah", home=tmp_path)
    done = run(confined, BUILDS, str(opened), f"{plain_registry.host}/no/namespace:1", "auto", home=tmp_path)

    assert refused.returncode == 1
    assert "may not make a user namespace in this pod" in refused.stderr
    assert "build_mode=auto" in refused.stderr
    assert "builder=direct" in refused.stderr
    assert done.returncode == 0, done.stderr
    assert list((opened / ".modelcar").glob("build-*")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="asks about root")
def test_a_privileged_root_needs_no_namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert builder.may_run_here()
