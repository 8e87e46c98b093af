"""Xet's storage: in a folder, or its own CAS server; filled by the real `hf_xet`, which reads it too."""

import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hf_xet import XetSession

from tests.parts.go_programs import cache
from tests.parts.process import listening

SERVER = cache() / "xet" / "bin" / "local_cas_server"
"""Built by `make xet-parts`."""


class XetStorage:
    """A content-addressed storage of chunks, to be named by a Hub.

    Attributes:
        endpoint: What the Hub names as the storage's address.
        hashes: Xet's hashes of the files it has, by their sha256.
        token_seconds: How long the tokens last that the Hub gives for it.
        tokens_given: How many it gave.
    """

    def __init__(self, endpoint: str, hashes: dict[str, str] | None = None) -> None:
        """Use a storage at an address, which may have files already."""
        self.endpoint = endpoint
        self.hashes = hashes or {}
        self.token_seconds = 3600.0
        self.tokens_given = 0

    def add(self, content: bytes) -> None:
        """Uploads a file."""
        commit = XetSession().new_upload_commit(endpoint=self.endpoint)
        file = commit.start_upload_bytes(content)
        commit.wait_to_finish()
        self.hashes[hashlib.sha256(content).hexdigest()] = file.result().xet_info.hash


def xet_folder(folder: Path) -> XetStorage:
    """Makes a storage in a folder, which `hf_xet` reads and writes itself."""
    folder.mkdir()
    return XetStorage(f"local://{folder}")


@contextmanager
def xet_server(folder: Path) -> Iterator[XetStorage]:
    """Runs Xet's own CAS server, which keeps all in memory.

    Args:
        folder: For its log.
    """
    folder.mkdir()
    # It does not tell which port it got, so one that is free is chosen for it.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(SERVER), "--in-memory", "--host", "127.0.0.1", "--port", str(port)]
    with listening(command, answers=lambda found: found == port, log=folder / "log"):
        yield XetStorage(f"http://127.0.0.1:{port}")
