"""Contents of an image as a CycloneDX bill of materials: the model, its files, and the image under them.

Like the provenance it follows from the image alone: no time and no random serial number, so that the same image has the
same inventory. See https://cyclonedx.org/docs/1.6/json.
"""

import re
import uuid
from typing import Any
from urllib.parse import quote

import modelcar
from modelcar.attestation.provenance import model_url
from modelcar.hub.snapshot import PublishedFile, Snapshot

PREDICATE = "https://cyclonedx.org/bom"
MEDIA_TYPE = "application/vnd.cyclonedx+json"
SPEC_VERSION = "1.6"
GIT_BLOB, SIZE = "io.modelcar:git-blob", "io.modelcar:size"

Json = dict[str, Any]


def inventory(
    snapshot: Snapshot, base_name: str, base_digest: str, image_digest: str, version: str = modelcar.__version__
) -> Json:
    """Writes the bill of materials of an image.

    Args:
        snapshot: The files in it.
        base_name: The image under them.
        base_digest: Its digest.
        image_digest: The image's own digest.
        version: The version of this software that writes it.
    """
    model, base = model_url(snapshot.model, snapshot.commit), f"{base_name.partition('@')[0]}@{base_digest}"
    image = f"{snapshot.model}@{image_digest}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, image_digest)}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "modelcar-pipelines", "version": version}]},
            "component": {
                "type": "container",
                "bom-ref": image,
                "name": snapshot.model,
                "version": snapshot.commit,
                "hashes": _sha256(image_digest),
            },
        },
        "components": [
            _model(snapshot, model),
            {"type": "container", "bom-ref": base, "name": base_name, "hashes": _sha256(base_digest)},
        ],
        "dependencies": [{"ref": image, "dependsOn": [model, base]}, {"ref": model}, {"ref": base}],
    }


def writer_version(document: Json) -> str:
    """Returns the version of this software that wrote a bill of materials, as it says; empty if it says none."""
    try:
        return str(document["metadata"]["tools"]["components"][0]["version"])
    except (LookupError, TypeError):
        return ""


def _model(snapshot: Snapshot, reference: str) -> Json:
    component: Json = {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": snapshot.model,
        "version": snapshot.commit,
        "purl": reference,
    }
    if snapshot.licence:
        component["licenses"] = [_licence(snapshot.licence)]
    component["externalReferences"] = [{"type": "distribution", "url": f"{snapshot.source}/tree/{snapshot.commit}"}]
    if snapshot.base_models:
        component["pedigree"] = {"ancestors": [_ancestor(name) for name in snapshot.base_models]}
    if snapshot.quantization:
        component["properties"] = [{"name": "io.modelcar:quantization", "value": snapshot.quantization}]
    files = sorted(snapshot.files, key=lambda file: file.path)
    component["components"] = [_file(file, reference) for file in files]
    return component


def _ancestor(name: str) -> Json:
    return {"type": "machine-learning-model", "name": name, "purl": f"pkg:huggingface/{quote(name)}"}


def _file(file: PublishedFile, model: str) -> Json:
    properties = [{"name": SIZE, "value": str(file.size)}]
    if not file.sha256:
        # Of these files the Hub publishes git's object id, which is no plain hash of their bytes.
        properties.append({"name": GIT_BLOB, "value": file.git_blob})
    hashes = {"hashes": _sha256(file.sha256)} if file.sha256 else {}
    return {
        "type": "file",
        "bom-ref": f"{model}#{quote(file.path)}",
        "name": file.path,
        **hashes,
        "properties": properties,
    }


def _licence(expression: str) -> Json:
    """Writes an SPDX expression as CycloneDX has it: a licence of SPDX's list by its id."""
    is_listed = re.fullmatch(r"[A-Za-z0-9.+-]+", expression) and not expression.startswith("LicenseRef-")
    return {"license": {"id": expression}} if is_listed else {"expression": expression}


def _sha256(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}]
