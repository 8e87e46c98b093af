"""The code of all steps of a pipeline in one place of each run, from where the steps' pods read it.

A run's Workflow holds the command of each step that runs five times or more: in its arguments, and in the inputs and
outputs of the nodes of the step and of its driver. Argo takes 1 MiB of a Workflow. A step's driver gets the step's
command as one argument, of which Linux takes 128 KiB. The command of a task that never runs stands in the arguments
alone, so there the code lies. See kubeflow/pipelines, backend/src/v2/compiler/argocompiler, and argo-workflows,
workflow/packer.
"""

import json
from typing import Any

from modelcar.bootstrap.command import Bootstrapped, archive, marked_parts, reference
from modelcar.bootstrap.sources import stripped
from modelcar.errors import BuildError

HOLDER = "code"
"""The task that holds the code, and its branch of the run, whose condition is never true."""

NEVER = "false"
"""The condition of that branch."""

MAX_CONTAINER_BYTES = 120 << 10
"""Size of a step's container as JSON: its driver gets it as one argument, of which Linux takes 128 KiB, with some
letters written as six."""

_NAME = "Code of the steps (never runs)"


def share_code(pipeline: dict[str, Any]) -> None:
    """Takes the code out of the commands of a compiled pipeline's steps, and adds it once.

    Args:
        pipeline: The pipeline, as kfp compiled it; one whose steps bring no code of ours stays as it is.

    Raises:
        BuildError: What is left of a step's container is longer than Kubeflow Pipelines can start.
    """
    executors = pipeline["deploymentSpec"]["executors"]
    commands = {
        name: Bootstrapped.parse(each.get("container", {}).get("command", [])) for name, each in executors.items()
    }
    steps = {name: step for name, step in commands.items() if step is not None and step.archive}
    if not steps:
        return
    # The last argument of kfp's own command is the source of the step's function.
    code = archive("\n".join(step.command[-1] for step in steps.values()))
    for name, step in steps.items():
        command = [*step.command[:-1], stripped(step.command[-1])]
        executors[name]["container"]["command"] = step._replace(archive=reference(code), command=command).whole()
    _check(executors)
    image = executors[next(iter(steps))]["container"]["image"]
    executors[f"exec-{HOLDER}"] = {"container": {"image": image, "command": ["true", *marked_parts(code)]}}
    task = {"taskInfo": {"name": HOLDER}, "componentRef": {"name": f"comp-{HOLDER}"}}
    pipeline["components"] |= {
        f"comp-{HOLDER}": {"executorLabel": f"exec-{HOLDER}"},
        f"comp-{HOLDER}-branch": {"dag": {"tasks": {HOLDER: task}}},
    }
    pipeline["root"]["dag"]["tasks"][HOLDER] = {
        "taskInfo": {"name": _NAME},
        "componentRef": {"name": f"comp-{HOLDER}-branch"},
        "triggerPolicy": {"condition": NEVER},
    }


def _check(executors: dict[str, Any]) -> None:
    for name, executor in executors.items():
        length = len(json.dumps(executor))
        if length > MAX_CONTAINER_BYTES:
            raise BuildError(
                f"the step {name.removeprefix('exec-')} has {length} bytes in its container, and Kubeflow Pipelines "
                f"starts no step of more than {MAX_CONTAINER_BYTES}",
                "Move what is long into its image or a file",
            )
