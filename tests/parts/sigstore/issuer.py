"""An issuer of service account tokens, as a cluster's API server is one."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

ACCOUNT = ("team", "modelcar-build")
"""Namespace and name of the service account whose token is given."""


class Issuer:
    """An issuer of tokens as the API server gives pods (a projected service account token)."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()

    def token(self, audience: str = "sigstore", seconds: int = 600, account: tuple[str, str] = ACCOUNT) -> str:
        """Issues a token.

        Args:
            audience: Whom it is for.
            seconds: How long it holds.
            account: Namespace and name of the service account.
        """
        now = int(time.time())
        namespace, name = account
        claims = {
            "iss": self.url,
            "aud": [audience],
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "iat": now - 1,
            "nbf": now - 1,
            "exp": now + seconds,
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": name, "uid": "1"},
                "pod": {"name": "pod", "uid": "2"},
            },
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "1"})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = json.dumps(issuer._discovery() if "well-known" in self.path else issuer._keys()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *_: Any) -> None:
                pass

        return Handler

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def _keys(self) -> dict[str, Any]:
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": _number(numbers.n), "e": _number(numbers.e)}
        return {"keys": [key]}


def _number(value: int) -> str:
    data = value.to_bytes((value.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
