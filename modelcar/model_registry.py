"""Enters an image in Kubeflow's Model Registry, so that an entry always names an image that is there.

All that is entered is read from the image itself, from the annotations that the build wrote. Entering converges: the
same image again changes nothing, and a run that ended half-way is completed by the next.
"""

import asyncio
import ipaddress
import os
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from modelcar import pod
from modelcar.errors import ModelRegistryError
from modelcar.image import annotations
from modelcar.image.model_card import ModelCard, read_model_card
from modelcar.oci import spec
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored
from modelcar.tls import check_authorities
from modelcar.user_input import check_proxy, check_token, is_web_address, token_in

if TYPE_CHECKING:
    from model_registry.types import ModelArtifact

    from modelcar.model_registry_api import ModelRegistryApi

VERSION_DIGITS = 12
"""Digits of the commit in a version's name: as many as git shortens it to, and enough to be unique."""

DEFAULT_FORMAT = "vLLM"
"""Model format of an image of an earlier version, which does not say what was found."""

ANSWER_SECONDS = 60.0
"""Time for all of an entry, which is some requests of a few milliseconds each; the client itself would wait for
minutes."""


MODEL_TYPE = "model_type"
"""Property that OpenShift AI's dashboard reads from 3.4 on."""

_GIVE_TOKEN = "Put one into MODEL_REGISTRY_TOKEN, such as that of `oc whoami -t`"  # noqa: S105

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Entry:
    """Entry that the registry should have.

    Attributes:
        model: The registered model's name.
        version: The version's name.
        uri: What the artifact points to.
        format: The model's format.
        properties: Custom properties of the version.
        card: The model's card, where it was read.
    """

    model: str
    version: str
    uri: str
    format: str
    properties: Mapping[str, str]
    card: ModelCard | None = None


def is_registered(
    source: str, url: str, *, name: str = "", model_format: str = "", owner: str = "", tags: Sequence[str] = ()
) -> bool:
    """Tells whether `register` with the same arguments would change nothing, but for the card. Only reads.

    Raises:
        ModelRegistryError: The Model Registry is unreachable or refused, or the image was not made by this project.
        RegistryError: The image is not there.
    """
    entry = read_entry(source, name, model_format)
    return ask(url, lambda api: _holds(api, entry, owner, dict.fromkeys(tags, "")))


def registered_uri(url: str, name: str, commit: str) -> str:
    """Returns the address that the entry of a model at a commit points to; empty if there is none. Only reads.

    Args:
        url: The Model Registry's address.
        name: The registered model's name.
        commit: The commit.

    Raises:
        ModelRegistryError: The Model Registry is unreachable or refused.
    """

    async def read(api: "ModelRegistryApi") -> str:
        model = await api.get_registered_model_by_params(name)
        version = await api.get_model_version_by_params(model.id, commit[:VERSION_DIGITS]) if model else None
        artifact = await api.get_model_artifact_by_params(name, version.id) if version else None
        return str(artifact.uri or "") if artifact else ""

    return ask(url, read)


def find_ids(source: str, url: str, name: str = "") -> tuple[str, str]:
    """Returns the ids of the registered model and the version that an image is; empty where there is none. Only reads.

    Args:
        source: The image.
        url: The Model Registry's address.
        name: The registered model's name; empty for the model's id.

    Raises:
        ModelRegistryError: The Model Registry is unreachable or refused, or the image was not made by this project.
        RegistryError: The image is not there.
    """
    entry = read_entry(source, name, "")

    async def read(api: "ModelRegistryApi") -> tuple[str, str]:
        model = await api.get_registered_model_by_params(entry.model)
        version = await api.get_model_version_by_params(model.id, entry.version) if model else None
        return (str(model.id), str(version.id)) if version else ("", "")

    return ask(url, read)


def check_write(url: str) -> None:
    """Sees whether we may write to a Model Registry: offers it a model without a name, which it never takes.

    The registry's own server lets everyone write; who may is decided before it, by the proxy that wants the token. That
    answers 401 or 403, and only who is let through hears from the server that the name is missing.

    Raises:
        ModelRegistryError: It cannot be reached, or refuses the token.
    """
    ask(url, _offer_nothing)


def ask(url: str, question: "Callable[[ModelRegistryApi], Coroutine[Any, Any, Answer]]") -> Answer:
    """Asks the server one question, within a time limit and with its errors translated."""

    async def answered() -> Answer:
        async with asyncio.timeout(ANSWER_SECONDS):
            api = _connect(url)
            await api.choose_version()
            return await question(api)

    # In a thread of its own, for a notebook runs an event loop already.
    with _model_registry_errors(url), ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(answered())).result()


