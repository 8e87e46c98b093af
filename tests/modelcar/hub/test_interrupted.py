"""Runs that are told to end while the Hub says nothing: they do, and say so."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.parts.fault_proxy import FaultProxy
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import PROGRAMS

REPO = "org/interrupted"
BEGIN = (
    "import sys; from pathlib import Path; from modelcar.records.termination_message import exit_with_one_line\n"
    "with exit_with_one_line():\n    "
)
GENEROUS_SECONDS = 60
"""It takes some two seconds; a busy machine may take longer."""


@pytest.mark.parametrize("step", ["download", "stream"])
@pytest.mark.parametrize("silent", ["/api/models/", "/cdn/"])
def test_silent_hub_does_not_keep_a_run_that_is_told_to_end(
    step: str, silent: str, hub: Hub, plain_registry: Registry, tmp_path: Path
) -> None:
    hub.publish(REPO, {"model.gguf": os.urandom(9 << 20)})
    storage = hub.storage
    with FaultProxy(storage) as cdn, FaultProxy(hub.url.removeprefix("http://"), {storage: cdn.host}) as front:
        for proxy in (cdn, front):
            proxy.delay(10 * GENEROUS_SECONDS, path=silent, times=None)
        target = str(tmp_path / "claim") if step == "download" else f"{plain_registry.host}/interrupted/run:1"
        command = [sys.executable, "-c", BEGIN + PROGRAMS[step], REPO, target]
        environment = {**os.environ, "HF_ENDPOINT": f"http://{front.host}"}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as run:
            while not any(silent in request.path for proxy in (cdn, front) for request in proxy.requests):
                assert run.poll() is None
                time.sleep(0.05)
            run.send_signal(signal.SIGTERM)
            _, said = run.communicate(timeout=GENEROUS_SECONDS)

    assert run.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in said
