"""Presence of blobs: whether a registry keeps one, where it cannot say so in the usual way."""

from contextlib import closing

from modelcar.errors import RegistryError
from modelcar.oci import status
from modelcar.oci.connection import Connection, Scope


def has_first_byte(connection: Connection, scope: Scope, path: str) -> bool:
    """Asks for a blob by reading it: some registries know no HEAD, or send us with it to links that are for GET.

    Args:
        connection: To the registry.
        scope: The permission to read there.
        path: Where the blob is.
    """
    try:
        with closing(connection.send("GET", path, scope, headers={"Range": "bytes=0-0"}, stream=True)) as response:
            return response.status_code in status.SUCCESS | {206}
    except RegistryError:
        return False
