"""Tasks of a pipeline: each takes those of the pipeline's parameters that its component has."""

from collections.abc import Mapping
from typing import Any

from kfp import dsl

from modelcar.components.mirror import mirror
from modelcar.components.register import register
from modelcar.components.serve import serve
from modelcar.pipelines import configure


def task_of(component: Any, given: Mapping[str, Any], **more: Any) -> dsl.PipelineTask:
    """Makes a task of a component, whose code `compile_pipeline` puts into the run once, for all tasks.

    Args:
        component: The component.
        given: The pipeline's parameters, by name: `dict(locals())`, as its first line. A dictionary of them that is a
            parameter itself does not survive kfp's compiler.
        **more: Inputs that the pipeline has no parameter for, and those that are not what the pipeline's are.
    """
    return self_contained_task_of(component.sharing, given, **more)


def self_contained_task_of(component: Any, given: Mapping[str, Any], **more: Any) -> dsl.PipelineTask:
    """Makes a task of a component that carries its code, for runs that have no Workflow to hold it.

    Args:
        component: The component.
        given: The pipeline's parameters, by name.
        **more: Inputs that the pipeline has no parameter for, and those that are not what the pipeline's are.
    """
    parameters = {name: given[name] for name in component.component_spec.inputs if name in given}
    return component(**{**parameters, **more})


def deliver(given: Mapping[str, Any], image: Any) -> tuple[dsl.PipelineTask, ...]:
    """Makes the tasks that follow when an image is in its target: mirror, register and, if that is asked for, serve.

    Args:
        given: The pipeline's parameters, by name.
        image: The image, as the task before says it.
    """
    logins = given["target_secret"], given["mirror_secret"]
    mirrored = task_of(mirror, given, image=image)
    configure.mirror(mirrored, *logins)
    registered = task_of(
        register,
        given,
        image=mirrored.outputs["image"],
        pipeline_run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        pipeline_run_name=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
    )
    configure.register(registered, *logins, given["model_registry_secret"])
    with dsl.If(given["serve_as"] != "", name="To be served"):
        served = task_of(
            serve,
            given,
            image=mirrored.outputs["image"],
            model_id=registered.outputs["model_id"],
            version_id=registered.outputs["version_id"],
        )
        configure.serve(served, *logins)
    return mirrored, registered, served
