"""Failures that a user can act on, each a single line that names what happened and the remedy."""

INTERRUPTED = "interrupted. Run the same command again to go on where it stopped"
"""Last words of a process that somebody ended by Ctrl-C."""

MAX_ERROR_CHARS = 1000
"""Characters of what an error says happened. Names and servers' words are in it, which may be of any length."""


class ModelcarError(Exception):
    """A failure with a remedy.

    Args:
        what: What happened, naming the thing it happened to.
        remedy: What the user can do about it, if anything; best as a command to paste.

    Attributes:
        may_pass: Whether the same call may succeed later.
        retry_after: Seconds that a server asked to wait before, or 0.
    """

    may_pass = False
    retry_after = 0.0

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        what = self.what if len(self.what) <= MAX_ERROR_CHARS else f"{self.what[:MAX_ERROR_CHARS]}…"
        sentence = what if not self.remedy else f"{what.rstrip('.')}. {self.remedy}"
        return on_one_line(sentence)


def on_one_line(words: str) -> str:
    """Words on one line, which no longer command the terminal that shows them, and which any encoding can write."""
    joined = " ".join(words.split())
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in joined)


class HubError(ModelcarError):
    """The Hub refused, or does not have what was asked for."""


class HubUnwellError(HubError):
    """The Hub cannot be reached, or asked to be tried again."""

    may_pass = True


class SourceError(ModelcarError):
    """A folder or a bucket with a model of one's own cannot be read."""


class SourceUnwellError(SourceError):
    """A bucket's server cannot be reached, or asked to be tried again."""

    may_pass = True


class NoSuchRevisionError(HubError):
    """The model has no such branch, tag or commit."""


class HubBusyError(HubUnwellError):
    """The Hub, or the storage behind it, takes no more connections or requests for now."""


class SelectionError(ModelcarError):
    """The include and exclude patterns leave nothing, or name nothing."""


class UnsafeNameError(ModelcarError):
    """A file name or reference that must not be used as it stands."""


class WrongBytesError(ModelcarError):
    """Bytes differ from what was published."""


class WeightsError(ModelcarError):
    """Weights that nothing can load, or that can run code when they are loaded."""


class ClaimError(ModelcarError):
    """The claim is full, read-only or otherwise unusable."""


class BuildError(ModelcarError):
    """The image could not be built."""


class RegistryError(ModelcarError):
    """A registry is unreachable or refused a request.

    Attributes:
        status: The HTTP status that it answered, or 0 if it answered none.
    """

    status = 0


class UnsoundImageError(RegistryError):
    """An image of which a registry lacks a part, or has one that is malformed: however often it is asked."""


class RegistryUnwellError(RegistryError):
    """A registry cannot be reached, a connection to it broke, or it asked to be tried again."""

    may_pass = True


class UploadLostError(RegistryUnwellError):
    """A registry no longer knows an upload, or does not go on with it: what was sent of it is lost."""


class UploadMovedError(RegistryUnwellError):
    """A registry wants the bytes of an upload at another address, to which they have to be sent from the first on."""


class BodyTooLargeError(RegistryError):
    """A registry, or a proxy before it, takes no request with a body of this size."""


class ChunkedUploadError(RegistryError):
    """A registry takes no blob whose digest is not known beforehand."""


class DamagedUploadError(RegistryError):
    """A registry received other bytes than it was to receive, and kept none of them."""


class CredentialsError(RegistryError):
    """A registry refused the credentials, or there were none."""


class TagError(ModelcarError):
    """A tag holds something that the run may not replace."""


class ModelRegistryError(ModelcarError):
    """The Model Registry is unreachable or refused a request."""


class PlanError(ModelcarError):
    """A run that cannot succeed as it was asked for; found before any byte moved."""


class ClusterError(ModelcarError):
    """The cluster refused something, cannot be reached, or ended what was running.

    Args:
        what: What happened.
        remedy: What to do about it.
        may_pass: Whether the same call may succeed later.
    """

    def __init__(self, what: str, remedy: str = "", *, may_pass: bool = False) -> None:
        super().__init__(what, remedy)
        self.may_pass = may_pass


class StoppedError(ModelcarError):
    """The work was given up because something else failed, or the user ended it."""
