"""An S3 server over a folder: artifacts, logs and the pipelines' own files lie there."""

from pathlib import Path

from tests.kubernetes.kfp.programs import object_store_program
from tests.kubernetes.machine import Machine

PORT = 9000
ACCESS_KEY, SECRET_KEY = "pipelines", "of-the-test-cluster"
BUCKET = "mlpipeline"
REGION = "minio"
"""What the API server, driver and launcher sign for where nothing else is configured."""


def start(machine: Machine, folder: Path) -> None:
    """Starts the server; whoever needs it waits for it.

    Args:
        machine: Where it runs.
        folder: Holds buckets as folders, and objects as files, with what else is known of them beside.
    """
    buckets, described = folder / "buckets", folder / "described"
    # The API server makes its bucket itself.
    buckets.mkdir(parents=True, exist_ok=True)
    described.mkdir(exist_ok=True)
    login = [f"--access={ACCESS_KEY}", f"--secret={SECRET_KEY}", f"--region={REGION}"]
    machine.start(
        "object-store",
        [str(object_store_program()), *login, f"--port=:{PORT}", "posix", f"--sidecar={described}", str(buckets)],
    )
