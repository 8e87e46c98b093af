"""Enters an image in the Model Registry."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelcar import pod
from modelcar.model_registry import MODEL_TYPE, Entry, ask, points_to, read_entry, says

if TYPE_CHECKING:
    from model_registry.types import ModelArtifact, ModelVersion, RegisteredModel

    from modelcar.model_registry_api import ModelRegistryApi

AUTHOR = "modelcar-pipelines"
PIPELINE_RUN = "pipeline_run"
VALIDATED_ON = "validated_on"

_PARTS = 3
"""Parts of an entry: model, version, artifact. Each can be there only once, so each can be another run's."""


@dataclass(frozen=True)
class PipelineRun:
    """The run that made an image; OpenShift AI's dashboard makes a link of it.

    Attributes:
        id: Its id.
        name: Its name; empty for the id.
        namespace: The project that it ran in; empty for this pod's.
    """

    id: str
    name: str = ""
    namespace: str = ""

    @property
    def source(self) -> dict[str, str]:
        """Fields of an artifact (odh-dashboard, modelSourcePropertiesToPipelineRunRef); none where one is unknown."""
        file = pod.SERVICE_ACCOUNT / "namespace"
        namespace = self.namespace or (file.read_text().strip() if file.is_file() else "")
        if not self.id or not namespace:
            return {}
        known = {"kind": "kfp", "class": "pipelinerun", "group": namespace, "id": self.id, "name": self.name or self.id}
        return {f"model_source_{key}": value for key, value in known.items()}


@dataclass(frozen=True)
class Registered:
    """An entry in the Model Registry.

    Attributes:
        model: The registered model's name.
        version: The version's name.
        uri: What the artifact points to, `oci://…@sha256:…`.
        changed: Whether anything was written.
        model_id: The registered model's id, by which the dashboard finds it.
        version_id: The version's id.
    """

    model: str
    version: str
    uri: str
    changed: bool
    model_id: str = ""
    version_id: str = ""


def register(
    source: str,
    url: str,
    *,
    name: str = "",
    model_format: str = "",
    run: PipelineRun = PipelineRun(""),
    owner: str = "",
    tags: Sequence[str] = (),
) -> Registered:
    """Enters an image as a version of a registered model.

    Args:
        source: The image, best with its digest.
        url: The Model Registry's address, `https://registry.example` or `http://service:8080`.
        name: The registered model's name; empty for the model's id on the Hub.
        model_format: The format that a KServe serving runtime supports, such as `vLLM`; empty for what was found.
        run: The run that made the image; noted when something is written.
        owner: Who answers for the model, as the dashboard shows it; empty for what is there, or this project's name.
        tags: Labels of the model and the version in the dashboard; those that are there stay.

    Raises:
        ModelRegistryError: The Model Registry is unreachable or refused, or the image was not made by this project.
        RegistryError: The image is not there.
    """
    entry = read_entry(source, name, model_format, with_card=True)
    writer = _Writer(entry, run, owner, dict.fromkeys(tags, ""))
    return ask(url, writer.converge_beside_others)


@dataclass(frozen=True)
class _Writer:
    """Writes what an entry lacks.

    Attributes:
        entry: What the registry should say.
        run: The run that made the image.
        owner: Who answers for the model.
        tags: Labels: properties without a value.
    """

    entry: Entry
    run: PipelineRun
    owner: str
    tags: dict[str, str]

    async def converge_beside_others(self, api: "ModelRegistryApi") -> Registered:
        """Converges, again where another run has just made the model, the version or the artifact that was missing."""
        from mr_openapi.exceptions import ConflictException

        for _ in range(_PARTS):
            with suppress(ConflictException):
                return await self._converge(api)
        return await self._converge(api)

    async def _converge(self, api: "ModelRegistryApi") -> Registered:
        """Writes what is missing or differs."""
        model, new_model = await self._model(api)
        new_card = await self._card(api, model)
        version, new_version = await self._version(api, model)
        artifact = await api.get_model_artifact_by_params(self.entry.model, version.id)
        there = points_to(artifact, self.entry)
        if not there:
            await api.upsert_model_version_artifact(self._artifact(artifact), version.id)
        changed = new_model or new_card or new_version or not there
        entry = self.entry
        return Registered(entry.model, entry.version, entry.uri, changed, str(model.id or ""), str(version.id or ""))

    async def _model(self, api: "ModelRegistryApi") -> "tuple[RegisteredModel, bool]":
        from model_registry.types import RegisteredModel

        wanted = {**self.tags, MODEL_TYPE: self.entry.properties[MODEL_TYPE], **self._validation()}
        model = await api.get_registered_model_by_params(self.entry.model)
        if model is None:
            made = RegisteredModel(name=self.entry.model, owner=self.owner or AUTHOR, custom_properties=wanted)
            return await api.upsert_registered_model(made), True
        if says(model.custom_properties, wanted) and self.owner in ("", model.owner):
            return model, False
        model.custom_properties = {**(model.custom_properties or {}), **wanted}
        model.owner = self.owner or model.owner
        return await api.upsert_registered_model(model), True

    def _validation(self) -> dict[str, str]:
        """Returns the property from which the dashboard reads on what a model was tried: a list in JSON."""
        card = self.entry.card
        return {VALIDATED_ON: json.dumps(card.validated_on)} if card and card.validated_on else {}

    async def _card(self, api: "ModelRegistryApi", model: "RegisteredModel") -> bool:
        """Writes the model's card; the client's own types know nothing of it."""
        from mr_openapi import RegisteredModelUpdate

        card = self.entry.card
        if card is None:
            return False
        wanted: dict[str, str | list[str]] = {
            "readme": card.readme,
            "language": list(card.language),
            "tasks": list(card.tasks),
            "license": card.licence,
            "license_link": card.licence_link,
            "library_name": card.library_name,
            "provider": card.provider,
        }
        wanted = {name: value for name, value in wanted.items() if value}
        async with api.get_client() as client:
            there = await client.get_registered_model(model.id)
            if all(getattr(there, name) == value for name, value in wanted.items()):
                return False
            await client.update_registered_model(model.id, RegisteredModelUpdate(**wanted))
        return True

    async def _version(self, api: "ModelRegistryApi", model: "RegisteredModel") -> "tuple[ModelVersion, bool]":
        from model_registry.types import ModelVersion

        wanted = {**self.entry.properties, **self.tags}
        noted = {**wanted, **({PIPELINE_RUN: self.run.id} if self.run.id else {})}
        version = await api.get_model_version_by_params(model.id, self.entry.version)
        if version is None:
            made = ModelVersion(name=self.entry.version, author=self.owner or AUTHOR, custom_properties=noted)
            return await api.upsert_model_version(made, model.id), True
        if says(version.custom_properties, wanted):
            return version, False
        version.custom_properties = {**(version.custom_properties or {}), **noted}
        return await api.upsert_model_version(version, model.id), True

    def _artifact(self, existing: "ModelArtifact | None") -> "ModelArtifact":
        from model_registry.types import ModelArtifact
        from mr_openapi import ArtifactState

        return ModelArtifact(
            id=existing.id if existing else None,
            name=self.entry.model,
            uri=self.entry.uri,
            state=ArtifactState.LIVE,
            model_format_name=self.entry.format,
            model_format_version="1",
            custom_properties={"image_digest": self.entry.properties["image_digest"]},
            **self.run.source,
        )
