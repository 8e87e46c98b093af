"""Layer digests noted beside a download, so that a build need not hash its files again.

They are part of the download's record (modelcar.claim.downloads). Others may write to a claim as well, so a build goes
by them only if it was given the record's digest.
"""

from pydantic import TypeAdapter, ValidationError

from modelcar.oci import spec

_DIGESTS = TypeAdapter(dict[str, spec.Digest])


def read_digests(note: bytes) -> dict[str, str]:
    """Returns digests of layers, by their keys, that the pass over a download's bytes gave; none if none was noted."""
    try:
        return dict(_DIGESTS.validate_json(note))
    except ValidationError:
        return {}


def encoded(digests: dict[str, str]) -> bytes:
    """Writes such a note; of the same digests always the same, whichever was found first."""
    return _DIGESTS.dump_json(dict(sorted(digests.items())))
