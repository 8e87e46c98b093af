"""The token that says who signs without a key: a service account's, made for Sigstore and for nobody else.

It is looked for where cosign does, in SIGSTORE_ID_TOKEN and then in the file that a projected volume gives. A pod that
has neither asks its API server for one, as the kubelet does for such a volume: Kubeflow mounts none. The pod's own
token, which opens the API server, is shown to that server alone.
"""

import base64
import json
import os
from pathlib import Path
from typing import Any

import requests

from modelcar import pod
from modelcar.attestation.keys import SigningError
from modelcar.errors import on_one_line

AUDIENCE = "sigstore"
"""Whom the token is for; the name by which Fulcio knows itself."""

VARIABLE = "SIGSTORE_ID_TOKEN"
"""Holds a token; cosign's and sigstore's own."""

_SECONDS = 600
"""Seconds that the token holds: the least that Kubernetes gives."""

_REQUEST_SECONDS = 10.0
_REMEDY = (
    "Mount a token of the audience sigstore at /var/run/sigstore/cosign/oidc-token, or put one into SIGSTORE_ID_TOKEN"
)


def identity_token() -> str:
    """Returns a token for Sigstore; a new one each time, as they do not last.

    Raises:
        SigningError: There is none, and nobody to ask for one, or it is not given.
    """
    if given := os.environ.get(VARIABLE, "").strip():
        return given
    if os.path.isfile(pod.IDENTITY_TOKEN):
        return _read(pod.IDENTITY_TOKEN)
    if os.path.isfile(pod.SERVICE_ACCOUNT / "token"):
        return _requested()
    raise SigningError("there is no token that says who signs", _REMEDY)


def _requested() -> str:
    own = _read(pod.SERVICE_ACCOUNT / "token")
    namespace, account = _account(own)
    spec = {"audiences": [AUDIENCE], "expirationSeconds": _SECONDS}
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    address = f"[{host}]" if ":" in host else host
    try:
        with requests.Session() as session:
            # The API server is this cluster's own: nobody's proxy or netrc has a say.
            session.trust_env = False
            answer = session.post(
                f"https://{address}:{port}/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token",
                json={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
                headers={"Authorization": f"Bearer {own}"},
                verify=str(pod.SERVICE_ACCOUNT / "ca.crt"),
                timeout=_REQUEST_SECONDS,
                allow_redirects=False,
            )
        body = answer.json()
    except (requests.RequestException, OSError, ValueError, RecursionError) as error:
        raise SigningError(
            f"the API server gives no token that says who signs: {on_one_line(str(error))[:300]}", _REMEDY
        ) from None
    token = _within(body, "status", "token")
    if not answer.ok or not isinstance(token, str) or not token:
        said = on_one_line(str(_within(body, "message") or f"status {answer.status_code}"))[:300]
        raise SigningError(
            f"the API server gives the service account {account} no token that says who signs: {said}",
            f"Let it ask for its own: apply manifests/keyless.example.yaml for {account}. Or: {_REMEDY}",
        )
    return token


def _account(token: str) -> tuple[str, str]:
    """Returns the namespace and the name of a service account, as its own token has them."""
    try:
        middle = token.split(".")[1]
        subject = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))["sub"]
        system, kind, namespace, name = subject.split(":")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise SigningError("the pod's own token is of no service account", _REMEDY) from None
    if (system, kind) != ("system", "serviceaccount"):
        raise SigningError("the pod's own token is of no service account", _REMEDY)
    return namespace, name


def _within(body: Any, *names: str) -> Any:
    for name in names:
        body = body.get(name) if isinstance(body, dict) else None
    return body


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SigningError(f"cannot read the token at {file}: {error}") from None
