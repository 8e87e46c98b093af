"""A blob that lies somewhere already, as a stream to send on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from modelcar.errors import WrongBytesError
from modelcar.oci.tar_writer import Piece
from modelcar.retries import resume_reading


@dataclass(frozen=True)
class Blob:
    """A blob in a registry or on this machine.

    Attributes:
        size: Its size in bytes.
        read: Gives its bytes from an offset on.
    """

    size: int
    read: Callable[[int], Iterator[bytes]]

    def pieces(self, start: int = 0) -> Iterator[Piece]:
        """Gives the bytes from a position to the end. A connection that breaks is taken up.

        Raises:
            WrongBytesError: There are more or fewer than its size.
        """
        position, before = start, -1
        # An answer that does not tell its length may end early; a blob that is short brings nothing more.
        while before < position and (position < self.size or not self.size):
            before = position
            for data in resume_reading(self._read, position):
                if position + len(data) > self.size:
                    raise WrongBytesError(f"a blob has more than its {self.size} bytes", "Its registry is damaged")
                yield Piece(position, data, None)
                position += len(data)
        if position < self.size:
            raise WrongBytesError(f"a blob has {position} bytes, not {self.size}", "Its registry is damaged")

    def _read(self, offset: int) -> Iterator[bytes]:
        # Where the connection broke after the last byte, there is nothing more to ask for.
        return self.read(offset) if offset < self.size or not self.size else iter(())
