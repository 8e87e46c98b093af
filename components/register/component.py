"""Enter an image in the Model Registry."""

from typing import List, NamedTuple

from modelcar.components.self_contained import self_contained


@self_contained(__file__)
def register(
    image: str,
    model_registry: str = "",
    registered_name: str = "",
    model_format: str = "",
    pipeline_run: str = "",
    pipeline_run_name: str = "",
    owner: str = "",
    tags: List[str] = [],
) -> NamedTuple("Outputs", [("model", str), ("version", str), ("model_id", str), ("version_id", str)]):
    """Enter an image as a version of a registered model. Doing so again changes nothing; a new commit adds a version.

    Args:
        image: Image to enter, pinned to its digest. What is entered is read from the image's own annotations.
        model_registry: Address of the Model Registry, such as https://registry.example. Empty enters nothing.
        registered_name: Name of the registered model; empty for the model's id on the Hub.
        model_format: Model format that the serving runtime supports, as KServe calls it. Empty: what was found.
        pipeline_run: Id of the pipeline run that made the image, to which the entry leads.
        pipeline_run_name: Name of that run; empty for its id.
        owner: Who answers for the model, as the dashboard shows it. Empty: stays as it is, or modelcar-pipelines.
        tags: Labels of the model and the version in the dashboard; those that are there stay.

    Returns:
        model: Name of the registered model; empty if nothing was entered.
        version: Name of the version: the start of the commit.
        model_id: Id of the registered model, by which the dashboard finds it.
        version_id: Id of the version.
    """
    from collections import namedtuple

    from modelcar.records.step_record import recorded
    from modelcar.records.termination_message import exit_with_one_line
    from modelcar.steps.register import PipelineRun
    from modelcar.steps.register import register as run_register

    outputs = namedtuple("Outputs", ["model", "version", "model_id", "version_id"])
    if not model_registry:
        print("no Model Registry was named")
        return outputs("", "", "", "")
    with recorded("register") as record, exit_with_one_line():
        done = run_register(
            image,
            model_registry,
            name=registered_name,
            model_format=model_format,
            run=PipelineRun(pipeline_run, pipeline_run_name),
            owner=owner,
            tags=tags,
        )
        record.image, record.entry = image, f"{done.model} {done.version}"
        record.entry_ids = [done.model_id, done.version_id]
    print(f"{done.model} version {done.version} is {done.uri}" + ("" if done.changed else " already"))
    return outputs(done.model, done.version, done.model_id, done.version_id)
