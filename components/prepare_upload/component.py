"""Say what Vertex AI's Model Registry is to be told of an image, and what of that it knows."""

from typing import Any, Dict, List, NamedTuple

from kfp.dsl import Artifact, Output

from modelcar.components.self_contained import VERTEX_IMAGE, self_contained


@self_contained(__file__, base_image=VERTEX_IMAGE)
def prepare_upload(
    model: str,
    commit: str,
    image: str,
    project: str,
    location: str,
    container_model: Output[Artifact],
    parent_model: Output[Artifact],
    serving_args: List[str] = [],
    serving_container: Dict[str, Any] = {},
    registered_name: str = "",
) -> NamedTuple("Outputs", [("missing", str), ("display_name", str), ("description", str), ("labels", Dict[str, str])]):
    """Describe an image for Vertex AI's Model Registry, and look up which part of that it has already.

    Args:
        model: Id of the model on the Hub, organisation/name.
        commit: Its commit.
        image: The image, pinned to its digest.
        project: Project of the Model Registry.
        location: Region of the Model Registry.
        serving_args: Arguments of the server.
        serving_container: More of Vertex AI's ModelContainerSpec, by its own names: ports, routes, env, probes.
        registered_name: Name in the Model Registry. Empty: the model's id.

    Returns:
        container_model: The container, as ModelUploadOp takes it.
        parent_model: The model that the registry has, where it has it.
        missing: What is to be uploaded: model (there is none), version (of a model that is there) or nothing.
        display_name: Name in the Model Registry.
        description: What it is, in one line.
        labels: Id on the Hub, commit, image digest and a hash of the container's settings.
    """
    import json
    from collections import namedtuple
    from pathlib import Path

    from modelcar.records.termination_message import exit_with_one_line
    from modelcar.steps import vertex_upload

    with exit_with_one_line():
        entry = vertex_upload.describe(model, commit, image, serving_args, serving_container, registered_name)
        known = vertex_upload.find(entry, project, location)
    print(f"{entry.display_name}: {known.missing} to be uploaded to {project}, {location}", flush=True)
    container_model.metadata["containerSpec"] = entry.container.spec()
    container_model.metadata["predictSchemata"] = {}
    # ModelUploadOp gives the artifact's folder to the registry, which copies what is in it; so something is in it.
    folder = Path(container_model.path)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "modelcar.json").write_text(json.dumps({"labels": entry.labels, "image": image}))
    if known.model:
        parent_model.uri, parent_model.metadata["resourceName"] = known.address, known.model
    outputs = namedtuple("Outputs", ["missing", "display_name", "description", "labels"])
    return outputs(known.missing, entry.display_name, entry.description, entry.labels)


# The types of google-cloud-pipeline-components, told by title and version, so that the step does without that package.
_OUTPUTS = prepare_upload.component_spec.outputs
_OUTPUTS["container_model"].type = "google.UnmanagedContainerModel@0.0.1"
_OUTPUTS["parent_model"].type = "google.VertexModel@0.0.1"