async def _offer_nothing(api: "ModelRegistryApi") -> None:
    from model_registry.types import ListOptions
    from mr_openapi import RegisteredModelCreate
    from mr_openapi.exceptions import BadRequestException, UnprocessableEntityException

    await api.get_registered_models(ListOptions(limit=1))
    # The client itself would refuse a model without a name.
    nameless = RegisteredModelCreate.model_construct(name="")
    async with api.get_client() as client:
        with suppress(BadRequestException, UnprocessableEntityException):
            await client.create_registered_model(nameless)


def read_entry(source: str, name: str, model_format: str, *, with_card: bool = False) -> Entry:
    """Reads from an image's annotations what its entry will say.

    Args:
        source: The image.
        name: The registered model's name; empty for the model's id.
        model_format: The model's format; empty for what was found.
        with_card: Whether to read its README as well.
    """
    reference = Reference.parse(source)
    with Repository(reference) as repository:
        stored = repository.manifest(reference.version)
        layers = _layers(repository, stored)
        entry = _entry(reference.at(stored.digest), stored, layers, name, model_format)
        if not with_card:
            return entry
        return replace(entry, card=read_model_card(repository, layers, stored.annotations()))


def _layers(repository: Repository, stored: Stored) -> list[spec.Descriptor]:
    manifest = repository.manifest(stored.index().manifests[0].digest) if stored.is_index else stored
    return manifest.manifest().layers


def _entry(reference: Reference, stored: Stored, layers: list[spec.Descriptor], name: str, model_format: str) -> Entry:
    said = stored.annotations()
    if annotations.MODEL not in said or spec.REVISION not in said:
        raise ModelRegistryError(
            f"{reference} does not say which model it holds", "Register images that the build step of this project made"
        )
    uri = f"oci://{reference}"
    model_format = model_format or said.get(annotations.MODEL_FORMAT, "") or DEFAULT_FORMAT
    properties = {
        "hub_id": said[annotations.MODEL],
        "hub_commit": said[spec.REVISION],
        "hub_url": said.get(spec.SOURCE, ""),
        "licence": said.get(spec.LICENCES, ""),
        "licence_name": said.get(annotations.LICENCE_NAME, ""),
        "licence_link": said.get(annotations.LICENCE_LINK, ""),
        "base_model": said.get(annotations.BASE_MODELS, ""),
        "base_model_relation": said.get(annotations.BASE_MODEL_RELATION, ""),
        "serving": said.get(annotations.SERVING, ""),
        "quantization": said.get(annotations.QUANTIZATION, ""),
        "weights_bytes": said.get(annotations.SIZE, ""),
        "image_bytes": str(sum(layer.size for layer in layers)),
        "image_digest": reference.digest,
        "image_recipe": said.get(annotations.RECIPE, ""),
        MODEL_TYPE: "generative" if model_format in annotations.GENERATIVE_FORMATS else "predictive",
    }
    version = said[spec.REVISION][:VERSION_DIGITS]
    return Entry(
        name or said[annotations.MODEL], version, uri, model_format, {k: v for k, v in properties.items() if v}
    )


async def _holds(api: "ModelRegistryApi", entry: Entry, owner: str, tags: Mapping[str, str]) -> bool:
    model = await api.get_registered_model_by_params(entry.model)
    if model is None or owner not in ("", model.owner) or not says(model.custom_properties, tags):
        return False
    version = await api.get_model_version_by_params(model.id, entry.version)
    if version is None or not says(version.custom_properties, {**entry.properties, **tags}):
        return False
    return points_to(await api.get_model_artifact_by_params(entry.model, version.id), entry)


def points_to(artifact: "ModelArtifact | None", entry: Entry) -> bool:
    """Tells whether an artifact names the entry's image, and is live, as the dashboard's own are."""
    from mr_openapi import ArtifactState

    if artifact is None or artifact.state != ArtifactState.LIVE:
        return False
    return bool(artifact.uri == entry.uri and artifact.model_format_name == entry.format)


def says(found: Mapping[str, object] | None, wanted: Mapping[str, str]) -> bool:
    """Tells whether custom properties hold what is wanted."""
    return all((found or {}).get(key) == value for key, value in wanted.items())


def _connect(url: str) -> "ModelRegistryApi":
    from modelcar.model_registry_api import ModelRegistryApi

    if not is_web_address(url):
        raise ModelRegistryError(f"{url!r} is not the address of a Model Registry", "Write it as https://host:port")
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 8080)
    address = f"{parts.scheme}://{parts.hostname}"
    if parts.scheme == "http":
        token = _token_in_the_clear(address, parts.hostname or "")
        api: ModelRegistryApi = ModelRegistryApi.insecure_connection(address, port, token)
        return api
    token = _token()
    if not token:
        raise ModelRegistryError(
            f"the Model Registry at {url} wants a token",
            _GIVE_TOKEN,
        )
    check_authorities(ModelRegistryError)
    authority = os.environ.get("SSL_CERT_FILE") or None
    api = ModelRegistryApi.secure_connection(address, port, user_token=token, custom_ca=authority)
    return api


