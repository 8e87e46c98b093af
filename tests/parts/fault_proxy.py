"""A reverse proxy on loopback that breaks what passes through it, to judge how a client bears it."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from http.client import HTTPMessage, parse_headers
from io import BufferedReader
from typing import Self

_CHUNK = 1 << 16
_THROTTLED_CHUNK = 1 << 14
# Small, so that a client whose bytes are not taken is held back soon.
_RECEIVE_BUFFER = 1 << 16
_TLS_HANDSHAKE = b"\x16"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_HOP_BY_HOP = ("connection", "keep-alive", "proxy-connection")


class _Kind(Enum):
    RESET = auto()
    RESET_ANSWER = auto()
    TRUNCATE = auto()
    DELAY = auto()
    THROTTLE = auto()
    STATUS = auto()
    CORRUPT = auto()
    CORRUPT_ANSWER = auto()
    LOCATION = auto()
    RANGE = auto()
    DROP = auto()
    LOSE_ANSWER = auto()


@dataclass
class _Fault:
    kind: _Kind
    method: str
    path: str
    left: int | None
    skip: int
    number: float = 0
    headers: tuple[tuple[str, str], ...] = ()
    least: int = 0

    def matches(self, request: "Seen") -> bool:
        path = request.path.partition("?")[0]
        there = path.endswith(self.path[:-1]) if self.path.endswith("$") else self.path in path
        return self.left != 0 and self.method in ("", request.method) and there and request.length >= self.least

    def take(self) -> bool:
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True


@dataclass
class Seen:
    """A request that reached the proxy, the bytes that it announced and (`received`) those that came so far."""

    method: str
    path: str
    authorized: bool
    content_range: str
    range: str = ""
    length: int = 0
    received: int = 0


class _Break(Exception):
    """The connection to the client ends here."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


