"""A private PostgreSQL cluster, reachable through a Unix socket only."""

import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.parts.process import StartError, running, wait_until

DEBIAN_PROGRAMS = Path("/usr/lib/postgresql")
"""Folder of Debian's programs, which are in one of their own for each release."""

# Model Registry's migrations say IS JSON, which PostgreSQL 15 does not understand.
_OLDEST = 16
_SUPERUSER = "postgres"
# Without the variables PG…, which would change what the programs do.
_ENVIRONMENT = {"PATH": os.defpath}
# Nothing in the cluster outlives the test run, so nothing needs to be safe on disk.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
}


@dataclass(frozen=True)
class Database:
    """A running cluster's database."""

    dsn: str
    pid: int
    cluster: Path


@contextmanager
def postgresql(folder: Path) -> Iterator[Database]:
    """Runs a fresh cluster until the context is left.

    Its files lie in a short-lived folder of their own directly under the system's temporary folder: a Unix socket's
    path must be short, and the account that runs PostgreSQL in root's place cannot enter other folders.

    Args:
        folder: Takes the log.

    Yields:
        The database.
    """
    programs = _programs()
    user = _account() if os.geteuid() == 0 else None
    log = folder / "postgresql.log"
    with tempfile.TemporaryDirectory(prefix="pg-") as home:
        cluster = Path(home)
        if user:
            shutil.chown(cluster, user)
            programs = _programs_for(user, programs, cluster)
        _create_cluster(programs, cluster, user)
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        command = [str(programs / "postgres"), "-D", str(cluster / "data"), "-k", home, *settings]
        with running(command, log=log, env=_ENVIRONMENT, cwd=cluster, user=user, stop_signal=signal.SIGINT) as process:
            wait_until(process, lambda: _accepts_connections(programs, cluster), log=log)
            dsn = f"host={home} user={_SUPERUSER} dbname=postgres sslmode=disable"
            yield Database(dsn, process.pid, cluster)


def _account() -> str:
    # PostgreSQL refuses to run as root.
    return next((account.pw_name for account in pwd.getpwall() if account.pw_name == _SUPERUSER), "nobody")


def _programs() -> Path:
    candidates = [*sorted(DEBIAN_PROGRAMS.glob("*/bin"), reverse=True), *packaged_programs()]
    for folder in candidates:
        if (folder / "initdb").exists() and _major(folder / "postgres") >= _OLDEST:
            return folder
    raise StartError(
        f"PostgreSQL {_OLDEST} or newer is needed: install the system's postgresql if it is new enough, "
        "or the Python package pgserver (pip install pgserver)"
    )


def _programs_for(user: str, programs: Path, cluster: Path) -> Path:
    """Returns the programs; a copy of them where the account cannot enter their folder, such as one in root's home."""
    try:
        subprocess.run([programs / "postgres", "--version"], cwd=cluster, capture_output=True, check=True, **_as(user))
    except PermissionError:
        package = programs.parents[1]
        # The programs look for their libraries beside the package.
        for part in package.parent.glob(f"{package.name}*"):
            shutil.copytree(part, cluster / part.name)
        for file in cluster.rglob("*"):
            shutil.chown(file, user)
        return cluster / programs.relative_to(package.parent)
    return programs


def _as(user: str) -> dict[str, Any]:
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def packaged_programs() -> list[Path]:
    """Returns the folder of the programs in the Python package pgserver, if that is installed."""
    package = importlib.util.find_spec("pgserver")
    return [Path(package.origin).parent / "pginstall" / "bin"] if package and package.origin else []


def _major(postgres: Path) -> int:
    version = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+", version)
    return int(found[0]) if found else 0


def _create_cluster(programs: Path, cluster: Path, user: str | None) -> None:
    command: list[str | Path] = [programs / "initdb", "-D", cluster / "data", "-U", _SUPERUSER]
    options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
    account = _as(user) if user else {}
    created = subprocess.run(
        [*command, *options], cwd=cluster, env=_ENVIRONMENT, capture_output=True, text=True, **account
    )
    if created.returncode:
        raise StartError(f"initdb failed:\n{created.stdout}{created.stderr}")


def _accepts_connections(programs: Path, cluster: Path) -> bool:
    probe = subprocess.run([programs / "pg_isready", "--quiet", "-h", cluster], env=_ENVIRONMENT)
    return probe.returncode == 0
