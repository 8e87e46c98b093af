"""ML Metadata, which driver and launcher tell of executions and artifacts."""

from pathlib import Path

from tests.kubernetes.kfp.python import environment
from tests.kubernetes.machine import Machine

PORT = 8080
_SERVER = Path(__file__).with_name("metadata_server.py")


def start(machine: Machine, folder: Path) -> None:
    """Starts the service; whoever needs it waits for it.

    Args:
        machine: Where it runs.
        folder: Holds its database.
    """
    folder.mkdir(parents=True, exist_ok=True)
    python = environment() / "bin" / "python"
    machine.start("metadata", [str(python), str(_SERVER), str(PORT), str(folder / "metadata.sqlite")])
