"""A pod's log, copied into this process's own."""

import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import urllib3

from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, server_message

_PAUSE_SECONDS = 1.0
_REFUSED_PAUSE_SECONDS = 15.0
_SILENT_SECONDS = 60


def _into_own_log(line: str) -> None:
    print(line, flush=True)


class PodLog(threading.Thread):
    """Copies a pod's log, through broken connections, each line once.

    Args:
        cluster: Where the pod is.
        pod: Its name.
        container: Which of its containers.
        write: Takes each line; by default it goes into this step's own log.

    Attributes:
        is_over: Is set when no more will be written.
    """

    def __init__(
        self, cluster: Cluster, pod: str, container: str, write: Callable[[str], None] = _into_own_log
    ) -> None:
        super().__init__(daemon=True)
        self.is_over = threading.Event()
        self._cluster = cluster
        self._pod = pod
        self._container = container
        self._write = write
        self._copied = 0
        self.start()

    def run(self) -> None:
        """Copies until the log is over."""
        from kubernetes import client

        is_refused = False
        while True:
            over = self.is_over.is_set()
            try:
                self._copy()
            except client.ApiException as error:
                if error.status == HTTPStatus.FORBIDDEN and not is_refused:
                    self._write(f"the log of pod {self._pod} cannot be followed: {server_message(error)}")
                    is_refused = True
            except (urllib3.exceptions.HTTPError, OSError):
                pass
            if over:
                return
            # A server that has just started refuses what it will allow in a moment.
            self.is_over.wait(_REFUSED_PAUSE_SECONDS if is_refused else _PAUSE_SECONDS)

    def _copy(self) -> None:
        # There is no way to ask for the rest; the log is short, for progress takes a line in some seconds.
        from kubernetes import watch

        lines: Any = watch.Watch().stream(
            self._cluster.core.read_namespaced_pod_log,
            self._pod,
            self._cluster.namespace,
            container=self._container,
            _request_timeout=(REQUEST_SECONDS[0], _SILENT_SECONDS),
        )
        for number, line in enumerate(lines):
            if number >= self._copied:
                self._write(line)
                self._copied = number + 1
