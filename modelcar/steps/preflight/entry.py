"""Entry of the Model Registry that names a model's files, `model-registry://name/version`, as KServe writes it."""

import re
from typing import TYPE_CHECKING

from modelcar.errors import ModelRegistryError
from modelcar.model_registry import ask
from modelcar.sources.opening import ENTRY

if TYPE_CHECKING:
    from modelcar.model_registry_api import ModelRegistryApi

_SOURCES = re.compile("(s3|oci|hf|pvc)://.", re.ASCII)
_VERSIONS_LOOKED_AT = 100


def source_of(model: str, url: str) -> str:
    """Returns what a model is read from: itself or, for an entry of the Model Registry, what that names.

    Args:
        model: The model that was asked for.
        url: The Model Registry's address.

    Raises:
        ModelRegistryError: The entry is not there, or names no files; or the Model Registry is unreachable or refused.
    """
    return _artifact_uri(url, model.removeprefix(ENTRY)) if model.startswith(ENTRY) else model


def _artifact_uri(url: str, entry: str) -> str:
    """Returns the address of an entry, `name/version` where a name may have slashes; or of a name's newest version."""
    if not url:
        raise ModelRegistryError(f"no Model Registry was named that has {entry}", "Give its address: model_registry")

    async def read(api: "ModelRegistryApi") -> tuple[str, str] | None:
        from mr_openapi import ArtifactState

        for name, wanted in ((entry, ""), entry.rpartition("/")[::2]):
            if not name or (model := await api.get_registered_model_by_params(name)) is None:
                continue
            version = await _version(api, str(model.id), wanted)
            if version is not None:
                found = [one for one in await api.get_model_artifacts(version[0]) if one.uri]
                # Whoever made the entry named its artifact as they liked.
                live = [one for one in found if one.state == ArtifactState.LIVE] or found
                return version[1], str(live[0].uri) if live else ""
        return None

    found = ask(url, read)
    if found is None:
        raise ModelRegistryError(f"the Model Registry has no {entry}", "Write it as model-registry://name/version")
    version, uri = found
    if not _SOURCES.match(uri):
        raise ModelRegistryError(
            f"version {version} of {entry} names {uri or 'no files'}, which cannot be read",
            "Its artifact must name files in S3 (s3://), a registry (oci://), a claim (pvc://) or the Hub (hf://)",
        )
    return uri


async def _version(api: "ModelRegistryApi", model_id: str, name: str) -> tuple[str, str] | None:
    """Returns id and name of a version; of the newest live one where none is named."""
    from model_registry.types import ListOptions
    from mr_openapi import ModelVersionState, OrderByField

    if name:
        found = await api.get_model_version_by_params(model_id, name)
        return (str(found.id), str(found.name)) if found else None
    newest = ListOptions(limit=_VERSIONS_LOOKED_AT, order_by=OrderByField.CREATE_TIME, is_asc=False)
    for version in await api.get_model_versions(model_id, newest):
        if version.state != ModelVersionState.ARCHIVED:
            return str(version.id), str(version.name)
    return None
