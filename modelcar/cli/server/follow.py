"""Follows a run in a cluster to its end. kfp's own waiting never ends for a run that was cancelled."""

import time
from collections.abc import Callable
from typing import Protocol

from modelcar.cli.server.client import Client
from modelcar.cli.server.run_view import CONTAINER, RUNNING, WAITING, RunView, Step, view
from modelcar.cluster.pod_log import PodLog
from modelcar.errors import ClusterError

POLL_SECONDS = 3.0
PATIENCE_SECONDS = 600.0
"""Time that a server may be silent: as long as an upgrade of it takes."""

_LAST_LINES_SECONDS = 10.0


class Show(Protocol):
    """A display of a run's progress."""

    def update(self, run: RunView) -> None:
        """Takes what is known now."""

    def line(self, step: str, text: str) -> None:
        """Takes a line of a step's log."""

    def trouble(self, text: str) -> None:
        """Takes what hinders us, not the run."""


def follow(client: Client, run_id: str, show: Show, *, with_logs: bool = False) -> RunView:
    """Looks at a run again and again until it has ended.

    Args:
        client: The server.
        run_id: The run's id.
        show: Where its progress goes.
        with_logs: Whether the steps' logs go there too.

    Raises:
        ClusterError: The server refused, or has been silent for `PATIENCE_SECONDS`. The run goes on.
    """
    logs = _Logs(client, show.line) if with_logs else None
    last_well = time.monotonic()
    while True:
        try:
            run = view(client, run_id)
        except ClusterError as error:
            if not error.may_pass or time.monotonic() - last_well > PATIENCE_SECONDS:
                again = f"See it again: modelcar status {run_id}"
                remedy = f"{error.remedy}. {again}" if error.remedy else again
                raise ClusterError(f"{error.what}. The run goes on", remedy) from None
            show.trouble(f"{error.what}; trying again")
        else:
            last_well = time.monotonic()
            if logs is not None:
                logs.take_in(run)
            show.update(run)
            if run.has_ended:
                return run
        time.sleep(POLL_SECONDS)


class _Logs:
    """The logs of a run's steps, each copied by a thread from when its pod has a node until it has ended."""

    def __init__(self, client: Client, write: Callable[[str, str], None]) -> None:
        self._cluster = client.cluster
        self._write = write
        self._logs: dict[str, PodLog] = {}

    def take_in(self, run: RunView) -> None:
        """Begins with the logs of pods that are new, and ends with those that will not say more."""
        if self._cluster is None:
            return
        for step in run.steps:
            if step.pod and step.pod not in self._logs and step.node:
                self._logs[step.pod] = PodLog(self._cluster, step.pod, CONTAINER, self._to(step))
        still = {step.pod for step in run.steps if step.state in (WAITING, RUNNING)}
        for pod in self._logs.keys() - still:
            self._logs[pod].is_over.set()
        if run.has_ended:
            for log in self._logs.values():
                log.join(_LAST_LINES_SECONDS)

    def _to(self, step: Step) -> Callable[[str], None]:
        return lambda line: self._write(step.title, line)
