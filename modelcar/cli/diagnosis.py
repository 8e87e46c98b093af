"""Diagnoses of what a run needs, without a model: this machine, the Hub, the logins, the project, its cluster.

Each subject yields findings, as a preflight does: a warning is what some runs need and this place lacks.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kubernetes import client
from rich.filesize import decimal

from modelcar import model_registry
from modelcar.cli import folders
from modelcar.cli.server.client import Client
from modelcar.cli.server.login import LOG_IN, find_cluster
from modelcar.cli.settings import setting
from modelcar.cluster.connection import REQUEST_SECONDS, Cluster, api_errors
from modelcar.errors import ClusterError, HubError, ModelcarError
from modelcar.hub.client import Hub
from modelcar.hub.identity import identity_headers
from modelcar.image import builder
from modelcar.oci import credentials
from modelcar.serving.platform import find_platform
from modelcar.steps.preflight import admission, claims, nodes
from modelcar.steps.preflight.finding import Finding
from modelcar.steps.preflight.request import RunRequest

CLAIM, BUILD_ACCOUNT = "modelcar", "modelcar-build"
"""Names that the pipelines and manifests/ give them."""

_APPLY = "Ask an administrator for manifests/ (docs/platform-team.md); to write them: modelcar files manifests"


@dataclass(frozen=True)
class Subject:
    """Subject of a diagnosis, and its findings.

    Attributes:
        name: Its name.
        findings: The findings.
    """

    name: str
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Tells whether it can be worked with."""
        return all(one.verdict != "refusal" for one in self.findings)


def diagnose(namespace: str = "") -> Iterator[Subject]:
    """Looks at all that a run may need.

    Args:
        namespace: The project; empty for that of the login.
    """
    yield _subject("this machine", _machine)
    yield _subject("Hugging Face", _hub)
    yield _subject("registries", _registries)
    if url := setting("model_registry"):
        yield _subject("Model Registry", lambda: _model_registry(url))
    try:
        cluster = find_cluster(namespace)
    except ClusterError as error:
        yield Subject("cluster", (Finding.of("login", error),))
        return
    if cluster is None:
        no_login = Finding("login", "warning", "there is none, which `modelcar run` does not need", f"{LOG_IN}")
        yield Subject("cluster", (no_login,))
        return
    yield _subject("cluster", lambda: _cluster(cluster))
    yield _subject(f"project {cluster.namespace}", lambda: _project(cluster, namespace))


def _subject(name: str, look: Callable[[], Iterator[Finding]]) -> Subject:
    found = []
    try:
        found += list(look())
    except ModelcarError as error:
        found.append(Finding.of("", error))
    return Subject(name, tuple(found))


def _machine() -> Iterator[Finding]:
    if not builder.is_there():
        what = "not installed; images are made without it, and are the same"
        yield Finding("buildah", "ok", what)
    elif builder.may_run_here():
        yield Finding("buildah", "ok", "installed, and may work here")
    else:
        yield Finding("buildah", "warning", "it may not make a user namespace here", "Write --builder direct")
    place = folders.downloads()
    there = next(one for one in (place, *place.parents) if os.path.isdir(one))
    if not os.access(there, os.W_OK):
        remedy = "Name another folder: --claim DIR, or stream: --streaming"
        yield Finding("downloads", "warning", f"{place} cannot be written", remedy)
    else:
        yield Finding("downloads", "ok", f"{place}, where {decimal(shutil.disk_usage(there).free)} are free")


def _hub() -> Iterator[Finding]:
    with Hub() as hub:
        try:
            accepted = hub.accepts_token()
        except HubError as error:
            yield Finding.of("answer", error)
            return
    yield Finding("answer", "ok", f"{hub.endpoint} answers")
    if "authorization" not in identity_headers():
        yield Finding("token", "ok", "there is none, which gated and private models need: hf auth login")
    elif accepted:
        yield Finding("token", "ok", "there is one")
    else:
        yield Finding("token", "refusal", f"{hub.endpoint} does not accept the token", "Log in again: hf auth login")


def _registries() -> Iterator[Finding]:
    files = [str(file) for file in credentials.auth_files()]
    if files:
        yield Finding("logins", "ok", f"in {', '.join(files)}")
    else:
        yield Finding("logins", "warning", "there are none", "Log in to yours: podman login quay.io")
    for name in ("registry", "mirror"):
        if prefix := setting(name):
            host, _, path = prefix.partition("/")
            if credentials.find(host, path):
                yield Finding(name, "ok", f"there is a login for {prefix}")
            else:
                yield Finding(name, "warning", f"there is no login for {prefix}", f"Log in: podman login {host}")


def _model_registry(url: str) -> Iterator[Finding]:
    model_registry.check_write(url)
    yield Finding("entries", "ok", f"{url} may be written")


def _cluster(cluster: Cluster) -> Iterator[Finding]:
    host = cluster.api.configuration.host
    with api_errors("say who you are", LOG_IN):
        review: Any = client.AuthenticationV1Api(cluster.api).create_self_subject_review(
            client.V1SelfSubjectReview(), _request_timeout=REQUEST_SECONDS
        )
    yield Finding("login", "ok", f"{review.status.user_info.username} at {host}")
    platform = find_platform(cluster)
    if platform.found:
        yield Finding("serving", "ok", platform.name)
    else:
        yield Finding("serving", "warning", "there is no KServe", "Images can be made and not served here")
    try:
        yield from nodes.check(cluster, RunRequest(model="").need)
    except ClusterError as error:
        yield Finding.of("nodes", error, "warning")


def _project(cluster: Cluster, namespace: str) -> Iterator[Finding]:
    try:
        server = Client.connect(namespace=namespace)
        yield Finding("pipelines", "ok", f"the pipeline server answers at {server.address}")
    except ModelcarError as error:
        yield Finding.of("pipelines", error)
    looks: tuple[Callable[[], Finding], ...] = (
        lambda: claims.check(cluster, CLAIM, 0),
        lambda: admission.check_jobs(cluster),
        lambda: _account(cluster),
    )
    for look in looks:
        try:
            found = look()
        except ClusterError as error:
            found = Finding.of("", error, "warning")
        # Without them images are streamed, or built in the step's own pod.
        verdict = "warning" if found.verdict == "refusal" else found.verdict
        yield Finding(found.about, verdict, found.what, found.remedy, found.command)


def _account(cluster: Cluster) -> Finding:
    with api_errors(f"look for the service account {BUILD_ACCOUNT}"):
        try:
            cluster.core.read_namespaced_service_account(
                BUILD_ACCOUNT, cluster.namespace, _request_timeout=REQUEST_SECONDS
            )
        except client.ApiException as error:
            if error.status != 404:
                raise
            what = f"there is no service account {BUILD_ACCOUNT} in {cluster.namespace}"
            return Finding("builds", "warning", f"{what}, so no build can be a Job", _APPLY)
    return Finding("builds", "ok", f"the service account {BUILD_ACCOUNT} is there for builds in a Job")
