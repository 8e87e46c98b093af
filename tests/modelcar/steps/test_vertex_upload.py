"""A registry that takes no blob in parts, as Artifact Registry: an upload that broke begins anew, and comes to its end.

https://cloud.google.com/artifact-registry/docs/reference/docker-api says so of chunked uploads.
"""

import random

import pytest

from modelcar.errors import RegistryError, RegistryUnwellError
from modelcar.oci import spec
from modelcar.oci.blob import Blob
from modelcar.oci.body import CHUNK_BYTES
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.oci.transfer import Noted, send_layer
from tests.parts.fault_proxy import FaultProxy
from tests.parts.registries import Registry

CONTENT = random.Random(7).randbytes(3 * CHUNK_BYTES)
BROKEN_AT = CHUNK_BYTES + 1


def sent(proxy: FaultProxy, name: str) -> int:
    """Send a blob, whose connection breaks once; gives in how many requests it went."""
    stream = Blob(len(CONTENT), lambda offset: iter([CONTENT[offset:]]))
    digest = spec.digest_of(CONTENT)
    with Repository(Reference.parse(f"{proxy.host}/in-parts/{name}:1"), push=True) as target:
        send_layer(stream, Noted(digest), [target], lambda _: None)
        assert b"".join(target.read_blob(digest)) == CONTENT
    return sum(request.method == "PATCH" for request in proxy.requests)


def test_a_first_request_has_all_of_a_blob_and_is_no_part(plain_registry: Registry) -> None:
    with FaultProxy(plain_registry.host) as proxy:
        assert sent(proxy, "whole") == 1
        (request,) = (request for request in proxy.requests if request.method == "PATCH")
        assert (request.content_range, request.length) == ("", len(CONTENT))


@pytest.mark.parametrize("status", [400, 404, 405, 416, 501])
def test_a_second_part_that_is_refused_is_asked_about_and_not_sent_again(status: int, plain_registry: Registry) -> None:
    with (
        FaultProxy(plain_registry.host) as proxy,
        Repository(Reference.parse(f"{proxy.host}/in-parts/refused:1"), push=True) as target,
    ):
        upload = target.start_upload()
        upload.send([CONTENT[:CHUNK_BYTES]], CHUNK_BYTES)
        proxy.status(status, method="PATCH")
        with pytest.raises(RegistryUnwellError, match="does not go on with an upload"):
            upload.send([CONTENT[CHUNK_BYTES:]], len(CONTENT) - CHUNK_BYTES)
        # After this an upload begins anew (modelcar.oci.transfer).
        with pytest.raises(RegistryError, match="does not go on with an upload where it says"):
            upload.find_offset()


@pytest.mark.parametrize("status", [400, 404, 405])
def test_an_upload_that_cannot_be_asked_for_begins_anew(
    status: int, plain_registry: Registry, waits: list[float]
) -> None:
    with FaultProxy(plain_registry.host) as proxy:
        proxy.reset(after=BROKEN_AT, method="PATCH", times=1)
        proxy.status(status, method="GET", path="/blobs/uploads/", times=None)
        assert sent(proxy, f"asked-{status}") == 2
