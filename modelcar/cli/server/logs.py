"""Logs of a run's steps, of those that have ended too."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import urllib3
from kubernetes import client as kubernetes_client

from modelcar.cli.server.client import ANSWER_SECONDS, Client
from modelcar.cli.server.run_view import CONTAINER, RunView, Step
from modelcar.cli.server.task_pods import get, pods_of_tasks
from modelcar.errors import ClusterError

KEPT = "/apis/v1alpha1/runs/{run}/nodes/{pod}/log"
"""Path at which the pipelines' API gives a pod's log, kept in the object store once the pod is gone."""

_ERROR = '{"error_message":'


def logs_of(client: Client, run: RunView, step: str = "") -> Iterator[tuple[Step, str]]:
    """Yields the steps that ran, each with its log.

    Args:
        client: The server.
        run: The run.
        step: The only step that is wanted, by its name or title; empty for all.

    Raises:
        ClusterError: There is no such step, or no log can be had any more.
    """
    wanted = [one for one in run.steps if not step or step.lower() in (one.name.lower(), one.title.lower())]
    if step and not wanted:
        there = ", ".join(one.title for one in run.steps)
        raise ClusterError(f"{run.name} has no step {step!r}", f"There are {there}")
    told = pods_of_tasks(client, run.id)
    found = False
    for one in wanted:
        pods = list(filter(None, (one.pod, *told.get(one.name, ()))))
        text = next((text for pod in pods if (text := _log(client, run.id, pod)) is not None), None)
        if text is not None:
            found = True
            yield one, text
    if not found:
        raise ClusterError(
            f"no log of {run.name} can be had: its pods are gone, or may not be read, and the server kept none",
            "Ask for leave to read pods' logs: oc auth can-i get pods --subresource=log",
        )


def as_dicts(client: Client, run: RunView, step: str = "") -> list[dict[str, str]]:
    """Returns the logs of a run's steps as JSON has them.

    Raises:
        ClusterError: There is none to be had.
    """
    return [{"step": one.name, "title": one.title, "log": text} for one, text in logs_of(client, run, step)]


def show_logs(client: Client, run: RunView, step: str = "") -> None:
    """Prints the logs of a run's steps, each line with its step before it.

    Raises:
        ClusterError: There is none to be had.
    """
    for one, text in logs_of(client, run, step):
        for line in text.splitlines():
            print(f"[{one.title}] {line}")


def _log(client: Client, run: str, pod: str) -> str | None:
    if client.cluster is not None:
        try:
            answer = client.cluster.core.read_namespaced_pod_log(
                pod,
                client.cluster.namespace,
                container=CONTAINER,
                _request_timeout=ANSWER_SECONDS,
                _preload_content=False,
            )
            return str(answer.data.decode(errors="replace"))
        except (kubernetes_client.ApiException, urllib3.exceptions.HTTPError, OSError):
            pass
    return _kept(client, run, pod)


def _kept(client: Client, run: str, pod: str) -> str | None:
    """Returns what the server kept of a log; None where it kept none."""
    kept = get(client, KEPT.format(run=quote(run), pod=quote(pod)))
    return _without_error(kept.decode(errors="replace"))


def _without_error(text: str) -> str | None:
    """Returns what came of a log; None for an error alone, which the server gives as one, behind what came before it.

    It says 200 before it looks for the log (kubeflow/pipelines, backend/src/apiserver/server/run_log_server.go).
    """
    log, found, rest = text.rpartition(_ERROR)
    if found:
        try:
            json.loads(found + rest)
        except ValueError:
            return text
        text = log
    return text or None
