"""An upload to one repository, which is begun anew where the registry has lost it."""

import time
from contextlib import suppress

from modelcar.errors import RegistryError, UploadLostError
from modelcar.oci.registry import Repository
from modelcar.oci.upload import Upload
from modelcar.retries import pause, pause_before

STALE_SECONDS = 60.0
"""An upload that was begun longer ago, and has waited for its turn since, is begun anew: registries drop old ones."""

MAX_BEGINNINGS = 4
"""Attempts at an upload that a registry loses each time."""


class Destination:
    """An upload to one repository, begun anew where the registry has lost it.

    Args:
        repository: The repository.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._upload: Upload | None = None
        self._begun = 0.0
        self._lost = 0

    @property
    def upload(self) -> Upload:
        """The upload, which no registry has given up waiting for."""
        if self._upload is not None and not self._upload.offset and time.monotonic() - self._begun > STALE_SECONDS:
            self.cancel()
        if self._upload is None:
            self._upload, self._begun = self.repository.start_upload(), time.monotonic()
        return self._upload

    def keep(self) -> None:
        """Has the upload go on, as if it were begun now."""
        self._begun = time.monotonic()

    def cancel(self) -> None:
        """Drops what was sent."""
        if self._upload is not None:
            self._upload.cancel()
            self._upload = None

    def find_offset(self) -> int:
        """Returns where to go on after a broken connection."""
        if self._upload is None:
            return 0
        offset = 0
        if self.repository.capabilities.resumes is not False:
            with suppress(RegistryError):
                offset = self._upload.find_offset()
        if not offset:
            # It may hold a single byte, which looks like none.
            self.cancel()
        return offset

    def begin_anew(self, error: UploadLostError) -> None:
        """Drops an upload that the registry has lost.

        Raises:
            UploadLostError: It loses each.
        """
        self._lost += 1
        self.cancel()
        if self._lost >= MAX_BEGINNINGS:
            error.may_pass = False
            raise error

    def finish(self, digest: str) -> bool:
        """Ends the upload; False if the registry has lost it, so that it has to be sent anew."""
        try:
            self.upload.finish(digest)
        except UploadLostError as error:
            if self.upload.was_resumed:
                # It said that it had the part before the break, and had not (ECR).
                self.repository.capabilities.resumes = False
            self.begin_anew(error)
            pause(pause_before(self._lost, error))
            return False
        return True
