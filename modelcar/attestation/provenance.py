"""Provenance of an image's bytes, as an in-toto statement with SLSA's provenance predicate.

It says nothing that the image does not follow from (no time, no run, no machine), so that a commit gives the same
statement, to the digest, whoever builds it and whenever. What a run did is in the Model Registry and in its report.
See https://slsa.dev/spec/v1.0/provenance and https://github.com/in-toto/attestation.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError

import modelcar
from modelcar.errors import UnsafeNameError
from modelcar.hub.snapshot import Origin, PublishedFile, Snapshot

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:io.modelcar:image:v2"
"""Form of the statement. The number at its end is raised when that changes."""

BUILDER_NAME = "modelcar-pipelines"
BUILDER = f"pkg:pypi/{BUILDER_NAME}"

Json = dict[str, Any]


def model_url(model: str, commit: str) -> str:
    """A commit of a model as a package URL, https://github.com/package-url/purl-spec."""
    return f"pkg:huggingface/{quote(model)}@{commit}"


def statement(predicate_type: str, predicate: Mapping[str, Any], name: str, digest: str) -> Json:
    """An in-toto statement on an image.

    Args:
        predicate_type: What kind of thing is said.
        predicate: What is said.
        name: What the image is called in it.
        digest: The image's digest.
    """
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": _digest_set(digest)}],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }


def provenance(
    snapshot: Snapshot,
    base_name: str,
    base_digest: str,
    recipe: str,
    layers: Mapping[str, str],
    version: str = modelcar.__version__,
) -> Json:
    """Says what an image was made of: each file with the hash that the Hub published and its layer, and the base.

    Args:
        snapshot: The files that were taken, at their commit.
        base_name: The image under the model.
        base_digest: Its digest.
        recipe: The hash of all that decides the image (modelcar.image.recipe).
        layers: The digest of the layer that each file is in, by the file's path.
        version: The version of this software that says so.
    """
    at_commit = f"{snapshot.source}/resolve/{snapshot.commit}"
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"model": snapshot.model, "commit": snapshot.commit, "base_image": base_name},
            "internalParameters": {"recipe": recipe},
            "resolvedDependencies": [
                {"uri": f"git+{snapshot.source}@{snapshot.commit}", "digest": {"gitCommit": snapshot.commit}},
                {"uri": f"docker://{base_name}", "digest": _digest_set(base_digest)},
                *(
                    _dependency(file, at_commit, layers[file.path])
                    for file in sorted(snapshot.files, key=lambda file: file.path)
                ),
            ],
        },
        "runDetails": {"builder": {"id": BUILDER, "version": {BUILDER_NAME: version}}},
    }


def _dependency(file: PublishedFile, at_commit: str, layer: str) -> Json:
    """Says where a file comes from. What was made of a published file has that one's hash, and its own beside it."""
    said = {"size": file.size, "layer": layer}
    if file.origin is None:
        path, digest = file.path, {"sha256": file.sha256} if file.sha256 else {"gitBlob": file.git_blob}
    else:
        path, (kind, _, value) = file.origin.path, file.origin.identity.partition(":")
        digest = {"sha256" if kind == "sha256" else "gitBlob": value}
        said |= {"sha256": file.sha256, "madeOf": path, "part": file.origin.part, "tensors": dict(file.origin.tensors)}
    return {"name": file.path, "uri": f"{at_commit}/{quote(path)}", "digest": digest, "annotations": said}


class _Digests(BaseModel):
    sha256: str = ""
    git_blob: str = Field("", alias="gitBlob")


class _Resource(BaseModel):
    name: str = ""
    uri: str = ""
    digest: _Digests = Field(default_factory=_Digests)
    annotations: Json = {}


class _Definition(BaseModel):
    build_type: str = Field(alias="buildType")
    external_parameters: Json = Field(alias="externalParameters")
    internal_parameters: Json = Field({}, alias="internalParameters")
    resolved_dependencies: list[_Resource] = Field(alias="resolvedDependencies")


class _Builder(BaseModel):
    version: dict[str, str] = {}


class _Details(BaseModel):
    builder: _Builder = Field(default_factory=_Builder)


class _Predicate(BaseModel):
    build_definition: _Definition = Field(alias="buildDefinition")
    run_details: _Details = Field(default_factory=_Details, alias="runDetails")


class Statement(BaseModel):
    """A statement that was read.

    Attributes:
        subject: What it is about.
        predicate_type: What kind of thing it says.
        predicate: What it says.
    """

    subject: list[_Resource]
    predicate_type: str = Field(alias="predicateType")
    predicate: Json

    @classmethod
    def read(cls, content: bytes) -> "Statement | None":
        """Reads a statement; None if it is none."""
        try:
            return cls.model_validate(json.loads(content))
        except (ValidationError, ValueError, RecursionError):
            return None

    def is_about(self, digest: str) -> bool:
        """Tells whether an image is its subject."""
        return any(f"sha256:{subject.digest.sha256}" == digest for subject in self.subject)


class Provenance(BaseModel):
    """Content of a provenance statement.

    Attributes:
        model: The model's id on the Hub.
        commit: Its commit.
        recipe: The hash of all that decides the image.
        files: The files that were taken, with their published hashes.
        layers: The digest of the layer that each file is in, by the file's path.
        version: The version of this software that says so.
    """

    model: str
    commit: str
    recipe: str
    files: tuple[PublishedFile, ...]
    layers: dict[str, str]
    version: str = ""

    @classmethod
    def read(cls, predicate: Mapping[str, Any]) -> "Provenance | None":
        """Reads the predicate of one; None if it is not as this project writes it."""
        try:
            read = _Predicate.model_validate(predicate)
            said = read.build_definition
            if said.build_type != BUILD_TYPE:
                return None
            files = [one for one in said.resolved_dependencies if one.name]
            return cls(
                model=said.external_parameters.get("model", ""),
                commit=said.external_parameters.get("commit", ""),
                recipe=said.internal_parameters.get("recipe", ""),
                files=tuple(_file(one) for one in files),
                layers={one.name: one.annotations.get("layer", "") for one in files},
                version=read.run_details.builder.version.get(BUILDER_NAME, ""),
            )
        except (ValidationError, UnsafeNameError):
            return None

    def by_layer(self, folder: str) -> dict[str, list[PublishedFile]]:
        """Returns the files of each layer, by the layers' digests.

        Args:
            folder: The folder of /models that the image says they lie in; empty for none.
        """
        found: dict[str, list[PublishedFile]] = {}
        for file in self.files:
            found.setdefault(self.layers[file.path], []).append(file.model_copy(update={"folder": folder}))
        return found


def _file(resource: _Resource) -> PublishedFile:
    said = resource.annotations
    if "madeOf" in said:
        published = PublishedFile(
            path="published", size=0, sha256=resource.digest.sha256, git_blob=resource.digest.git_blob
        )
        origin = Origin.model_validate(
            {
                "path": said["madeOf"],
                "identity": published.identity,
                "part": said.get("part"),
                "tensors": tuple(said.get("tensors", {}).items()),
            }
        )
        return PublishedFile(path=resource.name, size=said.get("size", 0), sha256=said.get("sha256", ""), origin=origin)
    return PublishedFile(
        path=resource.name,
        size=resource.annotations.get("size", 0),
        sha256=resource.digest.sha256,
        git_blob=resource.digest.git_blob,
    )


def _digest_set(digest: str) -> dict[str, str]:
    kind, _, value = digest.partition(":")
    return {kind: value}
