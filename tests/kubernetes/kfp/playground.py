"""The backend with all that pipelines talk to, for people: `python -m tests.kubernetes up --kfp`.

As a program, it runs the servers on the control machine, and so ends with the cluster.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.kubernetes.kfp import project
from tests.kubernetes.kfp.backend import PROJECT, Backend
from tests.kubernetes.kfp.surroundings import Surroundings, make_known, surroundings
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.machine import MachineError
from tests.parts.models import tiny_llama

MODEL = "example/tiny-llama"
START_SECONDS = 1200.0
"""The Model Registry's program may have to be built first."""

_REPOSITORY = Path(__file__).parents[3]
_PROCESS = "playground"


def up(cluster: LocalCluster, say: Callable[[str], None] = print) -> None:
    """Starts all that does not run yet.

    Args:
        cluster: A cluster that is up.
        say: Is told what is being done.

    Raises:
        MachineError: Something did not start.
    """
    backend = Backend(cluster)
    if not backend.is_up:
        backend.up(say)
        project.set_up(backend)
    if not _record_file(cluster).exists():
        say("starting a Hub, two registries and a Model Registry")
        place = [f"--chdir={_REPOSITORY}", f"HOME={Path.home()}"]
        module = [sys.executable, "-m", "tests.kubernetes.kfp.playground", str(cluster.folder)]
        cluster.control.start(_PROCESS, ["env", *place, *module])
        deadline = time.monotonic() + START_SECONDS
        while not _record_file(cluster).exists():
            if time.monotonic() > deadline or not cluster.control.is_running(_PROCESS):
                raise MachineError(f"they did not start:\n{cluster.control.log(_PROCESS).read_text()[-5000:]}")
            time.sleep(0.1)


def described(cluster: LocalCluster) -> str:
    """What there is: addresses and logins, as JSON."""
    return json.dumps(json.loads(_record_file(cluster).read_text()), indent=1)


def main(folder: Path) -> None:
    """Runs the servers until it is stopped.

    Args:
        folder: The cluster's.
    """
    cluster = LocalCluster(folder)
    backend = Backend(cluster)
    place = _record_file(cluster).parent
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with surroundings(place, cluster.network.control) as servers:
        servers.hub.publish(MODEL, tiny_llama(place / "model"))
        make_known(servers, backend)
        fresh = place / "record.new"
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(_record(servers, backend)))
        fresh.rename(_record_file(cluster))
        signal.sigwait([signal.SIGTERM, signal.SIGINT])


def _record_file(cluster: LocalCluster) -> Path:
    return cluster.folder / "playground" / "record.json"


def _record(servers: Surroundings, backend: Backend) -> dict[str, Any]:
    return {
        "pipelines": backend.url,
        "namespace": PROJECT,
        "image": backend.cluster.image,
        "hub": servers.hub.url,
        "model": MODEL,
        "model_registry": servers.entries.url,
        "claim": project.CLAIM,
        **{
            name: {
                "host": registry.host,
                "username": registry.username,
                "password": registry.password,
                "ca_file": str(registry.ca_file),
            }
            for name, registry in (("target", servers.target), ("mirror", servers.mirror))
        },
    }


if __name__ == "__main__":
    os.umask(0o022)
    main(Path(sys.argv[1]))
