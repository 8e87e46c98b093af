"""Layer digests noted beside a download, so that a build need not hash its files again."""

from contextlib import suppress
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from modelcar.claim import files
from modelcar.errors import ClaimError
from modelcar.oci import spec

DIGESTS = Path(".modelcar", "layers.json")


_DIGESTS = TypeAdapter(dict[str, spec.Digest])


def read_digests(directory: Path) -> dict[str, str]:
    """Digests of layers, by their keys, that a pass over this download's bytes gave; empty if none was noted."""
    try:
        return dict(_DIGESTS.validate_json(files.read(directory / DIGESTS)))
    except (OSError, ClaimError, ValidationError):
        return {}


def write_digests(directory: Path, digests: dict[str, str]) -> None:
    """Notes them beside the download. The note only saves time, so a claim that cannot be written does not matter."""
    with suppress(OSError):
        files.write(directory / DIGESTS, _DIGESTS.dump_json({**read_digests(directory), **digests}))
