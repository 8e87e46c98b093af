"""Client for a pipelines' API, on kfp's own; each failure says what to type."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kfp_server_api  # type: ignore[import-untyped]
import urllib3
from kfp.client.token_credentials_base import TokenCredentialsBase
from requests.utils import get_environ_proxies, select_proxy
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
    wait_fixed,
)

from modelcar.cli.server.certificate import service_behind
from modelcar.cli.server.discovery import PORT, discover, forward_port, trust_bundle
from modelcar.cli.server.login import (
    LOG_IN,
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    Token,
    authorities,
    find_cluster,
    find_token,
)
from modelcar.cluster.connection import Cluster
from modelcar.errors import ClusterError
from modelcar.user_input import check_proxy, is_web_address

ANSWER_SECONDS = (10, 60)
"""Time to wait for a connection, and for an answer."""

SUCCEEDED = "SUCCEEDED"
ENDED = (SUCCEEDED, "FAILED", "CANCELED", "SKIPPED")
"""States of a run, in Kubeflow's words, after which nothing changes."""

_LOGGED_OUT = (401, 403)
_QUESTIONS, _SECONDS_BETWEEN_QUESTIONS = 3, 1.0


@dataclass(frozen=True)
class Client:
    """A pipelines' API.

    Attributes:
        address: Where it is.
        api: kfp's client for it.
        cluster: The cluster that its runs are in, if we may talk to that as well.
        has_token: Whether we say who we are.
        is_assumed: Whether the address was not looked up, for lack of rights.
    """

    address: str
    api: Any
    cluster: Cluster | None
    has_token: bool
    is_assumed: bool = False

    @classmethod
    def connect(cls, server: str = "", namespace: str = "", ca: Path | None = None) -> "Client":
        """Finds the pipelines' API, and talks to it.

        Args:
            server: Its address; empty for that of the pipeline server in the project.
            namespace: The project; empty for that of the login or the pod.
            ca: A file of authorities to trust besides the system's and the cluster's.

        Raises:
            ClusterError: There is none, it cannot be reached, or it does not know us.
        """
        cluster = find_cluster(namespace)
        found = None if server else discover(cluster)
        address = _address(server) if found is None else found.address
        settings = kfp_server_api.Configuration(host=address)
        # Whether to try again is for us to decide, and to say.
        settings.retries = urllib3.Retry(total=0, redirect=0, raise_on_redirect=False)
        check_proxy(address, ClusterError)
        settings.proxy = select_proxy(address, get_environ_proxies(address))
        is_safe = address.startswith("https://")
        if is_safe:
            settings.ssl_ca_cert = authorities(cluster, ca, found.config_maps if found else trust_bundle())
            project = cluster.namespace if cluster else ""
            settings.assert_hostname = service_behind(address, settings.ssl_ca_cert, project)
        # A login is not for everybody on the way to read, unless somebody gave us one for this.
        is_given = any(os.environ.get(name) for name in (TOKEN_VARIABLE, TOKEN_FILE_VARIABLE))
        token = find_token(cluster) if is_safe or is_given else None
        if token is not None:
            _with_token(settings, token)
        is_assumed = found is not None and found.is_assumed
        client = cls(address, kfp_server_api.ApiClient(settings), cluster, token is not None, is_assumed)
        client.multi_user  # noqa: B018
        return client

    @cached_property
    def multi_user(self) -> bool:
        """True if it serves many projects, and so wants to know which is meant."""
        with self.api_errors("say that it is well"):
            said = kfp_server_api.HealthzServiceApi(self.api).healthz_service_get_healthz(
                _request_timeout=ANSWER_SECONDS
            )
            if said.multi_user is None:
                # Every release says it (backend/src/apiserver/main.go). A login's page, or a dashboard, does not.
                raise ValueError
            return bool(said.multi_user)

    @property
    def namespace(self) -> str | None:
        """The project, for calls that want it; None for a server that serves but one."""
        if not self.multi_user:
            return None
        if self.cluster is None:
            raise ClusterError(f"{self.address} serves many projects", f"{LOG_IN}; or name one: --namespace NAME")
        return self.cluster.namespace

    def kfp(self) -> Any:
        """Returns the kfp SDK's own client for the same server, with the same login: for notebooks."""
        import kfp

        settings = self.api.configuration
        return kfp.Client(
            host=self.address,
            credentials=_Login(settings.refresh_api_key_hook) if self.has_token else None,
            ssl_ca_cert=settings.ssl_ca_cert,
        )

    @property
    def pipelines(self) -> Any:
        """Pipelines and their versions."""
        return kfp_server_api.PipelineServiceApi(self.api)

    @property
    def uploads(self) -> Any:
        """Upload of pipelines' YAML."""
        return kfp_server_api.PipelineUploadServiceApi(self.api)

    @property
    def experiments(self) -> Any:
        """Experiments, in which runs are kept together."""
        return kfp_server_api.ExperimentServiceApi(self.api)

    @property
    def runs(self) -> Any:
        """Runs."""
        return kfp_server_api.RunServiceApi(self.api)

    def run(self, run_id: str) -> Any:
        """Returns all that the API tells of a run.

        Where its database breaks off in the middle of an answer, Kubeflow Pipelines 2.14 says that there is no such run
        (GetRun in backend/src/apiserver/storage/run_store.go, which does not ask whether the rows came to an end). So
        that is believed once it was said several times. So is an end of the run before that of its steps: the one is
        written before the other (ReportWorkflowResource in backend/src/apiserver/resource/resource_manager.go).

        Raises:
            ClusterError: There is no such run, the API refused, or it cannot be reached.
        """
        asked = Retrying(
            retry=retry_if_exception(_says_there_is_none) | retry_if_result(_ended_before_its_steps),
            stop=stop_after_attempt(_QUESTIONS),
            wait=wait_fixed(_SECONDS_BETWEEN_QUESTIONS),
            retry_error_callback=_last_answer,
        )
        with self.api_errors(f"show the run {run_id}"):
            return asked(self.runs.run_service_get_run, run_id, _request_timeout=ANSWER_SECONDS)

    @property
    def schedules(self) -> Any:
        """Recurring runs."""
        return kfp_server_api.RecurringRunServiceApi(self.api)

    @contextmanager
    def api_errors(self, doing: str) -> Iterator[None]:
        """Turns what goes wrong into one line.

        Args:
            doing: What the server is asked for, as the end of "it refused to …".

        Raises:
            ClusterError: The server refused or cannot be reached; `may_pass` says whether it may later.
        """
        try:
            yield
        except kfp_server_api.ApiException as error:
            raise self._refused(doing, error) from None
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        except (AttributeError, TypeError, ValueError):
            raise ClusterError(
                f"what answers at {self.address} is not the pipelines' API",
                "Name the API's address (OpenShift AI: the route ds-pipeline-…), or leave --server out",
            ) from None

    def _refused(self, doing: str, error: kfp_server_api.ApiException) -> ClusterError:
        status = error.status or 0
        if status in _LOGGED_OUT and _server_message(error) == "":
            who = "does not accept this login" if self.has_token else "wants a login"
            where = f" for project {self.cluster.namespace}" if self.cluster else ""
            return ClusterError(
                f"the pipelines' API at {self.address} {who}{where} ({status})", _remedy_for_login(self.has_token)
            )
        if 300 <= status < 400:
            moved = str((error.headers or {}).get("Location", ""))
            if urlsplit(moved).netloc == urlsplit(self.address).netloc:
                return ClusterError(f"{self.address} sends us on to {moved}", f"Write --server {_origin(moved)}")
            return ClusterError(f"{self.address} wants a login in a browser ({status})", _remedy_for_login(False))
        if status == 400 and "HTTPS server" in str(error.body):
            secure = self.address.replace("http://", "https://", 1)
            return ClusterError(f"{self.address} speaks TLS", f"Write --server {secure}")
        if status == 404 and not _server_message(error):
            return ClusterError(
                f"there is no pipelines' API at {self.address} (404)",
                "Name its address (OpenShift AI: the route ds-pipeline-…), or leave --server out",
            )
        said = _server_message(error) or str(error.reason)
        return ClusterError(
            f"the pipelines' API refused to {doing} ({status}): {said}", may_pass=status == 429 or status >= 500
        )

    def _unreachable(self, error: urllib3.exceptions.HTTPError) -> ClusterError:
        cause = getattr(error, "reason", None) or error
        if "CERTIFICATE_VERIFY_FAILED" in str(cause):
            host = urlsplit(self.address).netloc
            return ClusterError(
                f"nobody we trust signed the certificate of {self.address}: {_short(cause)}",
                "Name the file of the authority that did: --ca FILE. To see it: openssl s_client -showcerts -connect "
                f"{host if ':' in host else f'{host}:443'} </dev/null",
            )
        remedy = "Is the address right, and can it be reached from here?"
        if urlsplit(self.address).hostname in ("localhost", "127.0.0.1"):
            remedy = f"Is the port forwarded? {_port_forward(self.address, self.cluster)}"
        elif self.is_assumed:
            remedy = (
                "This login may not look for the pipeline server; the dashboard puts it there. If it has another name, "
                f"give its address: --server https://ds-pipeline-NAME.PROJECT.svc:{PORT}"
            )
        return ClusterError(
            f"the pipelines' API at {self.address} cannot be reached: {_short(cause)}", remedy, may_pass=True
        )


