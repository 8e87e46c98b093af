"""The Hub's HTTP: connections, byte ranges, and bodies straight from the kernel."""

import contextlib
import os
import re
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, BinaryIO

from tests.parts.hub_faults import RangeLie, Refusal
from tests.parts.hub_routes import Answer, header_lines
from tests.parts.wire import PIECE_BYTES, Wire, send

if TYPE_CHECKING:
    from tests.parts.hub import Hub

RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass
class Served:
    """A request that was answered; `bytes` counts the body as sent."""

    method: str
    path: str
    range: str | None
    status: int
    bytes: int
    authorized: bool


class Server(ThreadingHTTPServer):
    """Serves a Hub on one port, a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], hub: "Hub") -> None:
        """Listen for a Hub."""
        super().__init__(address, _Handler)
        self.hub = hub
        self._changed = threading.Condition()
        self._open: list[socket.socket] = []
        self.most_open = 0
        self.is_storage = False

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection."""
        with self._changed:
            if self.hub.refusal is Refusal.RESET and self.is_beyond_limit(request):
                request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                request.close()
                return
            self._open.append(request)
            self.most_open = max(self.most_open, len(self._open))
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        with self._changed:
            if request in self._open:
                self._open.remove(request)
            self._changed.notify_all()
        super().shutdown_request(request)

    def is_beyond_limit(self, request: socket.socket) -> bool:
        """Whether there are too many connections, of which this is one."""
        limit = self.hub.max_connections if self.is_storage else 0
        return bool(limit) and request not in self._open[:limit] and len(self._open) >= limit

    def wait_for_turn(self, request: socket.socket) -> bool:
        """Waits, if the server lets connections wait, until there are not too many; tells whether it is so."""
        with self._changed:
            if self.hub.refusal is Refusal.SILENCE:
                self._changed.wait_for(lambda: request not in self._open or not self.is_beyond_limit(request))
            return not self.is_beyond_limit(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that go away."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Stop to listen, and break what connections there are."""
        super().server_close()
        # Kept-alive connections would else hold their threads for as long as the client lives.
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        super().setup()
        hub = self.server.hub
        own = [Wire(hub.connection_rate)] if hub.connection_rate else []
        self._wires = [hub.wire, *own] if hub.wire else own

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if not self.server.wait_for_turn(self.connection):
            self.close_connection = True
            self._send_text(Answer(HTTPStatus.SERVICE_UNAVAILABLE))
            return
        answer = self.server.hub.answer(self.path, self.headers, body)
        if answer.content is None:
            self._send_text(answer)
        else:
            with answer.content.open("rb") as content:
                self._send_content(answer, content)

    do_HEAD = do_GET
    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _send_text(self, answer: Answer) -> None:
        shown = b"" if self.command == "HEAD" else answer.body
        self._note(answer.status, 0)
        self._send_head(answer, len(answer.body))
        self.wfile.write(shown)

    def _send_content(self, answer: Answer, content: BinaryIO) -> None:
        size = os.fstat(content.fileno()).st_size
        answer.headers |= {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        if self.command == "HEAD":
            self._note(answer.status, 0)
            self._send_head(answer, size)
            return
        asked = _asked_range(self.headers.get("Range"), size)
        lie = self.server.hub.faults.take_range(answer.fault_target) if asked else None
        if asked is None or lie is RangeLie.IGNORED:
            self._send_span(answer, content, range(size))
            return
        answer.status = HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        span, shown, size = _bent(asked, size, lie)
        if lie is not RangeLie.UNLABELLED:
            answer.headers["Content-Range"] = (
                f"bytes {shown.start}-{shown.stop - 1}/{size}" if span else f"bytes */{size}"
            )
        self._send_span(answer, content, span)

    def _send_span(self, answer: Answer, content: BinaryIO, span: range) -> None:
        faults = self.server.hub.faults
        cut = faults.take_cut(answer.fault_target)
        wrong = span.start + len(span) // 2 if span and faults.take_corrupt(answer.fault_target) else None
        sent = span[:cut]
        served = self._note(answer.status, len(sent))
        self._send_head(answer, len(span))
        self.close_connection = self.close_connection or cut is not None
        unsent = len(sent)
        try:
            for length in _transfer(self.connection, content, sent, wrong, self._wires):
                unsent -= length
        finally:
            self.server.hub.note_unsent(served, unsent)

    def _send_head(self, answer: Answer, length: int) -> None:
        self.send_response(answer.status)
        for name, value in header_lines(answer.headers):
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _note(self, status: int, length: int) -> Served:
        authorized = "Authorization" in self.headers
        served = Served(self.command, self.path, self.headers.get("Range"), int(status), length, authorized)
        self.server.hub.note(served)
        return served


def _asked_range(header: str | None, size: int) -> range | None:
    found = RANGE.fullmatch(header or "")
    if not found or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        return range(max(size - int(last), 0), size)
    return range(int(first), min(int(last) + 1, size) if last else size)


def _bent(asked: range, size: int, lie: RangeLie | None) -> tuple[range, range, int]:
    """What is sent of a file, what Content-Range says of it, and the size it says."""
    other = range(asked.start - 1, asked.stop - 1) if asked.start else range(1, min(asked.stop + 1, size))
    match lie:
        case RangeLie.SHIFTED:
            return other, other, size
        case RangeLie.MISLABELLED:
            return other, asked, size
        case RangeLie.SHORTENED:
            half = asked[: max(len(asked) // 2, 1)]
            return half, half, size
        case RangeLie.OTHER_SIZE:
            return asked, asked, size + 1
    return asked, asked, size


def _transfer(
    connection: socket.socket, content: BinaryIO, span: range, wrong: int | None, wires: Sequence[Wire]
) -> Iterator[int]:
    position = span.start
    while position < span.stop:
        if position == wrong:
            byte = os.pread(content.fileno(), 1, position)[0]
            connection.sendall(bytes([byte ^ 0xFF]))
            length = 1
        else:
            stop = wrong if wrong is not None and position < wrong < span.stop else span.stop
            if wires:
                stop = min(stop, position + PIECE_BYTES)
                send(wires, stop - position)
            length = os.sendfile(connection.fileno(), content.fileno(), position, stop - position)
        if not length:
            raise OSError("a content became shorter while it was served")
        position += length
        yield length
