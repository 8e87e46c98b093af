"""A pipeline and its tasks: each task takes those of the pipeline's parameters that its component has."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from kfp import dsl

from modelcar.components.mirror import mirror
from modelcar.components.preflight import preflight
from modelcar.components.register import register
from modelcar.components.report import report
from modelcar.components.serve import serve
from modelcar.components.stream import stream
from modelcar.pipelines import configure


def pipeline(name: str, display_name: str) -> Callable[[Callable[..., Any]], Any]:
    """Makes a pipeline of a function, as `dsl.pipeline` does, but in a thread of its own.

    Whenever something is set on a task, kfp (2.17) looks up the source of every function on the stack, to learn the
    name of one. Within imports, whose functions have no source, that took half of the time in which `modelcar run`
    starts; a new thread's stack has no imports on it.

    Args:
        name: Its name in Kubeflow Pipelines.
        display_name: Its name in the pipeline UI.
    """

    def decorated(function: Callable[..., Any]) -> Any:
        make = dsl.pipeline(name=name, display_name=display_name)
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(copy_context().run, make, function).result()

    return decorated


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


def stream_and_deliver(given: Mapping[str, Any]) -> dsl.PipelineTask:
    """Makes the tasks of a pipeline that streams: preflight, stream and what follows, and a report, whatever happens.

    Args:
        given: The pipeline's parameters, by name; with a `source_claim`, that claim is mounted where the model is read.

    Returns:
        The report's task, which knows the image in the end.
    """
    reported = task_of(report, given, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    configure.report(reported, given["target_secret"], given["mirror_secret"])
    secrets = {name: given[name] for name in ("hf_token_secret", "source_secret", "target_secret", "mirror_secret")}
    signing = given["signing_secret"]

    with dsl.ExitHandler(reported, name="Preflight to register"):
        planned = task_of(preflight, given, streaming=True)
        configure.preflight(
            planned, **secrets, model_registry_secret=given["model_registry_secret"], signing_secret=signing
        )

        with dsl.If(planned.outputs["unchanged"] == False, name="Something to do"):  # noqa: E712
            streamed = task_of(stream, given, model=planned.outputs["model"])
            configure.stream(streamed, **secrets, signing_secret=signing)

            delivered = deliver(given, streamed.outputs["image"])

    if "source_claim" in given:
        for task in (planned, streamed):
            configure.on_source_claim(task, given["source_claim"])
    for task in (reported, planned, streamed, *delivered):
        configure.pulled_with(task, given["image_pull_secret"])
    return reported
