"""A small HTTP server in a thread."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.parts.certificates import Certificate


class QuietServer(ThreadingHTTPServer):
    """Binds a free loopback port; with a certificate it speaks TLS."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler], certificate: Certificate | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._tls: ssl.SSLContext | None = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate.cert_file, certificate.key_file)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_port}"

    def get_request(self) -> tuple[Any, Any]:
        """Accepts a connection; the handshake waits for the request's own thread."""
        connection, client = super().get_request()
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, client

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keeps quiet about clients that hang up."""


@contextmanager
def serving(server: QuietServer) -> Iterator[None]:
    """Serves in a thread until the context is left."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