class _Login(TokenCredentialsBase):  # type: ignore[misc]
    """A token for kfp's own client, read again for each request."""

    def __init__(self, refresh: Callable[[Any], None]) -> None:
        self._refresh = refresh

    def refresh_api_key_hook(self, config: Any) -> None:
        """Puts the token of this moment into a client's settings."""
        self._refresh(config)


def _says_there_is_none(error: BaseException) -> bool:
    return isinstance(error, kfp_server_api.ApiException) and error.status == 404 and _server_message(error) != ""


def _ended_before_its_steps(run: Any) -> bool:
    details = (run.run_details and run.run_details.task_details) or []
    return run.state in ENDED and any(detail.state == "RUNNING" for detail in details)


def _last_answer(asked: RetryCallState) -> Any:
    assert asked.outcome is not None
    return asked.outcome.result()


def _port_forward(address: str, cluster: Cluster | None) -> str:
    if address.startswith("https://"):
        return forward_port(cluster.namespace if cluster else "PROJECT").partition(": ")[2].partition(", then")[0]
    return "kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80"


def _with_token(settings: Any, token: Token) -> None:
    def refresh(to_change: Any) -> None:
        to_change.api_key["authorization"] = token()

    # Without any key the client does not come to ask for one.
    settings.api_key["authorization"] = ""
    settings.api_key_prefix["authorization"] = "Bearer"
    settings.refresh_api_key_hook = refresh


def _address(server: str) -> str:
    address = server if "://" in server else f"https://{server}"
    if not is_web_address(address):
        raise ClusterError(f"{server!r} is not the address of a server", "Write --server https://host")
    return address.rstrip("/")


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _remedy_for_login(has_token: bool) -> str:
    token = "A login by certificate has no token for it" if not has_token else "Tokens of `oc login` end after a day"
    return f"{token}. {LOG_IN}. For a service account: export KFP_EXISTING_TOKEN=$(oc create token NAME)"


def _server_message(error: kfp_server_api.ApiException) -> str:
    """The API's own words; empty where they are those of a proxy before it."""
    try:
        body = json.loads(error.body)
        said = body.get("error_message") or body.get("message") or body.get("error") or ""
    except (TypeError, ValueError, AttributeError):
        return ""
    return " ".join(str(said).split())


def _short(cause: object) -> str:
    """The last part of what a connection failed of: the rest names objects of the library."""
    return str(cause).rpartition(">: ")[2] or str(cause)