class FaultProxy:
    """Forwards to a server that speaks plain HTTP, from entry to exit of its context, and shows the faults asked for.

    A fault is meant for the requests of a method (empty: any) whose path contains a text, or ends in it if the text
    ends in `$`; it lets `skip` of them pass, then meets `times` of them (None: all).

    Args:
        upstream: Host and port of the server.
        others: For servers that this one redirects to, their host and port and that of the proxy before them.
        address: Where it listens; all of 127.0.0.0/8 is this machine.

    Attributes:
        arrived: Is called as each request arrives, before anything is done with it.
    """

    def __init__(self, upstream: str, others: Mapping[str, str] | None = None, *, address: str = "127.0.0.1") -> None:
        self.requests: list[Seen] = []
        self.arrived: Callable[[], None] = lambda: None
        self._others = dict(others or {})
        self._upstream = upstream
        self._address = address
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket()

    @property
    def host(self) -> str:
        """Host and port for clients."""
        return f"{self._address}:{self._listener.getsockname()[1]}"

    @property
    def received(self) -> int:
        """Bytes of request bodies that clients have sent so far."""
        return sum(request.received for request in list(self.requests))

    def __enter__(self) -> Self:
        """Start to listen."""
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._listener.bind((self._address, 0))
        self._listener.listen(128)
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, breaking what connections there are."""
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join()
        self._listener.close()

    def reset(
        self, *, after: int, least: int = 0, method: str = "", path: str = "", times: int | None = 1, skip: int = 0
    ) -> None:
        """Reset the connection after so many bytes of the request's body, or at its end if it is shorter.

        Requests that announce fewer bytes than `least` are not meant.
        """
        self._add(_Fault(_Kind.RESET, method, path, times, skip, after, least=least))

    def reset_answer(
        self, *, after: int, method: str = "", path: str = "", times: int | None = 1, skip: int = 0
    ) -> None:
        """Reset the connection after so many bytes of the answer's body, or at its end if it is shorter."""
        self._add(_Fault(_Kind.RESET_ANSWER, method, path, times, skip, after))

    def truncate(self, *, after: int, method: str = "", path: str = "", times: int | None = 1, skip: int = 0) -> None:
        """Close the connection in good order after so many bytes of an answer that announces more."""
        self._add(_Fault(_Kind.TRUNCATE, method, path, times, skip, after))

    def delay(self, seconds: float, *, method: str = "", path: str = "", times: int | None = 1, skip: int = 0) -> None:
        """Wait before the request is forwarded."""
        self._add(_Fault(_Kind.DELAY, method, path, times, skip, seconds))

    def throttle(
        self, bytes_per_second: float, *, method: str = "", path: str = "", times: int | None = None, skip: int = 0
    ) -> None:
        """Take the request's body, and give the answer's, no faster than this; each request has a rate of its own."""
        self._add(_Fault(_Kind.THROTTLE, method, path, times, skip, bytes_per_second))

    def status(
        self,
        code: int,
        *,
        retry_after: int | None = None,
        method: str = "",
        path: str = "",
        times: int | None = 1,
        skip: int = 0,
    ) -> None:
        """Answer a bare status, once the request's body was taken, instead of forwarding."""
        headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
        self._add(_Fault(_Kind.STATUS, method, path, times, skip, code, headers))

    def redirect(
        self, url: str = "", *, method: str = "", path: str = "", times: int | None = None, skip: int = 0
    ) -> None:
        """Send the client to a URL instead of forwarding; by default to the very one it asked for, a loop."""
        self._add(_Fault(_Kind.STATUS, method, path, times, skip, 307, (("Location", url),)))

    def corrupt(self, *, at: int, method: str = "", path: str = "", times: int | None = 1, skip: int = 0) -> None:
        """Forward the request's body with one wrong byte, the one at an offset that the body must reach."""
        self._add(_Fault(_Kind.CORRUPT, method, path, times, skip, at))

    def corrupt_answer(
        self, *, at: int, method: str = "", path: str = "", times: int | None = 1, skip: int = 0
    ) -> None:
        """Give the answer's body with one wrong byte, the one at an offset that the body must reach."""
        self._add(_Fault(_Kind.CORRUPT_ANSWER, method, path, times, skip, at))

    def location(
        self, url: str | None, *, method: str = "", path: str = "", times: int | None = 1, skip: int = 0
    ) -> None:
        """Put another Location into the answer, or (None) leave it out."""
        headers = () if url is None else (("Location", url),)
        self._add(_Fault(_Kind.LOCATION, method, path, times, skip, 0, headers))

    def overstate_range(self, *, unit: str = "", times: int | None = None) -> None:
        """Say of uploads that they have one byte more than they have; Quay does, and writes the unit `bytes=`."""
        self._add(_Fault(_Kind.RANGE, "GET", "/blobs/uploads/", times, 0, 1, (("Range", unit),)))

    def understate_range(self, by: int, *, times: int | None = 1) -> None:
        """Say of uploads that they have fewer bytes than they have: so does what still writes those that came last."""
        self._add(_Fault(_Kind.RANGE, "GET", "/blobs/uploads/", times, 0, -by, (("Range", ""),)))

    def drop(self, *, method: str = "", path: str = "", times: int | None = 1, skip: int = 0) -> None:
        """Close the connection without forwarding and without an answer."""
        self._add(_Fault(_Kind.DROP, method, path, times, skip))

    def lose_answer(self, *, method: str = "", path: str = "", times: int | None = 1, skip: int = 0) -> None:
        """Forward the request, and close the connection instead of giving the answer."""
        self._add(_Fault(_Kind.LOSE_ANSWER, method, path, times, skip))

    def clear(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._faults.clear()

    def _add(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def _take(self, request: Seen) -> dict[_Kind, _Fault]:
        """The faults that this request meets, at most one of each kind."""
        taken: dict[_Kind, _Fault] = {}
        with self._lock:
            for fault in self._faults:
                if fault.kind not in taken and fault.matches(request) and fault.take():
                    taken[fault.kind] = fault
        return taken

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        reader = client.makefile("rb")
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if client.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE:
                # What Go's servers say to TLS on a port without it.
                client.recv(_CHUNK)
                client.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n")
                return
            while not self._stopping.is_set() and self._exchange(client, reader):
                pass
        except _Break as broken:
            if broken.reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._open.discard(client)
            reader.close()
            client.close()

    def _exchange(self, client: socket.socket, reader: BufferedReader) -> bool:
        """Answer one request; gives whether there may be another on the same connection."""
        line = reader.readline()
        if not line:
            return False
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers = parse_headers(reader)
        length = int(headers.get("Content-Length", "0"))
        asked, sent = headers.get("Range", ""), headers.get("Content-Range", "")
        seen = Seen(method, path, "Authorization" in headers, sent, asked, length)
        self.requests.append(seen)
        self.arrived()
        faults = self._take(seen)
        if _Kind.DROP in faults:
            raise _Break(reset=False)
        if _Kind.DELAY in faults:
            self._stopping.wait(faults[_Kind.DELAY].number)
        body = self._taken(_throttled(_body(reader, headers), faults), seen)
        if _Kind.STATUS in faults:
            for _ in body:
                pass
            client.sendall(_bare_answer(faults[_Kind.STATUS], path))
            return True
        own = self.answer_itself(seen, headers, body)
        if own is not None:
            client.sendall(own)
            return b"\r\nconnection: close\r\n" not in own.partition(b"\r\n\r\n")[0].lower() + b"\r\n"
        with socket.create_connection(self._upstream_address()) as upstream, upstream.makefile("rb") as answer:
            self._forward(upstream, f"{method} {path} HTTP/1.1", headers, body, faults)
            return self._answer(client, answer, method, faults)

    def answer_itself(self, request: Seen, headers: HTTPMessage, body: Iterator[bytes]) -> bytes | None:
        """Answers a request in place of the server, for registries with rules of their own.

        Args:
            request: What was asked.
            headers: The request's headers.
            body: The request's body, to be taken only if this answers.

        Returns:
            The whole answer; None to forward the request.
        """
        return None

    def _upstream_address(self) -> tuple[str, int]:
        name, _, port = self._upstream.rpartition(":")
        return name, int(port)

    def _taken(self, body: Iterator[bytes], seen: Seen) -> Iterator[bytes]:
        for chunk in body:
            seen.received += len(chunk)
            yield chunk

    def _forward(
        self,
        upstream: socket.socket,
        line: str,
        headers: HTTPMessage,
        body: Iterator[bytes],
        faults: dict[_Kind, _Fault],
    ) -> None:
        # Host stays the client's, so that the server builds its links for the proxy.
        kept = [f"{name}: {value}" for name, value in headers.items() if name.lower() not in _HOP_BY_HOP]
        upstream.sendall("\r\n".join([line, *kept, "Connection: close", "", ""]).encode("latin-1"))
        if _Kind.CORRUPT in faults:
            body = _corrupted(body, int(faults[_Kind.CORRUPT].number))
        if _Kind.RESET in faults:
            body = _ended(body, int(faults[_Kind.RESET].number), reset=True)
        refused = False
        for chunk in _framed(body, headers):
            # A server may answer before it has the whole body, and take no more of it.
            if not refused:
                try:
                    upstream.sendall(chunk)
                except OSError:
                    refused = True

    def _answer(self, client: socket.socket, answer: BufferedReader, method: str, faults: dict[_Kind, _Fault]) -> bool:
        line = answer.readline()
        headers = parse_headers(answer)
        if _Kind.LOSE_ANSWER in faults or not line:
            raise _Break(reset=False)
        status = int(line.split()[1])
        bare = method == "HEAD" or status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        until_close = not bare and "Content-Length" not in headers and not _is_chunked(headers)
        kept = [f"{name}: {value}" for name, value in self._relocated(headers, faults)]
        kept += ["Connection: close"] if until_close else []
        client.sendall(line + "\r\n".join([*kept, "", ""]).encode("latin-1"))
        body = iter(()) if bare else _throttled(_until_close(answer) if until_close else _body(answer, headers), faults)
        if _Kind.CORRUPT_ANSWER in faults:
            body = _corrupted(body, int(faults[_Kind.CORRUPT_ANSWER].number))
        for kind in (_Kind.TRUNCATE, _Kind.RESET_ANSWER):
            if kind in faults:
                body = _ended(body, int(faults[kind].number), reset=kind is _Kind.RESET_ANSWER)
        for chunk in body if bare else _framed(body, headers):
            client.sendall(chunk)
        return not until_close

    def _relocated(self, headers: HTTPMessage, faults: dict[_Kind, _Fault]) -> Iterator[tuple[str, str]]:
        for name, value in headers.items():
            if name.lower() == "location":
                if _Kind.LOCATION not in faults:
                    for host, proxy in ((self._upstream, self.host), *self._others.items()):
                        value = value.replace(f"http://{host}/", f"http://{proxy}/", 1)
                    yield name, value
            elif name.lower() == "range" and _Kind.RANGE in faults:
                start, _, last = value.partition("-")
                fault = faults[_Kind.RANGE]
                yield name, f"{fault.headers[0][1]}{start}-{max(int(last) + int(fault.number), 0)}"
            elif name.lower() not in _HOP_BY_HOP:
                yield name, value
        if _Kind.LOCATION in faults:
            yield from faults[_Kind.LOCATION].headers


def _bare_answer(fault: _Fault, path: str) -> bytes:
    code = HTTPStatus(int(fault.number))
    lines = [f"{name}: {value or path}" for name, value in fault.headers]
    return "\r\n".join([f"HTTP/1.1 {code} {code.phrase}", *lines, "Content-Length: 0", "", ""]).encode("latin-1")


def _is_chunked(headers: HTTPMessage) -> bool:
    return headers.get("Transfer-Encoding", "").lower() == "chunked"


def _body(reader: BufferedReader, headers: HTTPMessage) -> Iterator[bytes]:
    """The body, without the framing of its chunks."""
    if not _is_chunked(headers):
        yield from _span(reader, int(headers.get("Content-Length", "0")))
        return
    while length := int(reader.readline().split(b";")[0], 16):
        yield from _span(reader, length)
        reader.readline()
    while reader.readline().strip():
        pass


def _span(reader: BufferedReader, length: int) -> Iterator[bytes]:
    while length:
        chunk = reader.read1(min(length, _CHUNK))
        if not chunk:
            raise _Break(reset=False)
        length -= len(chunk)
        yield chunk


def _until_close(reader: BufferedReader) -> Iterator[bytes]:
    while chunk := reader.read1(_CHUNK):
        yield chunk


def _framed(body: Iterable[bytes], headers: HTTPMessage) -> Iterator[bytes]:
    """The body as the headers announce it."""
    if not _is_chunked(headers):
        yield from body
        return
    for chunk in body:
        yield b"%x\r\n%s\r\n" % (len(chunk), chunk)
    yield b"0\r\n\r\n"


def _throttled(body: Iterator[bytes], faults: dict[_Kind, _Fault]) -> Iterator[bytes]:
    if _Kind.THROTTLE not in faults:
        yield from body
        return
    started, seen = time.monotonic(), 0
    for chunk in body:
        for start in range(0, len(chunk), _THROTTLED_CHUNK):
            piece = chunk[start : start + _THROTTLED_CHUNK]
            seen += len(piece)
            time.sleep(max(started + seen / faults[_Kind.THROTTLE].number - time.monotonic(), 0))
            yield piece


def _corrupted(body: Iterable[bytes], at: int) -> Iterator[bytes]:
    position = 0
    for chunk in body:
        inside = at - position
        if 0 <= inside < len(chunk):
            chunk = chunk[:inside] + bytes([chunk[inside] ^ 0x01]) + chunk[inside + 1 :]
        position += len(chunk)
        yield chunk


def _ended(body: Iterable[bytes], after: int, *, reset: bool) -> Iterator[bytes]:
    left = after
    for chunk in body:
        if len(chunk) >= left:
            if left:
                yield chunk[:left]
            break
        left -= len(chunk)
        yield chunk
    raise _Break(reset=reset)
