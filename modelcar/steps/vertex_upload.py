"""Entry of an image in Vertex AI's Model Registry, and whether it is there already.

A version of a model there is a container: an image in Artifact Registry, and how Vertex AI runs it and asks it
(https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements). Labels say what is in it, so that
the same image with the same settings is not entered twice.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from modelcar import google_cloud
from modelcar.errors import PlanError
from modelcar.image.entry_points import overrides_model
from modelcar.oci.reference import Reference

MODEL, COMMIT, DIGEST, CONTAINER = "modelcar-model", "modelcar-commit", "modelcar-digest", "modelcar-container"
"""Labels: the Hub's id of the model, its commit, the image's digest, and a hash of how it is run."""

MAX_LABEL_CHARS = 63
"""Characters of a label's value, which are lower-case letters, digits, `_` and `-`.

https://cloud.google.com/vertex-ai/docs/predictions/model-labels
"""

MODEL_ID = "MODEL_ID"
"""Variable of the container with the model's id on the Hub, unless somebody gives it another value."""

MAX_DISPLAY_NAME_CHARS = 128
PAGE = "100"

Missing = Literal["model", "version", "nothing"]

_HASH_DIGITS = 16


class _Message(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class Port(_Message):
    """A port of a container."""

    container_port: int = Field(gt=0, lt=1 << 16)


class Variable(_Message):
    """An environment variable."""

    name: str = Field(min_length=1)
    value: str = ""


class Container(_Message):
    """A container as Vertex AI runs it: the API's ModelContainerSpec, by its own names.

    https://cloud.google.com/vertex-ai/docs/reference/rest/v1/ModelContainerSpec
    """

    image_uri: str
    command: list[str] = []
    args: list[str] = []
    env: list[Variable] = []
    ports: list[Port] = []
    predict_route: str = Field("", pattern="^(/.*)?$")
    health_route: str = Field("", pattern="^(/.*)?$")
    invoke_route_prefix: str = Field("", pattern="^(/.*)?$")
    grpc_ports: list[Port] = []
    deployment_timeout: str = Field("", pattern="^([0-9]+s)?$")
    shared_memory_size_mb: int = Field(0, ge=0)
    startup_probe: dict[str, Any] = {}
    health_probe: dict[str, Any] = {}
    liveness_probe: dict[str, Any] = {}

    def spec(self) -> dict[str, Any]:
        """This as the API's JSON."""
        return self.model_dump(by_alias=True, exclude_defaults=True)


@dataclass(frozen=True)
class Entry:
    """Entry of an image.

    Attributes:
        display_name: The model's name in the registry.
        description: What it is, in one line.
        labels: What is in it.
        container: The container that serves it.
    """

    display_name: str
    description: str
    labels: dict[str, str]
    container: Container


@dataclass(frozen=True)
class Known:
    """The registry's knowledge of an entry.

    Attributes:
        missing: `model` if it knows no such model, `version` if it knows the model but not this, else `nothing`.
        model: The known model's resource name, `projects/…/locations/…/models/…`; empty if there is none.
        address: The address of that model in the API.
    """

    missing: Missing
    model: str = ""
    address: str = ""


def check_target(target: str, location: str = "") -> Reference:
    """Returns the reference of an image that Vertex AI can run, and warns of one that lies in another region.

    Args:
        target: The image to write.
        location: The region in which Vertex AI will run it; empty if that is not known.

    Raises:
        PlanError: It lies elsewhere than in Artifact Registry.
        UnsafeNameError: The text is no reference to write to.
    """
    reference = Reference.parse_target(target)
    if not google_cloud.serves(reference.registry):
        raise PlanError(
            f"Vertex AI runs images of Artifact Registry alone, not of {reference.registry}",
            "Name a target such as europe-west4-docker.pkg.dev/my-project/models/granite:3.3-2b",
        )
    place, is_regional, _ = reference.registry.partition("-docker.pkg.dev")
    # A multi-region is called us, europe or asia, with which its regions' names begin.
    if location and is_regional and not f"{location}-".startswith(f"{place}-"):
        print(
            f"warning: {reference.registry} is in another region than the endpoint, {location}: the model crosses "
            f"regions on its way to a server, which costs time and traffic. Better: {location}-docker.pkg.dev",
            flush=True,
        )
    return reference


def check_server(serving_image: str, args: Sequence[str], container: Mapping[str, Any]) -> None:
    """Checks, before a byte moves, that the server will be started as it is meant, and warns where it may not be.

    Vertex AI is always given a folder for a model's files, which some images would serve in the place of the model
    (modelcar.image.entry_points).

    Args:
        serving_image: The image under the model.
        args: Arguments of the server.
        container: More of the API's ModelContainerSpec, by its own names.

    Raises:
        PlanError: The container is none that Vertex AI takes, or names two programs.
    """
    command = _container("", serving_image, args, container).command
    if command and args and not args[0].startswith("-"):
        raise PlanError(
            f"serving_args begin with a program, {args[0]!r}, and serving_container has a command already",
            "Leave the program out of serving_args, or give serving_container without its command",
        )
    if finding := overrides_model(serving_image, container, args):
        print("warning: {}. {}".format(*finding), flush=True)


def describe(
    model: str,
    commit: str,
    image: str,
    args: Sequence[str],
    container: Mapping[str, Any],
    name: str = "",
) -> Entry:
    """Returns the entry of an image.

    Args:
        model: The model's id on the Hub.
        commit: Its commit.
        image: The image, pinned to its digest.
        args: What the server is given.
        container: More of the API's ModelContainerSpec, by its own names: ports, routes, environment, probes.
        name: The model's name in the registry; empty for its id on the Hub.

    Raises:
        PlanError: The container or the name is not one that Vertex AI takes.
    """
    digest = Reference.parse(image).digest.removeprefix("sha256:")
    if not digest:
        raise PlanError(f"{image} is not pinned to a digest")
    served = _container(model, image, args, container)
    settings = json.dumps(served.spec(), sort_keys=True)
    labels = {
        MODEL: label_value(model),
        COMMIT: label_value(commit),
        DIGEST: digest[:MAX_LABEL_CHARS],
        CONTAINER: hashlib.sha256(settings.encode()).hexdigest()[:_HASH_DIGITS],
    }
    return Entry(_display_name(name or model), f"{model} at commit {commit}, from Hugging Face", labels, served)


def label_value(text: str) -> str:
    """A text as a label's value. What is too long is cut, and then ends in a hash of all of it."""
    value = re.sub(r"[^a-z0-9_-]", "-", text.lower().replace("/", "_"))
    if len(value) <= MAX_LABEL_CHARS:
        return value
    whole = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{value[: MAX_LABEL_CHARS - len(whole) - 1]}-{whole}"


def find(entry: Entry, project: str, location: str) -> Known:
    """Returns the knowledge of a project's registry of an entry.

    A model is taken for the same if it has the entry's name and its label says the same id on the Hub; of several, the
    oldest. A version is the same if image and settings are.

    Args:
        entry: What would be entered.
        project: The project's id.
        location: The region, such as `europe-west4`.

    Raises:
        GoogleCloudError: The registry cannot be read.
    """
    api = f"https://{location}-aiplatform.googleapis.com/v1"
    models = _models(f"{api}/projects/{project}/locations/{location}/models", f'display_name="{entry.display_name}"')
    same = [
        model
        for model in models
        if model.get("displayName") == entry.display_name and _labels(model).get(MODEL) == entry.labels[MODEL]
    ]
    if not same:
        return Known("model")
    # A listed model is its default version; the name may tell which one that is.
    name = str(min(same, key=lambda model: str(model.get("createTime", "")))["name"]).partition("@")[0]
    wanted = {label: entry.labels[label] for label in (DIGEST, CONTAINER)}.items()
    versions = _models(f"{api}/{name}:listVersions")
    missing: Missing = "nothing" if any(wanted <= _labels(version).items() for version in versions) else "version"
    return Known(missing, name, f"{api}/{name}")


def newest(model: str, name: str, project: str, location: str) -> dict[str, Any] | None:
    """Returns the default version of a model in a project's registry, as the API has it; None if there is none.

    Args:
        model: The model's id on the Hub.
        name: Its name in the registry; empty for its id on the Hub.
        project: The project's id.
        location: The region.

    Raises:
        GoogleCloudError: The registry cannot be read.
    """
    url = f"https://{location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/models"
    models = _models(url, f'display_name="{_display_name(name or model)}"')
    same = [one for one in models if _labels(one).get(MODEL) == label_value(model)]
    return min(same, key=lambda one: str(one.get("createTime", ""))) if same else None


def _container(model: str, image: str, args: Sequence[str], container: Mapping[str, Any]) -> Container:
    ours = {"imageUri", "args"} & container.keys()
    if ours:
        raise PlanError(f"serving_container names {', '.join(sorted(ours))}, which other parameters decide")
    env = container.get("env", [])
    if isinstance(env, list) and not any(isinstance(one, dict) and one.get("name") == MODEL_ID for one in env):
        # Model Garden's own deployments name the model so.
        env = [{"name": MODEL_ID, "value": model}, *env]
    try:
        return Container.model_validate({**container, "imageUri": image, "args": list(args), "env": env})
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise PlanError(
            f"serving_container is no container that Vertex AI takes: {where}: {problem['msg']}",
            "Its fields are those of https://cloud.google.com/vertex-ai/docs/reference/rest/v1/ModelContainerSpec",
        ) from None


def _display_name(name: str) -> str:
    # ModelUploadOp writes it into JSON as it is.
    if len(name) > MAX_DISPLAY_NAME_CHARS or re.search(r'["\\\x00-\x1f]', name):
        raise PlanError(
            f"{name!r} cannot be a model's name in Vertex AI",
            f"It may have {MAX_DISPLAY_NAME_CHARS} characters, without quotes and backslashes",
        )
    return name


def _models(url: str, condition: str = "") -> Iterator[dict[str, Any]]:
    page = ""
    while True:
        answer = google_cloud.read(url, filter=condition, pageSize=PAGE, pageToken=page)
        yield from answer.get("models", [])
        page = answer.get("nextPageToken", "")
        if not page:
            return


def _labels(model: Mapping[str, Any]) -> dict[str, str]:
    return dict(model.get("labels") or {})
