"""Xet's storage in a folder, filled by the real `hf_xet`, which reads it too."""

import hashlib
from pathlib import Path

from hf_xet import XetSession


class LocalXet:
    """A content-addressed storage of chunks, to be named by a Hub.

    Attributes:
        endpoint: What the Hub names as the storage's address.
        hashes: Xet's hashes of the files it has, by their sha256.
        token_seconds: How long the tokens last that the Hub gives for it.
        tokens_given: How many it gave.
    """

    def __init__(self, folder: Path) -> None:
        """Make an empty storage.

        Args:
            folder: Where it keeps what it gets.
        """
        folder.mkdir()
        self.folder = folder
        self.endpoint = f"local://{folder}"
        self.hashes: dict[str, str] = {}
        self.token_seconds = 3600.0
        self.tokens_given = 0

    def add(self, content: bytes) -> None:
        """Uploads a file."""
        commit = XetSession().new_upload_commit(endpoint=self.endpoint)
        file = commit.start_upload_bytes(content)
        commit.wait_to_finish()
        self.hashes[hashlib.sha256(content).hexdigest()] = file.result().xet_info.hash
