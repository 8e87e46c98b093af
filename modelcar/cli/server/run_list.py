"""The last runs of a pipeline server, and the one among them that is meant."""

from typing import Any

from modelcar.cli.server.client import ANSWER_SECONDS, Client
from modelcar.errors import ClusterError

_UUID_LENGTH = 36

_LOOKED_AT = 100
"""Number of the runs among which one is found by its name, or by how its id begins."""


def find_run(client: Client, wanted: str) -> str:
    """Returns the id of the run that is meant; the last one of a name.

    Raises:
        ClusterError: There is none, or several begin like that.
    """
    if len(wanted) == _UUID_LENGTH and wanted.count("-") == 4:
        return wanted
    runs = last_runs(client, _LOOKED_AT)
    for one in runs:
        if one.display_name == wanted:
            return str(one.run_id)
    begun = [str(one.run_id) for one in runs if one.run_id.startswith(wanted)]
    if len(begun) != 1:
        what = f"several runs begin with {wanted!r}" if begun else f"there is no run {wanted!r}"
        raise ClusterError(what, "To see the last ones: modelcar status")
    return begun[0]


def last_runs(client: Client, count: int) -> list[Any]:
    """Returns the last runs, the newest first."""
    with client.api_errors("list runs"):
        answer = client.runs.run_service_list_runs(
            namespace=client.namespace, page_size=count, sort_by="created_at desc", _request_timeout=ANSWER_SECONDS
        )
        return list(answer.runs or [])
