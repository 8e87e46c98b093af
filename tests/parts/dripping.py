"""A registry that answers a byte now and then, without end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

BETWEEN_SECONDS = 0.1


@contextmanager
def dripping(where: str) -> Iterator[str]:
    """Runs it until the context is left.

    Args:
        where: What drips of a manifest: its `headers`, or the `manifest` itself.

    Yields:
        Its host and port.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):
                if self.path == "/v2/":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                if where == "manifest":
                    self.wfile.write(b"Content-Type: application/vnd.oci.image.manifest.v1+json\r\n\r\n")
                while True:
                    self.wfile.write(b"X-Drop: 1\r\n"[:1] if where == "headers" else b" ")
                    time.sleep(BETWEEN_SECONDS)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
