"""Heads of answers: status lines and headers, of which http.client takes 100, and 64 KiB each.

Gateways add any number of headers and cookies to an answer, none of which say anything to us. Go takes 10 MiB of them.
"""

import io
import re

MAX_HEAD_BYTES = 1 << 20
"""Size of a head, after which nobody reads on."""

_MAX_OTHERS = 48
"""Headers that are passed on although nothing here reads them, as errors and libraries may."""

_READ_HERE = frozenset(
    b"""
    connection content-encoding content-length content-range content-type date docker-content-digest keep-alive link
    location oci-chunk-min-length oci-subject proxy-authenticate range retry-after transfer-encoding www-authenticate
    """.split()
)

_INFORMING = re.compile(b"1(?!01)[0-9][0-9]")
"""Statuses after which another head follows (RFC 9110, 15.2)."""


class HeadReader(io.BufferedReader):
    """Reads an answer line by line until its head ends, and leaves out headers that nothing here reads if there are too
    many or if they are too long; what follows is read as it is.

    Args:
        raw: Gives the bytes.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self._code = b""
        self._others = 0
        self._seen = 0
        self._leaves_out = False
        self._ended = False

    def readline(self, size: int | None = -1, /) -> bytes:
        """Returns the next line that is to be read."""
        limit = -1 if size is None else size
        while not self._ended:
            line = super().readline(limit)
            self._seen += len(line)
            if self._seen > MAX_HEAD_BYTES or self._is_passed_on(
                line, is_cut=len(line) == limit and not line.endswith(b"\n")
            ):
                return line
            while line and not line.endswith(b"\n") and self._seen <= MAX_HEAD_BYTES:
                line = super().readline(limit)
                self._seen += len(line)
        return super().readline(limit)

    def _is_passed_on(self, line: bytes, *, is_cut: bool) -> bool:
        if not self._code:
            self._code = (line.split(b" ", 2)[1:2] or [b"none"])[0]
        elif line in (b"\r\n", b"\n", b""):
            self._ended = _INFORMING.fullmatch(self._code) is None
            self._code, self._others = b"", 0
        elif line[:1] not in b" \t":
            is_read = line.partition(b":")[0].strip().lower() in _READ_HERE
            self._others += not is_read
            self._leaves_out = not is_read and (is_cut or self._others > _MAX_OTHERS)
            return not self._leaves_out
        else:
            # The line before goes on.
            return not self._leaves_out
        return True
