"""PostgreSQL, which refuses to run as root, where root's account alone can enter the folder of its programs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.parts import postgresql


@pytest.mark.skipif(os.geteuid() != 0, reason="another account runs it in root's place alone")
def test_programs_in_roots_home_are_run_by_another_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (programs,) = postgresql.packaged_programs()
    package, closed = programs.parents[1], tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for part in package.parent.glob(f"{package.name}*"):
        shutil.copytree(part, closed / part.name)
    monkeypatch.setattr(postgresql, "packaged_programs", lambda: [closed / programs.relative_to(package.parent)])
    monkeypatch.setattr(postgresql, "DEBIAN_PROGRAMS", tmp_path)

    with postgresql.postgresql(tmp_path) as database:
        owner = Path("/proc", str(database.pid)).stat().st_uid
        answer = subprocess.run(
            [programs / "psql", database.dsn, "--tuples-only", "--command", "SELECT 1 + 1"],
            capture_output=True,
            text=True,
            check=True,
        )

    assert owner != 0
    assert answer.stdout.strip() == "2"
    assert not database.cluster.exists()
