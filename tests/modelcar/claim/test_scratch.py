"""Working directories of builds, where the user may write and where not."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcar import pod
from modelcar.claim.folder import Folder
from modelcar.claim.scratch import remove_all_abandoned, scratch
from tests.parts.other_account import CLOSED, RESTRICTED, may_enter

WORKS = """
import sys
from pathlib import Path
from modelcar.claim.folder import Folder
from modelcar.claim.scratch import scratch
with scratch(Folder(Path(sys.argv[1]))) as place:
    print(place.parent)
    if len(sys.argv) > 2:
        import os
        os._exit(0)
"""


@pytest.fixture
def claim() -> Iterator[Path]:
    """Give a claim with a download's directory, which its owner alone may write; root's group may write at the top."""
    # pytest's own folders are for its user alone.
    with tempfile.TemporaryDirectory() as folder:
        (ours := Path(folder, "model", "commit", ".modelcar")).mkdir(parents=True)
        Path(folder).chmod(0o775)
        for path in (ours, *ours.parents[:2]):
            path.chmod(0o755)
        yield Path(folder)


def worked(claim: Path, *arguments: str) -> str:
    """Works as a random user of group 0, and returns where."""
    if not may_enter():
        pytest.skip(CLOSED)
    command = [*RESTRICTED.split(), sys.executable, "-c", WORKS, str(claim / "model/commit/.modelcar"), *arguments]
    environment = {**os.environ, pod.LOCAL_CLAIM: str(claim), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_is_beside_the_download_where_that_may_be_written(tmp_path: Path) -> None:
    with scratch(Folder(tmp_path)) as place:
        assert place.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="makes directories of another user")
def test_it_is_at_the_claims_top_where_the_download_is_another_users(claim: Path) -> None:
    assert worked(claim) == str(claim / ".modelcar")
    assert list((claim / ".modelcar").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="makes directories of another user")
def test_leavings_of_a_killed_build_go_with_the_next_and_the_report(claim: Path) -> None:
    worked(claim, "killed")
    assert len(list((claim / ".modelcar").iterdir())) == 1
    worked(claim)
    assert list((claim / ".modelcar").iterdir()) == []

    worked(claim, "killed")
    assert remove_all_abandoned(claim) == 1
    assert list((claim / ".modelcar").iterdir()) == []
