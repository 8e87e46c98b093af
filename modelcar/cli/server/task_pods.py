"""Names of the pods of a run's tasks, by the pipelines' API alone: for who may read no pods, or when they are gone.

The API of today (v2beta1) tells the ids of Argo's nodes, and calls them pods' names. Argo's own record of the run, from
which a pod's name follows, is in the API's older form of the same run (v1beta1).
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import urllib3

from modelcar.cli.server.client import ANSWER_SECONDS, Client
from modelcar.cluster.run_state import task_in

_RECORD = "/apis/v1beta1/runs/{run}"
_OWN = "executor"
"""Beginning of what Kubeflow's backend calls the node of a task's own work; the pods of its driver have other names."""

_MAX_CHARS = 242
"""Length of what comes before the number in a pod's name (Argo, workflow/util/pod_name.go)."""


def pods_of_tasks(client: Client, run: str) -> dict[str, list[str]]:
    """Returns the pods of a run's tasks, by their tasks, the last of each first.

    Args:
        client: The server.
        run: The run's id.

    Raises:
        ClusterError: The server does not know the run.
    """
    pods: dict[str, list[str]] = {}
    for task, pod in (*_of_record(client, run), *_of_details(client, run)):
        pods.setdefault(task, []).append(pod)
    return pods


def get(client: Client, path: str) -> bytes:
    """Returns what the server has at a path that kfp's client does not know; empty if it has nothing there."""
    settings = client.api.configuration
    headers = dict(client.api.default_headers)
    if token := settings.get_api_key_with_prefix("authorization"):
        headers["authorization"] = token
    try:
        answer: Any = client.api.rest_client.pool_manager.request(
            "GET", f"{settings.host}{path}", headers=headers, retries=False, timeout=urllib3.Timeout(*ANSWER_SECONDS)
        )
    except (urllib3.exceptions.HTTPError, OSError):
        return b""
    return bytes(answer.data) if answer.status == 200 else b""


def _of_record(client: Client, run: str) -> Iterator[tuple[str, str]]:
    """Yields the tasks of Argo's record with the names of their own pods, the last attempt first."""
    try:
        answer = json.loads(get(client, _RECORD.format(run=quote(run))))
        record = json.loads(answer["pipeline_runtime"]["workflow_manifest"])
        workflow, nodes = record["metadata"]["name"], record["status"]["nodes"].values()
        own = [one for one in nodes if one["type"] == "Pod" and one["displayName"].startswith(_OWN)]
        for node in sorted(own, key=lambda one: str(one["startedAt"]), reverse=True):
            yield task_in(node["name"]), _pod_name(workflow, node)
    except (ValueError, KeyError, TypeError, AttributeError):
        return


def _pod_name(workflow: str, node: Any) -> str:
    """Returns a pod's name as Argo makes it: the run's and the template's, and the number that ends the node's id."""
    number = node["id"].rpartition("-")[2]
    before = f"{workflow}-{node['templateName']}"[:_MAX_CHARS]
    return f"{before}-{number}"


def _of_details(client: Client, run: str) -> Iterator[tuple[str, str]]:
    """Yields what the API of today says, which some server may mean as it is called."""
    found = client.run(run)
    for detail in (found.run_details and found.run_details.task_details) or []:
        for child in reversed(detail.child_tasks or []):
            if child.pod_name:
                yield detail.display_name, child.pod_name
