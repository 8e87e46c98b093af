"""Connection to the Kubernetes API server, as the pod's service account or as a kubeconfig says."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import urllib3

if TYPE_CHECKING:
    from kubernetes import client

from modelcar import pod
from modelcar.errors import ClusterError
from modelcar.user_input import fits_header, is_web_address

REQUEST_SECONDS = (10, 60)
"""Time to wait for a connection, and for an answer."""

_NOBODY = "system:anonymous"
"""Name by which Kubernetes calls who brings no login, such as after a kubeconfig's program for one has failed."""

_LOG_IN_AGAIN = "This login has ended, or is none: log in again with oc login; in a pod, run again"


@dataclass(frozen=True)
class Cluster:
    """A cluster, and the namespace in it that the run belongs to.

    Attributes:
        api: The client that all calls share.
        namespace: The run's namespace (OpenShift: project).
    """

    api: Any
    namespace: str

    @classmethod
    def find(cls) -> "Cluster | None":
        """The cluster that this process runs in, else the one that KUBECONFIG names; None where there is neither.

        Raises:
            ClusterError: The pod's service account, or the file that KUBECONFIG names, cannot be used.
        """
        namespace_file = pod.SERVICE_ACCOUNT / "namespace"
        if "KUBERNETES_SERVICE_HOST" in os.environ and namespace_file.is_file():
            # A second of a processor, which a run on one's own machine need not wait for.
            from kubernetes import client, config

            settings: Any = client.Configuration()
            with _login_errors("this pod's service account", "Look at what is mounted in it"):
                # The loader keeps re-reading the token: it is rotated while a long build runs.
                config.load_incluster_config(client_configuration=settings)
                return cls(client.ApiClient(settings), namespace_file.read_text().strip())
        # The client itself reads KUBECONFIG once, when it is imported.
        file = os.environ.get("KUBECONFIG")
        return cls.of(file) if file else None

    @classmethod
    def of(cls, file: str) -> "Cluster":
        """The cluster that a kubeconfig names.

        Raises:
            ClusterError: The file cannot be used.
        """
        from kubernetes import client, config

        settings: Any = client.Configuration()
        with _login_errors(f"the kubeconfig {file}", "Log in again, or name another file in KUBECONFIG"):
            config.load_kube_config(file, client_configuration=settings)
            _, context = config.list_kube_config_contexts(file)
            namespace = context["context"].get("namespace", "default")
            if not is_web_address(settings.host):
                raise ValueError(f"{settings.host!r} is not the address of a server")
            if not fits_header(str(settings.get_api_key_with_prefix("authorization") or "")):
                raise ValueError("its token has letters that no token has")
            if not isinstance(namespace, str):
                raise ValueError(f"{namespace!r} is no namespace")
            return cls(client.ApiClient(settings), namespace)

    @cached_property
    def core(self) -> Any:
        """Pods, nodes, claims, events."""
        from kubernetes import client

        return client.CoreV1Api(self.api)

    @cached_property
    def batch(self) -> Any:
        """Jobs."""
        from kubernetes import client

        return client.BatchV1Api(self.api)

    @cached_property
    def auth(self) -> Any:
        """Reviews of who may do what."""
        from kubernetes import client

        return client.AuthorizationV1Api(self.api)

    def own_pod(self) -> Any | None:
        """The pod that this process runs in; None outside of one, or where it may not be read."""
        from kubernetes import client

        # Kubeflow's driver sets the first; a pod's host name is its own name unless somebody changed it.
        name = os.environ.get(pod.POD_NAME) or os.environ.get("HOSTNAME", "")
        if not name or not (pod.SERVICE_ACCOUNT / "namespace").is_file():
            return None
        try:
            return self.core.read_namespaced_pod(name, self.namespace, _request_timeout=REQUEST_SECONDS)
        except client.ApiException as error:
            if error.status in (403, 404):
                return None
            raise


@contextmanager
def _login_errors(login: str, remedy: str) -> Iterator[None]:
    """Turns whatever the client's library makes of a login's files, which it does not check, into one line."""
    from google.auth.exceptions import GoogleAuthError
    from kubernetes.config import ConfigException
    from yaml import YAMLError

    try:
        yield
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except (ConfigException, GoogleAuthError, ValueError, YAMLError) as error:
        why = str(error)
    except (AttributeError, LookupError, TypeError):
        why = "it has another form than kubectl gives it"
    else:
        return
    raise ClusterError(f"{login} cannot be used: {why}", remedy)


@contextmanager
def api_errors(doing: str, remedy: str = "") -> Iterator[None]:
    """Turns the API server's refusals into one line.

    Args:
        doing: What is being done, as the end of "the cluster refused to …".
        remedy: What to do about a refusal, best as a command; where the login is none, it is to log in again.

    Raises:
        ClusterError: The server refused or cannot be reached; `may_pass` says whether it may later.
    """
    from kubernetes import client

    try:
        yield
    except client.ApiException as error:
        said = server_message(error)
        raise ClusterError(
            f"the cluster refused to {doing} ({error.status} {error.reason}): {said}",
            _LOG_IN_AGAIN if error.status == HTTPStatus.UNAUTHORIZED or _NOBODY in said else remedy,
            may_pass=error.status == 429 or (error.status or 0) >= 500,
        ) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ClusterError(f"the cluster's API server cannot be reached to {doing}: {error}", may_pass=True) from None


def server_message(error: "client.ApiException") -> str:
    """The API server's own words."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.body or "")[:300]
