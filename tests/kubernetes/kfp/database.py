"""MariaDB, which OpenShift AI's operator deploys as well: what the API server knows lies there."""

import time
from pathlib import Path

from tests.kubernetes.machine import Machine, MachineError

PORT = 3306
START_SECONDS = 600.0

_SOCKET = Path("/run/mariadb.socket")
"""On the machine; a socket's path must be short."""

_INSTALL = ("--user=root", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
# Nothing in it outlives the cluster, so nothing needs to be safe on disk.
_SETTINGS = (
    "--user=root",
    "--bind-address=127.0.0.1",
    f"--port={PORT}",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--performance-schema=off",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
)


def start(machine: Machine, folder: Path) -> None:
    """Starts an empty database, or the one that the folder holds, and waits until it answers.

    Args:
        machine: Where it runs, for clients on that machine only.
        folder: Holds its files.

    Raises:
        MachineError: It did not start; with its log.
    """
    data, temporary = folder / "data", folder / "temporary"
    places = (f"--datadir={data}", f"--tmpdir={temporary}")
    # A starting server removes what others have left in its folder of temporary tables, and what a running one has in
    # use there: where two clusters share /tmp, the one that is there already dies of it.
    temporary.mkdir(parents=True, exist_ok=True)
    if not (data / "mysql").exists():
        data.mkdir(exist_ok=True)
        machine.run("mariadb-install-db", "--no-defaults", *places, *_INSTALL)
    machine.start("mariadb", ["mariadbd", "--no-defaults", *places, f"--socket={_SOCKET}", *_SETTINGS])
    deadline = time.monotonic() + START_SECONDS
    while not (machine.root / _SOCKET.relative_to("/")).exists():
        if time.monotonic() > deadline or not machine.is_running("mariadb"):
            raise MachineError(f"MariaDB is not ready:\n{machine.log('mariadb').read_text()[-5000:]}")
        time.sleep(0.1)
