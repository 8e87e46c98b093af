"""The metadata server of a machine on Google Cloud, as far as google-auth asks it.

See https://cloud.google.com/compute/docs/metadata/overview. It hands out short-lived access tokens of one account.
"""

import json
import secrets
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.parts.google_cloud.serving import QuietServer

ACCOUNT = "runner@my-project.iam.gserviceaccount.com"
_ACCOUNTS = "/computeMetadata/v1/instance/service-accounts"


class MetadataServer(QuietServer):
    """Hands out tokens, each for some seconds.

    Args:
        lifetime: Seconds for which a token is good.
    """

    def __init__(self, lifetime: float = 3600) -> None:
        super().__init__(_Request)
        self.lifetime = lifetime
        self.has_account = True
        self.issued: list[str] = []
        self._expiries: dict[str, float] = {}

    def environment(self) -> dict[str, str]:
        """Tells google-auth where this is."""
        return {"GCE_METADATA_HOST": self.address, "GCE_METADATA_IP": self.address}

    def issue(self) -> dict[str, object]:
        """Issues a token."""
        token = f"ya29.{secrets.token_urlsafe()}"
        self.issued.append(token)
        self._expiries[token] = time.monotonic() + self.lifetime
        return {"access_token": token, "expires_in": int(self.lifetime), "token_type": "Bearer"}

    def accepts(self, token: str) -> bool:
        """Whether a token is one of these and not over."""
        return self._expiries.get(token, 0) > time.monotonic()


class _Request(BaseHTTPRequestHandler):
    server: MetadataServer

    def do_GET(self) -> None:
        path = urlsplit(self.path).path.rstrip("/")
        answers = {
            "": lambda: "computeMetadata/",
            "/computeMetadata/v1/project/project-id": lambda: "my-project",
            "/computeMetadata/v1/universe/universe-domain": lambda: "googleapis.com",
            f"{_ACCOUNTS}/default": lambda: {"email": ACCOUNT, "scopes": [], "aliases": ["default"]},
            f"{_ACCOUNTS}/{ACCOUNT}": lambda: {"email": ACCOUNT, "scopes": [], "aliases": ["default"]},
            f"{_ACCOUNTS}/default/token": self.server.issue,
            f"{_ACCOUNTS}/{ACCOUNT}/token": self.server.issue,
        }
        if path and self.headers.get("Metadata-Flavor") != "Google":
            self._reply(HTTPStatus.FORBIDDEN, "Missing Metadata-Flavor:Google header.")
        elif path in answers and (self.server.has_account or not path.startswith(_ACCOUNTS)):
            self._reply(HTTPStatus.OK, answers[path]())
        else:
            self._reply(HTTPStatus.NOT_FOUND, "not found")

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _reply(self, status: HTTPStatus, answer: object) -> None:
        text = isinstance(answer, str)
        body = str(answer).encode() if text else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", "application/text" if text else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
