"""What a real cluster said of runs that failed (tests/kubernetes/test_report.py), as Kubernetes' own objects."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kubernetes import client

from modelcar.cluster.run_state import RunState

FOLDER = Path(__file__).parents[1] / "run_states"
KINDS = {"pods": "V1Pod", "jobs": "V1Job", "events": "CoreV1Event"}


def run_state(name: str, **replaced: Any) -> RunState:
    """A run's state.

    Args:
        name: Which one: the name of a file in tests/run_states.
        **replaced: Lists of objects, as JSON, to put in place of the file's.
    """
    found = {**json.loads((FOLDER / f"{name}.json").read_text()), **replaced}
    return RunState(**{key: [as_object(each, kind) for each in found[key]] for key, kind in KINDS.items()})


def as_json(name: str) -> dict[str, list[dict[str, Any]]]:
    """The same as JSON, to be changed."""
    found: dict[str, list[dict[str, Any]]] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def as_object(content: dict[str, Any], kind: str) -> Any:
    """An object of the Kubernetes client."""
    return client.ApiClient().deserialize(SimpleNamespace(data=json.dumps(content)), kind)
