"""Layer digests noted beside a download, so that a build need not hash its files again."""

from contextlib import suppress
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from modelcar.claim.folder import Folder
from modelcar.errors import ClaimError
from modelcar.oci import spec

DIGESTS = Path(".modelcar", "layers.json")


_DIGESTS = TypeAdapter(dict[str, spec.Digest])


def read_digests(folder: Folder) -> dict[str, str]:
    """Returns digests of layers, by their keys, that a pass over this download's bytes gave; none if none was noted."""
    try:
        return dict(_DIGESTS.validate_json(folder.read_note(str(DIGESTS))))
    except (OSError, ClaimError, ValidationError):
        return {}


def write_digests(folder: Folder, digests: dict[str, str]) -> None:
    """Notes them beside the download. The note only saves time, so a claim that cannot be written does not matter."""
    with suppress(OSError, ClaimError):
        folder.write_note(str(DIGESTS), _DIGESTS.dump_json(digests))
