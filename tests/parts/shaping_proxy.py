"""A server at the far end of a line: its connections share the line's speed, and each has a link of its own."""

import argparse
import fcntl
import os
import socket
import sys
import threading
from contextlib import suppress
from typing import Self

from tests.parts.wire import PIECE_BYTES, Wire, send


class ShapingProxy:
    """Forwards to a server on loopback, from entry to exit of its context, no faster than a line in each direction.

    The bytes stay in the kernel (splice), so that the line takes little of the processors that both sides share.

    Args:
        upstream: Host and port of the server.
        rate: Bytes a second over all connections together, in each direction; 0 for as fast as it can.
        connection_rate: Bytes a second over each connection; 0 for as fast as it can.
    """

    def __init__(self, upstream: str, *, rate: float = 0, connection_rate: float = 0) -> None:
        """Prepare an idle line."""
        name, _, port = upstream.rpartition(":")
        self._upstream = (name, int(port))
        self._lines = [[Wire(rate)] if rate else [] for _ in range(2)]
        self._connection_rate = connection_rate
        self._listener = socket.socket()

    @property
    def host(self) -> str:
        """Host and port for clients."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        """Start to listen."""
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to listen; connections end with their client or the server."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._upstream)
                except OSError:
                    client.close()
                    continue
                for ends, line in zip(((client, server), (server, client)), self._lines, strict=True):
                    link = [Wire(self._connection_rate)] if self._connection_rate else []
                    threading.Thread(target=_carry, args=(*ends, [*line, *link]), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket, wires: list[Wire]) -> None:
    """Carries all that one side sends to the other, then tells that it was all."""
    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIECE_BYTES)
    try:
        while length := os.splice(source.fileno(), write_end, PIECE_BYTES):
            send(wires, length)
            while length:
                length -= os.splice(read_end, target.fileno(), length)
    except OSError:
        # Who breaks off on one side breaks off on both.
        with suppress(OSError):
            source.shutdown(socket.SHUT_RDWR)
    finally:
        os.close(read_end)
        os.close(write_end)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def main() -> None:
    """Forward until standard input closes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream", help="host and port of the server")
    parser.add_argument("--rate", type=float, default=0, help="bytes a second of all connections, in each direction")
    parser.add_argument("--connection-rate", type=float, default=0, help="the same, over each connection")
    options = parser.parse_args()
    with ShapingProxy(options.upstream, rate=options.rate, connection_rate=options.connection_rate) as proxy:
        print(proxy.host, flush=True)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
