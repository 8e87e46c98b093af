"""A proxy that brings connections to public names to servers on loopback, so that clients need not be told others."""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.parts.google_cloud.serving import QuietServer

_CHUNK = 1 << 16


class NameProxy(QuietServer):
    """Connects to the servers of a table, and to nothing else.

    Args:
        places: Where each `name:port` is, as `127.0.0.1:port`.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        super().__init__(_Request)
        self.places = dict(places)
        self.asked: list[str] = []

    def environment(self) -> dict[str, str]:
        """Sends clients through this."""
        return {"HTTPS_PROXY": f"http://{self.address}", "NO_PROXY": "127.0.0.1,localhost"}


class _Request(BaseHTTPRequestHandler):
    server: NameProxy

    def do_CONNECT(self) -> None:
        self.server.asked.append(self.path)
        place = self.server.places.get(self.path)
        if place is None:
            self.send_error(HTTPStatus.BAD_GATEWAY, "no such name")
            return
        host, _, port = place.partition(":")
        with socket.create_connection((host, int(port))) as upstream:
            self.send_response(HTTPStatus.OK)
            self.end_headers()
            self.wfile.flush()
            back = threading.Thread(target=_pass, args=(upstream, self.connection), daemon=True)
            back.start()
            _pass(self.connection, upstream)
            back.join()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
