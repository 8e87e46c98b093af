"""Bodies of a registry's answers: where they begin, and that they end."""

from collections.abc import Iterator

import requests
import urllib3

from modelcar.errors import RegistryError, RegistryUnwellError, UnsoundImageError
from modelcar.oci.session import is_too_slow

CHUNK_BYTES = 1 << 20

MAX_MANIFEST_BYTES = 4 << 20
"""OpenShift's registry refuses a larger one; so does the distribution specification's advice."""


def begins_at(response: requests.Response) -> int:
    """Returns the offset of an answer's first byte; a registry need not know ranges, nor keep to the one asked for."""
    if response.status_code != requests.codes.partial_content:
        return 0
    first = response.headers.get("Content-Range", "").removeprefix("bytes").strip(" =").partition("-")[0]
    asked = str(response.request.headers.get("Range", "")).removeprefix("bytes=").partition("-")[0]
    return int((first if first.isascii() and first.isdecimal() else asked)[:18] or 0)


def received(response: requests.Response, limit: int | None = None, *, unzipped: bool = False) -> Iterator[bytes]:
    """Reads the body as it was sent. A body that ends early is an error that may pass.

    Args:
        response: The answer.
        limit: The most bytes that are expected; None where the caller counts them.
        unzipped: Undo a Content-Encoding, which some fronts use although nobody asked for one.
    """
    seen = 0
    try:
        for chunk in response.raw.stream(CHUNK_BYTES, decode_content=unzipped):
            seen += len(chunk)
            if limit is not None and seen > limit:
                raise UnsoundImageError(f"{response.url} answers with more than {limit} bytes")
            yield chunk
    except (urllib3.exceptions.HTTPError, OSError) as error:
        # A document that drips is given up; of a blob, what is missing is asked for anew some times.
        if limit is not None and is_too_slow(error):
            raise RegistryError(f"{response.url} answers too slowly to be waited for") from None
        raise RegistryUnwellError(f"the connection to {response.url} broke after {seen} bytes: {error}") from None
