"""Connections that end in time and lead where they may.

A time-out of a socket is one for each read: a server that sends a byte now and then is never done. Here the reads of
one answer share an allowance, which grows by what arrives, so that what is slower than MIN_BYTES_PER_SECOND ends.
"""

import http.client
import socket
import threading
import time
import weakref
from contextlib import suppress
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from modelcar.errors import StoppedError
from modelcar.oci.addresses import Guard
from modelcar.oci.head import HeadReader

MIN_BYTES_PER_SECOND = 16 << 10
SEND_SECONDS = 60.0
"""Time that a block of at most 1 MiB may take to be sent."""


class TooSlowError(TimeoutError):
    """An answer came, but slower than MIN_BYTES_PER_SECOND, for longer than the request allows."""


class _TimedReader(socket.SocketIO):
    """Reads an answer for as long as its allowance lasts. Only waiting counts, not what is done between two reads."""

    def __init__(self, sock: socket.socket, seconds: float | None) -> None:
        super().__init__(sock, "r")
        self._limit = seconds if isinstance(seconds, int | float) else None
        self._left = self._set = self._limit or 0.0
        self._read = 0

    def readinto(self, buffer: Any) -> int | None:
        if self._limit is None:
            return super().readinto(buffer)
        # SocketIO refuses to be read again after a time-out; nobody does.
        allowed = max(self._left, 0.001)
        # Each change is a call of the system: a fast answer, which loses none of its allowance, needs one.
        if abs(allowed - self._set) > self._limit / 10 or allowed < self._limit / 10:
            self._sock.settimeout(allowed)  # type: ignore[attr-defined]
            self._set = allowed
        began = time.monotonic()
        try:
            count = super().readinto(buffer)
        except TimeoutError:
            # Silence may pass; what came all the while, and slowly, is how this server answers.
            if allowed > self._limit / 2:
                raise
            raise TooSlowError(f"only {self._read} bytes arrived in {self._limit:.0f} s") from None
        self._read += count or 0
        earned = (count or 0) / MIN_BYTES_PER_SECOND
        self._left = min(self._left - (time.monotonic() - began) + earned, self._limit)
        if self._left <= 0 and count:
            raise TooSlowError(f"only {self._read} bytes arrived in {self._limit:.0f} s")
        return count


class _TimedResponse(http.client.HTTPResponse):
    """An answer whose reads share the socket's time-out."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        reader = _TimedReader(sock, sock.gettimeout())
        # What makefile does: the socket is closed with its last reader.
        sock._io_refs += 1  # type: ignore[attr-defined]
        self.fp.close()
        self.fp = HeadReader(reader)

    def _read_status(self) -> tuple[str, int, str]:
        """Has what only informs passed over (RFC 9110, 15.2): Early Hints, Processing. http.client knows Continue."""
        version, status, reason = super()._read_status()  # type: ignore[misc]
        return version, http.client.CONTINUE if 101 < status < 200 else status, reason


class LiveSockets:
    """The sockets of one registry's connections. Safe to use from several threads."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._ended = False

    def add(self, sock: socket.socket) -> None:
        """Takes in a new one.

        Raises:
            StoppedError: The work was stopped; the socket is closed.
        """
        with self._lock:
            if not self._ended:
                self._open.add(sock)
                return
        sock.close()
        raise StoppedError("stopped")

    def shut_down(self, *, for_good: bool = True) -> None:
        """Ends all of them at once: who reads or writes gets an error.

        Args:
            for_good: Let no new one come.
        """
        with self._lock:
            self._ended = self._ended or for_good
            for sock in list(self._open):
                # A socket of TLS would first forget its keys, under a reader's hands.
                with suppress(OSError, ValueError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)


def pool_classes(guard: Guard | None, live: LiveSockets) -> dict[str, type[HTTPConnectionPool]]:
    """Makes the classes of urllib3's pools whose connections are watched.

    Args:
        guard: Looks at each connection's address; None where they all go to a proxy.
        live: Takes in their sockets.
    """

    class Watched:
        response_class = _TimedResponse

        def _new_conn(self) -> socket.socket:
            sock: socket.socket = super()._new_conn()  # type: ignore[misc]
            return _checked(sock, self.host, guard) if guard else sock  # type: ignore[attr-defined]

        def connect(self) -> None:
            super().connect()  # type: ignore[misc]
            live.add(self.sock)  # type: ignore[attr-defined]
            self._let_send()

        def request(self, *arguments: Any, **options: Any) -> None:
            self._let_send()
            super().request(*arguments, **options)  # type: ignore[misc]

        def _let_send(self) -> None:
            # A connection that is used again has the time-out of the answer before.
            if self.sock is not None:  # type: ignore[attr-defined]
                self.sock.settimeout(SEND_SECONDS)  # type: ignore[attr-defined]

    plain = type("PlainConnection", (Watched, HTTPConnection), {})
    secure = type("SecureConnection", (Watched, HTTPSConnection), {})
    return {
        "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }


def _checked(sock: socket.socket, host: str, guard: Guard) -> socket.socket:
    try:
        guard.check(host.strip("[]"), str(sock.getpeername()[0]))
    except BaseException:
        sock.close()
        raise
    return sock
