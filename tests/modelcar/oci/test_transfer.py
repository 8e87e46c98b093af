"""What waits for what while several layers are sent."""

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from modelcar.oci import transfer
from modelcar.oci.blob import Blob
from modelcar.oci.registry import Repository
from modelcar.oci.transfer import SMALL, Noted, send_layer
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
        assert self._answer.wait(10)
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

    def start_upload(self) -> SlowUpload:
        self.uploads.append(SlowUpload(self.answer))
        return self.uploads[-1]

    def send(self, turn: threading.Semaphore) -> str:
        def zeros(offset: int) -> Iterator[bytes]:
            yield bytes(SIZE - offset)

        return send_layer(Blob(SIZE, zeros), Noted(DIGEST), [cast("Repository", self)], silent, turn)


def test_next_layer_is_sent_while_a_registry_brings_the_last_to_disk() -> None:
    slow, quick, turn = SlowRepository(), SlowRepository(), threading.Semaphore(1)
    quick.answer.set()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(slow.send, turn)

        assert quick.send(turn) == DIGEST

        assert not first.done()
        assert slow.uploads[0].received.wait(10)
        slow.answer.set()
        assert first.result() == DIGEST


def test_no_more_layers_are_sent_at_once_than_there_are_turns() -> None:
    repository, turn = SlowRepository(), threading.Semaphore(1)
    repository.answer.set()
    with ThreadPoolExecutor(1) as pool, turn:
        waiting = pool.submit(repository.send, turn)
        while not repository.uploads:
            time.sleep(0.01)

        assert not repository.uploads[0].received.wait(0.2)

        turn.release()
        assert waiting.result() == DIGEST
        turn.acquire()


def test_upload_that_waited_too_long_for_its_turn_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "STALE_SECONDS", -1.0)
    repository = SlowRepository()
    repository.answer.set()

    assert repository.send(threading.Semaphore(1)) == DIGEST

    *stale, used = repository.uploads
    assert stale
    assert all(upload.dropped for upload in stale)
    assert used.received.is_set()
    assert not used.dropped
