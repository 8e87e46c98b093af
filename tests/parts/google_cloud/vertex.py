"""The APIs of Vertex AI's Model Registry and of Secret Manager, as far as a run asks them.

Requests are read and answers written by the types of Google's own client (google-cloud-aiplatform), which refuse what
is no field of the API. An upload is an operation that is done when it is asked for the second time.
"""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from google.cloud.aiplatform_v1.types import model as model_types
from google.cloud.aiplatform_v1.types import model_service
from google.longrunning import operations_pb2
from google.protobuf import json_format

from tests.parts.certificates import Certificate
from tests.parts.google_cloud.metadata import MetadataServer
from tests.parts.google_cloud.serving import QuietServer

NAMES = ("europe-west4-aiplatform.googleapis.com", "secretmanager.googleapis.com")
PROJECT, LOCATION = "my-project", "europe-west4"
PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")


class Refused(Exception):
    """A request that the API refuses."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class ModelRegistry:
    """The models of one project and region.

    Attributes:
        versions: The versions of each model, by its id, oldest first.
        uploads: The requests that were accepted.
        page: How many models a page may hold.
    """

    versions: dict[str, list[model_types.Model]] = field(default_factory=dict)
    uploads: list[model_service.UploadModelRequest] = field(default_factory=list)
    page: int = 1
    _operations: dict[str, model_service.UploadModelResponse] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    def upload(self, body: str) -> dict[str, Any]:
        """Takes an upload; gives its operation."""
        try:
            request = model_service.UploadModelRequest.from_json(body)
        except json_format.ParseError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from None
        model = request.model
        _check(model)
        known = request.parent_model.rpartition("/")[2] if request.parent_model else str(1000 + len(self.versions))
        if request.parent_model and known not in self.versions:
            raise Refused(HTTPStatus.NOT_FOUND, f"{request.parent_model} is not found")
        versions = self.versions.setdefault(known, [])
        stored = model_types.Model(model)
        stored.name = f"{PARENT}/models/{known}"
        stored.version_id = str(len(versions) + 1)
        stored.create_time = f"2026-01-01T00:00:{len(self.uploads):02d}Z"
        if "default" in stored.version_aliases or not versions:
            for version in versions:
                version.version_aliases = [alias for alias in version.version_aliases if alias != "default"]
            stored.version_aliases = sorted({*stored.version_aliases, "default"})
        versions.append(stored)
        self.uploads.append(request)
        name = f"{PARENT}/models/{known}/operations/{len(self.uploads)}"
        self._operations[name] = model_service.UploadModelResponse(
            model=stored.name, model_version_id=stored.version_id
        )
        return json_format.MessageToDict(operations_pb2.Operation(name=name, done=False))

    def operation(self, name: str) -> dict[str, Any]:
        """An upload's state: at work the first time, done from the second on."""
        operation = operations_pb2.Operation(name=name, done=name in self._asked)
        if operation.done:
            operation.response.Pack(model_service.UploadModelResponse.pb(self._operations[name]))
        self._asked.add(name)
        return json_format.MessageToDict(operation)

    def list_models(self, query: dict[str, str]) -> dict[str, Any]:
        """The default versions of the models with a display name."""
        condition = re.fullmatch(r'display_name="([^"]*)"', query.get("filter", ""))
        if not condition:
            raise Refused(HTTPStatus.BAD_REQUEST, f"cannot read the filter {query.get('filter')}")
        defaults = (self.get(f"{PARENT}/models/{name}") for name in self.versions)
        named = [one for one in defaults if one.display_name == condition[1]]
        return self._paged(model_service.ListModelsResponse, named, query)

    def list_versions(self, name: str, query: dict[str, str]) -> dict[str, Any]:
        """All versions of a model."""
        return self._paged(model_service.ListModelVersionsResponse, list(self._of(name)), query)

    def get(self, name: str) -> model_types.Model:
        """A model's version: that of the number or alias after an @, or the default one."""
        name, _, version = name.partition("@")
        wanted = version or "default"
        for one in self._of(name):
            if wanted == one.version_id or wanted in one.version_aliases:
                return one
        raise Refused(HTTPStatus.NOT_FOUND, f"{name}@{version} is not found")

    def _of(self, name: str) -> Iterator[model_types.Model]:
        found = self.versions.get(name.rpartition("/")[2])
        if found is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"{name} is not found")
        return iter(found)

    def _paged(self, kind: Any, models: list[model_types.Model], query: dict[str, str]) -> dict[str, Any]:
        start = int(query.get("pageToken", "0"))
        end = start + min(self.page, int(query.get("pageSize", "50")))
        token = str(end) if end < len(models) else ""
        answer = kind(models=models[start:end], next_page_token=token)
        return json_format.MessageToDict(kind.pb(answer))


