"""Windows of files, read ahead over several connections and handed on in order."""

import threading
import time
from collections.abc import Iterator

from modelcar import retries
from modelcar.errors import HubBusyError, HubUnwellError, StoppedError
from modelcar.hub.connection_limit import ConnectionLimit
from modelcar.hub.window import Connection, Fetch, Reading, Window

MEMORY_BYTES = 48 << 20
"""Bytes read ahead of all files together; beyond it, each file may have one window, of the smallest size."""

MIN_WINDOW_BYTES, MAX_WINDOW_BYTES = 1 << 20, 4 << 20
_WINDOW_STEP = 19
"""Windows are multiples of 512 KiB."""

UNBROKEN_BYTES = 8 << 20
"""Bytes read ahead of a file that comes over one connection, from its beginning to its end."""

IDLE_SECONDS = 5.0
"""A connection that had no work for so long is closed."""

SILENCE_SECONDS, MAX_SILENCE_SECONDS = 10.0, 120.0
"""A window of which nothing arrives for so long is asked for once more; then after twice as long."""

MAX_REFUSALS = 24
"""Times that a window is handed to another connection because one was refused."""

MAX_RETRY_AFTER_SECONDS = 900.0
"""The Hub counts requests over five minutes, and says how much of them is left."""


class ReadAhead:
    """Connections that read ahead, shared by all files that are read at the same time.

    Threads begin as there is work, and end when there has been none for a while.

    Args:
        memory: Bytes to read ahead of all files together.
    """

    def __init__(self, memory: int = MEMORY_BYTES) -> None:
        self.limit = ConnectionLimit()
        self._memory = memory
        self.lock = threading.Lock()
        self._work = threading.Condition(self.lock)
        self._drained = threading.Condition(self.lock)
        self._readings: list[Reading] = []
        self._reserved = 0
        self._threads = 0
        self._idle = 0
        self._silent = 0
        self._fetching = 0
        self._receiving = 0
        self._hold_until = 0.0
        self._is_closed = False

    def read(self, fetch: Fetch, name: str, start: int, end: int, *, unbroken: bool = False) -> Iterator[bytes]:
        """Gives a file's bytes in order, in chunks of at most 1 MiB.

        Args:
            fetch: Brings the bytes of a window.
            name: The file, for errors.
            start: The first byte.
            end: The byte after the last one.
            unbroken: Over one connection, from the start to the end.

        Raises:
            HubError: The Hub refused, went away, or sends nothing.
            StoppedError: This was closed meanwhile.
        """
        reading = Reading(self, fetch, name, start, end)
        with self.lock:
            if unbroken and start < end:
                window = self._add_window(reading, end)
                self._make_unbroken(window)
                reading.again.append(window)
            self._readings.append(reading)
            self._employ()
        try:
            while (chunk := self._wait_for_chunk(reading)) is not None:
                yield chunk
        finally:
            self._forget(reading)

    def close(self) -> None:
        """Ends all reads, and every connection that is not in use."""
        with self.lock:
            self._is_closed = True
            for condition in (self._work, self._drained, *(reading.arrived for reading in self._readings)):
                condition.notify_all()

    def take_over_rest(self, window: Window) -> None:
        """Makes a window the last one of its file; what other connections were asked for behind it is dropped."""
        with self.lock:
            reading = window.reading
            if window.is_dropped or window.is_unbroken:
                return
            while reading.windows[-1] is not window:
                self._drop(reading.windows.pop())
            reading.next_window = reading.end
            self._make_unbroken(window)

    def _make_unbroken(self, window: Window) -> None:
        window.end = window.reading.end
        window.is_unbroken = True
        self._free(window, window.reserved)

    # What readers do.

    def _wait_for_chunk(self, reading: Reading) -> bytes | None:
        with self.lock:
            since = time.monotonic()
            while reading.handed_on < reading.end:
                if self._is_closed:
                    raise StoppedError("stopped")
                if reading.error is not None:
                    raise reading.error
                window = self._current_window(reading)
                if window and window.chunks:
                    return self._hand_on(window)
                silence = min(SILENCE_SECONDS * 2 ** (window.silences if window else 0), MAX_SILENCE_SECONDS)
                reading.arrived.wait(min(silence, 1.0))
                if window and time.monotonic() - since > silence:
                    since = time.monotonic()
                    self._note_silence(window)
            return None

    def _current_window(self, reading: Reading) -> Window | None:
        while (
            reading.windows and reading.windows[0].position == reading.windows[0].end and not reading.windows[0].chunks
        ):
            window = reading.windows.popleft()
            self._free(window, window.reserved)
            self._employ()
        return reading.windows[0] if reading.windows else None

    def _hand_on(self, window: Window) -> bytes:
        chunk = window.chunks.popleft()
        window.reading.handed_on += len(chunk)
        self._free(window, len(chunk))
        if window.is_unbroken:
            self._drained.notify_all()
        else:
            self._employ()
        return chunk

    def _note_silence(self, window: Window) -> None:
        """Has a window fetched by another connection, too; whichever brings the next byte first is right."""
        if not window.connections or any(one.is_pausing for one in window.connections):
            return
        window.silences += 1
        if window.silences >= retries.ATTEMPTS:
            raise HubUnwellError(
                f"the Hub sends nothing of {window.reading.name}", "Check the network, and HF_ENDPOINT if it is set"
            )
        late = time.monotonic() - SILENCE_SECONDS
        for other in [window, *(one for reading in self._readings for one in reading.windows if one is not window)]:
            silent = [one for one in other.connections if not one.is_silent and one.heard < late]
            if other is window or (silent and len(silent) == len(other.connections)):
                other.reading.again.append(other)
            for connection in silent:
                self._set_silent(connection, is_silent=True)
        # It may take no more connections than those that it answers.
        self.limit.lower(self._threads - self._silent)
        self._employ()

    def _forget(self, reading: Reading) -> None:
        with self.lock:
            self._readings.remove(reading)
            while reading.windows:
                self._drop(reading.windows.pop())
            reading.next_window = reading.end
            self._drained.notify_all()
            self._employ()

    def _drop(self, window: Window) -> None:
        window.is_dropped = True
        window.chunks.clear()
        self._free(window, window.reserved)
        if window in window.reading.again:
            window.reading.again.remove(window)

    def _free(self, window: Window, size: int) -> None:
        size = min(size, window.reserved)
        window.reserved -= size
        self._reserved -= size

    # What connections do.

    def _employ(self) -> None:
        """Has one more connection look for work, if there is some."""
        if self._is_closed or not self._find_reading():
            return
        if self._idle:
            self._work.notify()
        elif self._threads - self._silent < self.limit.value:
            self._threads += 1
            threading.Thread(target=self._run, daemon=True, name="hub-connection").start()

    def _run(self) -> None:
        connection = Connection()
        while (window := self._take_window(connection)) is not None:
            self._bring(connection, window)

    def _take_window(self, connection: Connection) -> Window | None:
        with self.lock:
            deadline = time.monotonic() + IDLE_SECONDS
            while not self._is_closed and self._threads - self._silent <= self.limit.value:
                reading = self._find_reading()
                if reading is not None:
                    window = self._choose_window(reading)
                    window.connections.append(connection)
                    self._employ()
                    return window
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self.limit.hold_back()
                self._idle += 1
                self._work.wait(left)
                self._idle -= 1
            self._threads -= 1
            return None

    def _find_reading(self) -> Reading | None:
        """Returns the read that needs a window most, if any may have one."""
        for reading in self._readings:
            if reading.again:
                return reading
        waiting = [reading for reading in self._readings if reading.next_window < reading.end]
        if not waiting:
            return None
        reading = min(waiting, key=lambda reading: reading.ahead)
        has_room = self._reserved + MIN_WINDOW_BYTES <= self._memory
        return reading if has_room or not reading.windows else None

    def _choose_window(self, reading: Reading) -> Window:
        if reading.again:
            return reading.again.popleft()
        return self._add_window(reading, reading.next_window + self._window_size(reading))

    def _window_size(self, reading: Reading) -> int:
        """Returns bytes: less with more connections, with less room, and towards the end, reached together."""
        left, room = reading.end - reading.next_window, self._memory - self._reserved
        share = min(2 * self._memory // (3 * self.limit.value), left // self.limit.value, room, MAX_WINDOW_BYTES)
        size = max(share >> _WINDOW_STEP << _WINDOW_STEP, MIN_WINDOW_BYTES)
        return left if left < 2 * size else size

    def _add_window(self, reading: Reading, end: int) -> Window:
        window = Window(reading, reading.next_window, end, reserved=end - reading.next_window)
        self._reserved += window.reserved
        reading.next_window = end
        reading.windows.append(window)
        return window

    def _bring(self, connection: Connection, window: Window) -> None:
        pause: float | None = self._hold_until - time.monotonic()
        while pause is not None:
            if pause > 0:
                connection.is_pausing = True
                retries.pause(pause)
                connection.is_pausing = False
            begun, before = time.monotonic(), window.position
            try:
                self._receive(connection, window)
                pause = None
            except BaseException as error:
                with self.lock:
                    pause = self._pause_after(error, window, begun, before)
        with self.lock:
            self._set_silent(connection, is_silent=False)
            window.connections.remove(connection)

    def _receive(self, connection: Connection, window: Window) -> None:
        with self.lock:
            at = window.position
            connection.heard = time.monotonic()
            self._fetching += 1
        try:
            for chunk in window.reading.fetch(window):
                with self.lock:
                    if not connection.is_receiving:
                        connection.is_receiving = True
                        self._receiving += 1
                    self._set_silent(connection, is_silent=False)
                    connection.heard = time.monotonic()
                    self._put(window, at, chunk)
                    at += len(chunk)
                    if window.is_dropped or self._is_closed:
                        return
        finally:
            with self.lock:
                self._fetching -= 1
                self._receiving -= connection.is_receiving
                connection.is_receiving = False

    def _put(self, window: Window, at: int, chunk: bytes) -> None:
        """Keeps what another connection has not brought before."""
        self.limit.count(len(chunk), self._receiving)
        fresh = chunk[max(window.position - at, 0) :]
        if window.is_dropped or not fresh:
            return
        window.chunks.append(fresh)
        window.position += len(fresh)
        window.silences = 0
        window.reading.arrived.notify()
        while window.is_unbroken and not window.is_dropped and not self._is_closed and _kept(window) > UNBROKEN_BYTES:
            self.limit.hold_back()
            self._drained.wait()

    def _pause_after(self, error: BaseException, window: Window, begun: float, before: int) -> float | None:
        """Decides what becomes of a window: seconds to wait before another attempt, or None to leave it."""
        if window.is_dropped or window.position == window.end:
            return None
        if isinstance(error, HubBusyError):
            self.limit.refuse(begun, self._receiving)
            self._hold_until = max(self._hold_until, time.monotonic() + min(error.retry_after, MAX_RETRY_AFTER_SECONDS))
            if self._fetching and window.refusals < MAX_REFUSALS:
                window.refusals += 1
                window.reading.again.append(window)
                self._employ()
                return None
        window.attempt = 1 if window.position > before else window.attempt + 1
        if (
            not isinstance(error, HubUnwellError)
            or error.retry_after > MAX_RETRY_AFTER_SECONDS
            or window.attempt >= retries.ATTEMPTS
        ):
            window.reading.error = error
            window.reading.arrived.notify()
            return None
        return max(retries.pause_before(window.attempt, error), error.retry_after)

    def _set_silent(self, connection: Connection, *, is_silent: bool) -> None:
        self._silent += is_silent - connection.is_silent
        connection.is_silent = is_silent


def _kept(window: Window) -> int:
    return sum(map(len, window.chunks))
