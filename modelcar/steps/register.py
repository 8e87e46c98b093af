"""Enters an image in the Model Registry."""

from contextlib import suppress
from dataclasses import dataclass

from model_registry.core import ModelRegistryAPIClient
from model_registry.types import ModelArtifact, ModelVersion, RegisteredModel
from mr_openapi.exceptions import ConflictException

from modelcar.model_registry import Entry, ask, points_to, read_entry, says

AUTHOR = "modelcar-pipelines"


PIPELINE_RUN = "pipeline_run"


_PARTS = 3
"""Of an entry: model, version, artifact. Each can be there only once, so each can be another run's."""


@dataclass(frozen=True)
class Registered:
    """An entry in the Model Registry.

    Attributes:
        model: The registered model's name.
        version: The version's name.
        uri: What the artifact points to, `oci://…@sha256:…`.
        changed: Whether anything was written.
    """

    model: str
    version: str
    uri: str
    changed: bool


def register(source: str, url: str, *, name: str = "", model_format: str = "", pipeline_run: str = "") -> Registered:
    """Enters an image as a version of a registered model.

    Args:
        source: The image, best with its digest.
        url: The Model Registry's address, `https://registry.example` or `http://service:8080`.
        name: The registered model's name; empty for the model's id on the Hub.
        model_format: The format that a KServe serving runtime supports, such as `vLLM`; empty for what was found.
        pipeline_run: The run that made the image; noted when something is written.

    Raises:
        ModelRegistryError: The Model Registry is unreachable or refused, or the image was not made by this project.
        RegistryError: The image is not there.
    """
    entry = read_entry(source, name, model_format)
    changed = ask(url, lambda api: _converge_beside_others(api, entry, pipeline_run))
    return Registered(entry.model, entry.version, entry.uri, changed)


async def _converge_beside_others(api: ModelRegistryAPIClient, entry: Entry, pipeline_run: str) -> bool:
    """Converges, again where another run has just made the model, the version or the artifact that was missing."""
    for _ in range(_PARTS):
        with suppress(ConflictException):
            return await _converge(api, entry, pipeline_run)
    return await _converge(api, entry, pipeline_run)


async def _converge(api: ModelRegistryAPIClient, entry: Entry, pipeline_run: str) -> bool:
    """Writes what is missing or differs; says whether anything was."""
    changed = False
    model = await api.get_registered_model_by_params(entry.model)
    if model is None:
        model = await api.upsert_registered_model(RegisteredModel(name=entry.model, owner=AUTHOR))
        changed = True
    noted = {**entry.properties, **({PIPELINE_RUN: pipeline_run} if pipeline_run else {})}
    version = await api.get_model_version_by_params(model.id, entry.version)
    if version is None:
        wanted = ModelVersion(name=entry.version, author=AUTHOR, custom_properties=noted)
        version = await api.upsert_model_version(wanted, model.id)
        changed = True
    elif not says(version.custom_properties, entry.properties):
        version.custom_properties = {**(version.custom_properties or {}), **noted}
        version = await api.upsert_model_version(version, model.id)
        changed = True
    artifact = await api.get_model_artifact_by_params(entry.model, version.id)
    if not points_to(artifact, entry):
        await api.upsert_model_version_artifact(_artifact(entry, artifact), version.id)
        changed = True
    return changed


def _artifact(entry: Entry, existing: ModelArtifact | None) -> ModelArtifact:
    return ModelArtifact(
        id=existing.id if existing else None,
        name=entry.model,
        uri=entry.uri,
        model_format_name=entry.format,
        model_format_version="1",
        custom_properties={"image_digest": entry.properties["image_digest"]},
    )