def _check(model: model_types.Model) -> None:
    if not model.display_name or len(model.display_name) > 128:
        raise Refused(HTTPStatus.BAD_REQUEST, "display_name")
    for key, value in model.labels.items():
        if not (LABEL_KEY.fullmatch(key) and LABEL_VALUE.fullmatch(value)):
            raise Refused(HTTPStatus.BAD_REQUEST, f"label {key}={value}")
    for alias in model.version_aliases:
        if not ALIAS.fullmatch(alias):
            raise Refused(HTTPStatus.BAD_REQUEST, f"alias {alias}")
    if "docker.pkg.dev/" not in model.container_spec.image_uri:
        raise Refused(HTTPStatus.BAD_REQUEST, "container_spec.image_uri must be in Artifact Registry")
    if model.artifact_uri and not model.artifact_uri.startswith("gs://"):
        raise Refused(HTTPStatus.BAD_REQUEST, "artifact_uri must be in Cloud Storage")


class Api(QuietServer):
    """Serves both APIs to who shows a good token.

    Args:
        certificate: Good for NAMES.
        metadata: Issues the tokens.
    """

    def __init__(self, certificate: Certificate, metadata: MetadataServer) -> None:
        super().__init__(_Request, certificate)
        self.metadata = metadata
        self.registry = ModelRegistry()
        self.secrets: dict[str, str] = {}
        self.fails: list[HTTPStatus] = []
        self.requests: list[str] = []

    def answer(self, method: str, path: str, query: dict[str, str], body: str) -> dict[str, Any]:
        """What a request is answered."""
        if self.fails:
            raise Refused(self.fails.pop(0), "not now")
        _, _, resource = path.partition("/v1/")
        if secret := re.fullmatch(r"projects/[^/]+/secrets/[^/]+/versions/[^/]+:access", resource):
            if secret[0] not in self.secrets:
                raise Refused(HTTPStatus.NOT_FOUND, f"Secret [{secret[0]}] not found")
            data = base64.b64encode(self.secrets[secret[0]].encode()).decode()
            return {"name": secret[0].removesuffix(":access"), "payload": {"data": data}}
        if method == "POST" and resource == f"{PARENT}/models:upload":
            return self.registry.upload(body)
        if method == "GET" and "/operations/" in resource:
            return self.registry.operation(resource)
        if method == "GET" and resource == f"{PARENT}/models":
            return self.registry.list_models(query)
        if method == "GET" and resource.endswith(":listVersions"):
            return self.registry.list_versions(resource.removesuffix(":listVersions"), query)
        if method == "GET" and resource.startswith(f"{PARENT}/models/"):
            return json_format.MessageToDict(model_types.Model.pb(self.registry.get(resource)))
        raise Refused(HTTPStatus.NOT_FOUND, f"{method} {path}")


class _Request(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self, method: str) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.server.requests.append(f"{method} {parts.path}")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            if not self.server.metadata.accepts(token):
                raise Refused(HTTPStatus.UNAUTHORIZED, "Request had invalid authentication credentials.")
            status, answer = HTTPStatus.OK, self.server.answer(method, parts.path, query, body)
        except Refused as refused:
            status = refused.status
            answer = {"error": {"code": status.value, "message": str(refused), "status": status.name}}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