def _token_in_the_clear(address: str, host: str) -> str:
    """The token for a server without TLS: only for one of this cluster or machine, and past every proxy.

    Raises:
        ModelRegistryError: A token was given on purpose, and would be readable on its way.
    """
    if _stays_within(host):
        return _token()
    proxied = _is_loopback(host) or _is_service(host)
    if _given_token():
        raise ModelRegistryError(
            f"the token for the Model Registry at {address} would be readable on its way: there is no TLS"
            + (", but a proxy" if proxied else ""),
            "Write https://…, or, for a Service of this cluster, http://<name>.<namespace>.svc:8080, and put .svc into "
            "NO_PROXY",
        )
    # The pod's own token opens more than the Model Registry.
    return ""


def _stays_within(host: str) -> bool:
    proxied = "http" in getproxies() and not proxy_bypass(host)
    return not proxied and (_is_loopback(host) or _is_service(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_service(host: str) -> bool:
    """Tells whether a name can be that of a Service of this pod's cluster alone."""
    if re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+\.svc(\.cluster\.local)?\.?", host):
        return True
    return _in_pod() and re.fullmatch(r"[a-z][a-z0-9-]*", host) is not None


def _in_pod() -> bool:
    return (pod.SERVICE_ACCOUNT / "token").is_file()


def _token() -> str:
    """The token to show: one that was given, else the pod's own. Each file is read anew, for such tokens rotate."""
    files = [Path(os.environ.get("KF_PIPELINES_SA_TOKEN_PATH") or ""), pod.SERVICE_ACCOUNT / "token"]
    return _given_token() or next((_token_in(file) for file in files if os.path.isfile(file)), "")


def _given_token() -> str:
    if token := os.environ.get("MODEL_REGISTRY_TOKEN"):
        return check_token(token.strip(), "MODEL_REGISTRY_TOKEN", ModelRegistryError, _GIVE_TOKEN)
    file = os.environ.get(pod.MODEL_REGISTRY_TOKEN_FILE) or ""
    return _token_in(Path(file)) if os.path.isfile(file) else ""


def _token_in(file: Path) -> str:
    return token_in(file, ModelRegistryError, _GIVE_TOKEN)


@contextmanager
def _model_registry_errors(url: str) -> Iterator[None]:
    import aiohttp
    from model_registry.exceptions import StoreError
    from mr_openapi.exceptions import ApiException, ForbiddenException, NotFoundException, UnauthorizedException
    from pydantic import ValidationError

    from modelcar.model_registry_api import VERSIONS

    try:
        yield
    except (UnauthorizedException, ForbiddenException) as error:
        parts = urlsplit(url)
        if parts.scheme == "http" and not _stays_within(parts.hostname or ""):
            raise ModelRegistryError(
                f"the Model Registry at {url} wants a token ({error.status}), and none is sent there without TLS",
                "Write https://…, or, for a Service of this cluster, http://<name>.<namespace>.svc:8080",
            ) from None
        raise ModelRegistryError(
            f"the Model Registry at {url} refused the token ({error.status})",
            "Let the pipeline's service account write to it, or put a token into MODEL_REGISTRY_TOKEN",
        ) from None
    except NotFoundException:
        raise ModelRegistryError(
            f"what answers at {url} has no Model Registry's API ({' or '.join(VERSIONS)})",
            "Take the address of its REST API, not of a page",
        ) from None
    except ApiException as error:
        words = str(error.body or error.reason or "").strip()[:300]
        raise ModelRegistryError(f"the Model Registry at {url} answered {error.status}: {words}") from None
    except ValidationError:
        raise ModelRegistryError(
            f"what answers at {url} is no Model Registry", "Take the address of its REST API, not of a page"
        ) from None
    except (AttributeError, TypeError, ValueError, StoreError):
        check_proxy(url, ModelRegistryError)
        # The client takes any answer for the one it expects, an empty one of a gateway too.
        raise ModelRegistryError(
            f"the Model Registry at {url} gave an answer that cannot be read",
            "Run again: what was entered is completed. If it stays, see what answers at that address",
        ) from None
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise ModelRegistryError(
            f"cannot reach the Model Registry at {url}: {str(error) or 'no answer in time'}",
            "Check that it is up and that its address and port are right; the image is in place, so run again then",
        ) from None
