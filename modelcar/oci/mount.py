"""Mounts of blobs: a registry takes one over from another of its repositories without moving bytes, if it can."""

from contextlib import suppress
from http import HTTPStatus

from modelcar.errors import RegistryError
from modelcar.oci import status
from modelcar.oci.capabilities import Capabilities
from modelcar.oci.connection import Connection, Scope
from modelcar.oci.upload import Upload


def ask_to_mount(connection: Connection, scope: Scope, capabilities: Capabilities, path: str, digest: str) -> bool:
    """Asks a registry to mount a blob; returns whether it may have done so, which only the blob itself tells.

    201 means mounted, and 202 an upload, which is dropped; some answer 201 to either, and some mount nothing.

    Args:
        connection: To the registry.
        scope: The permission to write there, and to read where the blob is.
        capabilities: What is known of the registry.
        path: Where to ask.
        digest: The blob's digest.
    """
    try:
        response = connection.request("POST", path, scope, status.SUCCESS)
    except RegistryError:
        # A registry need not mount, nor these credentials be good for both; copying shows what is wrong, if it is.
        return False
    place = response.headers.get("Location", "").partition("?")[0]
    if place.endswith(digest):
        return True
    if place:
        with suppress(RegistryError):
            Upload(connection, scope, connection.location(response), capabilities).cancel()
    return response.status_code != HTTPStatus.ACCEPTED
