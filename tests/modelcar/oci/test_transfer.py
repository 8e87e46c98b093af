"""What waits for what while several layers are sent."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import cast

import pytest

from modelcar.oci import destination
from modelcar.oci.blob import Blob
from modelcar.oci.capabilities import Capabilities
from modelcar.oci.registry import Repository
from modelcar.oci.transfer import SMALL, Noted, send_layer
from modelcar.oci.turns import Turns
from modelcar.progress import silent

DIGEST = f"sha256:{'0' * 64}"
SIZE = SMALL + 1


class SlowUpload:
    """Takes all bytes at once, and answers when it is let."""

    def __init__(self, answer: threading.Event) -> None:
        self.offset = 0
        self.received = threading.Event()
        self.dropped = False
        self._answer = answer

    def send(self, chunks: Iterable[bytes], size: int) -> None:
        assert sum(len(chunk) for chunk in chunks) == size
        self.received.set()
        assert self._answer.wait(600)
        self.offset = size

    def finish(self, digest: str) -> None:
        assert digest == DIGEST

    def cancel(self) -> None:
        self.dropped = True


class SlowRepository:
    """A registry that takes its time to bring to disk what it has received."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.uploads: list[SlowUpload] = []
        self.capabilities = Capabilities("slow.invalid")

    def start_upload(self) -> SlowUpload:
        self.uploads.append(SlowUpload(self.answer))
        return self.uploads[-1]

    def send(self, turn: Turns) -> str:
        def zeros(offset: int) -> Iterator[bytes]:
            yield bytes(SIZE - offset)

        return send_layer(Blob(SIZE, zeros), Noted(DIGEST), [cast("Repository", self)], silent, turn)


def test_next_layer_is_sent_while_a_registry_brings_the_last_to_disk() -> None:
    slow, quick, turn = SlowRepository(), SlowRepository(), Turns(1, 1)
    quick.answer.set()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(slow.send, turn)

        assert quick.send(turn) == DIGEST

        assert not first.done()
        assert slow.uploads[0].received.wait(600)
        slow.answer.set()
        assert first.result() == DIGEST


def test_no_more_layers_are_sent_at_once_than_there_are_turns() -> None:
    repository, turn = SlowRepository(), Turns(1, 1)
    repository.answer.set()
    with ThreadPoolExecutor(1) as pool, turn:
        waiting = pool.submit(repository.send, turn)
        while not repository.uploads:
            time.sleep(0.01)

        assert not repository.uploads[0].received.wait(0.2)

        turn.__exit__()
        assert waiting.result() == DIGEST
        turn.__enter__()


def test_upload_that_waited_too_long_for_its_turn_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destination, "STALE_SECONDS", -1.0)
    repository = SlowRepository()
    repository.answer.set()

    assert repository.send(Turns(1, 1)) == DIGEST

    *stale, used = repository.uploads
    assert stale
    assert all(upload.dropped for upload in stale)
    assert used.received.is_set()
    assert not used.dropped


class TestTurns:
    """How many layers are in flight."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [1000.0]
        monkeypatch.setattr("modelcar.oci.turns.time", SimpleNamespace(monotonic=lambda: now[0]))
        return now

    def busy(self, turn: Turns, clock: list[float], rate: Callable[[int], float], windows: int) -> list[int]:
        """Moves bytes at a rate that depends on the layers in flight; gives their number after each window."""
        limits = []
        for _ in range(windows):
            turn.held, turn.waiting = turn.limit, 1
            clock[0] += 1.0
            turn.moved(int(rate(turn.limit)))
            clock[0] += 1.1
            turn.moved(int(1.1 * rate(turn.limit)))
            limits.append(turn.limit)
        return limits

    def test_more_while_that_brings_more(self, clock: list[float]) -> None:
        limits = self.busy(Turns(), clock, lambda layers: layers * 10e6, 12)
        assert limits == sorted(limits)
        assert limits[-1] == 16

    def test_a_fast_line_is_filled_soon(self, clock: list[float]) -> None:
        turn, begun = Turns(), clock[0]
        while turn.limit < 16:
            turn.held, turn.waiting = turn.limit, 1
            clock[0] += 0.1
            turn.moved(int(turn.limit * 10e6))
        assert clock[0] - begun < 2

    def test_no_more_than_that_bring_something(self, clock: list[float]) -> None:
        limits = self.busy(Turns(), clock, lambda layers: min(layers, 6) * 10e6, 8)
        assert max(limits) <= 16
        assert limits[-1] == 8, "twice as many as before brought more, and twice as many again nothing"

    def test_as_many_as_at_first_where_the_registry_is_the_limit(self, clock: list[float]) -> None:
        limits = self.busy(Turns(), clock, lambda _: 100e6, 8)
        assert limits[-1] == 4

    def test_fewer_when_a_registry_says_so_and_more_again_later(self, clock: list[float]) -> None:
        turn = Turns()
        self.busy(turn, clock, lambda layers: layers * 10e6, 12)
        turn.slow_down()
        assert turn.limit == 8
        turn.slow_down()
        assert turn.limit == 8, "at most once for a window"
        self.busy(turn, clock, lambda layers: layers * 10e6, 2)
        turn.slow_down()
        assert turn.limit == 4
        assert self.busy(turn, clock, lambda layers: layers * 10e6, 30)[-1] == 16

    def test_never_fewer_than_two(self, clock: list[float]) -> None:
        turn = Turns()
        for _ in range(5):
            turn.slow_down()
            self.busy(turn, clock, lambda _: 1e6, 2)
        assert turn.limit == 2

    def test_nobody_is_let_in_where_nobody_waits(self, clock: list[float]) -> None:
        turn = Turns()
        for _ in range(12):
            clock[0] += 2.1
            turn.moved(10**9)
        assert turn.limit == 4
