"""Heads of answers: what nothing here reads is left out where there is too much of it, and nothing else is."""

import http.client
import io
from http.server import BaseHTTPRequestHandler

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelcar.errors import RegistryError
from modelcar.oci.head import MAX_HEAD_BYTES, HeadReader
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from tests.modelcar.oci.test_hostile_registries import answering

_LINES = st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=9), max_size=30)


def lines(content: bytes, size: int = 65537) -> list[bytes]:
    reader = HeadReader(io.BytesIO(content))  # type: ignore[arg-type]
    return list(iter(lambda: reader.readline(size), b""))


@given(_LINES, st.binary(max_size=200))
@example(["HTTP/1.1 100 Continue", "", "HTTP/1.1 200 OK", ""], b"\nbody\n")
def test_head_and_body_of_ordinary_size_are_read_as_they_are(head: list[str], body: bytes) -> None:
    content = "".join(f"{line}\r\n" for line in head).encode() + body

    assert lines(content) == io.BytesIO(content).readlines()


def test_what_counts_is_read_after_any_number_of_others() -> None:
    others = [b"X-Own-%d: x\r\n" % number for number in range(500)]
    head = [b"HTTP/1.1 200 OK\r\n", *others, b"X-Long: " + bytes(200_000), b"\r\n", b" folded\r\n", b"LOCATION: /x\r\n"]
    read = lines(b"".join([*head, b"\r\n", b"X-Body: 1\r\n" * 200]))

    assert b"LOCATION: /x\r\n" in read
    assert not {b" folded\r\n", others[-1]} & {*read}
    assert len(read) < 100 + 200
    assert read.count(b"X-Body: 1\r\n") == 200


@pytest.mark.parametrize("header", ["X-Own: 1", "Link: </x>; rel=next", f"Location: /{'x' * 100_000}"])
def test_head_without_end_is_named(header: str, waits: list[float]) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(2 * MAX_HEAD_BYTES // len(header)):
            request.wfile.write(f"{header}\r\n".encode())

    with (
        answering(endless) as host,
        Repository(Reference.parse(f"{host}/team/model:1")) as repository,
        pytest.raises(RegistryError, match=r"more headers, or longer ones.*Look at what a proxy") as raised,
    ):
        repository.find_manifest("1")

    assert str(raised.value).isprintable()
    assert waits == []


def test_limits_of_http_client_are_those_that_are_gone_round() -> None:
    """If the limits are gone one day, so may the reader be."""
    with pytest.raises(http.client.HTTPException):
        http.client.parse_headers(io.BytesIO(b"X-Own: 1\r\n" * 101 + b"\r\n"))
    with pytest.raises(http.client.LineTooLong):
        http.client.parse_headers(io.BytesIO(b"X-Own: " + bytes(70_000) + b"\r\n\r\n"))
