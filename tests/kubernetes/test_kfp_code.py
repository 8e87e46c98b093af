"""Runs whose steps' code comes from their own Workflow, as pipelines are compiled by default, on a real backend.

No package can be fetched here, so the steps' image has them; the code in it is passed over as another version's.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from modelcar.bootstrap.command import Bootstrapped
from modelcar.pipelines.compilation import BUILDING, STREAMING, Backend, compile_one
from modelcar.pipelines.delivery import Delivery
from tests.kubernetes.kfp.backend import Backend as PipelinesBackend
from tests.kubernetes.kfp.runs import RUN_LABEL, Pipeline, Run
from tests.kubernetes.kfp.surroundings import Surroundings
from tests.parts.models import tiny_llama

ARGO_TAKES = 1 << 20
"""Of a Workflow, in bytes of JSON: MAX_WORKFLOW_SIZE, argo-workflows, workflow/packer."""

MODEL = "example/carried"
_FETCHING = re.compile(r"  python3 -m pip install.*?\n.*?\n")


def upload(backend: PipelinesBackend, name: str, folder: Path) -> Pipeline:
    file = compile_one(name, folder, Delivery(python_image=backend.cluster.image), Backend(backend.compiled_for))
    documents = list(yaml.safe_load_all(file.read_text()))
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        step = Bootstrapped.parse(executor["container"]["command"])
        if step:
            command = step._replace(version="passed over").whole()
            executor["container"]["command"] = [_FETCHING.sub("", part) for part in command]
    for task in _tasks(documents[0]):
        task.pop("retryPolicy", None)
    file.write_text(yaml.safe_dump_all(documents))
    return Pipeline.upload(backend, file, f"Carried {name}")


def _tasks(pipeline: dict[str, Any]) -> list[dict[str, Any]]:
    dags = [pipeline["root"], *pipeline["components"].values()]
    return [task for each in dags for task in each.get("dag", {}).get("tasks", {}).values()]


def workflow(run: Run) -> Any:
    objects = client.CustomObjectsApi(run.backend.namespace.api)
    found = objects.list_namespaced_custom_object(
        "argoproj.io", "v1alpha1", run.backend.namespace.name, "workflows", label_selector=f"{RUN_LABEL}={run.id}"
    )
    return found["items"][0]


@pytest.mark.parametrize("name", [STREAMING, BUILDING])
def test_steps_have_their_code_from_the_runs_workflow(
    name: str, kfp_backend: PipelinesBackend, kfp_surroundings: Surroundings, tmp_path: Path
) -> None:
    kfp_surroundings.hub.publish(MODEL, tiny_llama(tmp_path / "model"))
    given = {
        "model": MODEL,
        "target": f"{kfp_surroundings.target.host}/team/carried-{name.replace('_', '-')}:1.0",
        "mirror_target": f"{kfp_surroundings.mirror.host}/models/carried-{name.replace('_', '-')}:1.0",
        "model_registry": kfp_surroundings.entries.url,
    }
    if name == BUILDING:
        given |= {"builder": "direct", "build_mode": "pod"}

    run = upload(kfp_backend, name, tmp_path).start("carried", given).succeeds()

    size = len(json.dumps(workflow(run), separators=(",", ":")))
    print(f"{name}: the Workflow has {size / 1024:.0f} KiB")
    assert size < ARGO_TAKES * 0.75
