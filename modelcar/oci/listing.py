"""The lists of images' referrers that a registry keeps itself (the referrers API), where it does."""

from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urljoin

import requests
from pydantic import BaseModel, ValidationError

from modelcar.errors import RegistryError, RegistryUnwellError
from modelcar.oci import error_format, spec, status
from modelcar.oci.body import MAX_MANIFEST_BYTES, received
from modelcar.oci.capabilities import Capabilities
from modelcar.oci.connection import Connection, Scope

_MAX_PAGES = 100
_ANSWERS = frozenset(code for code in range(200, 500) if not status.may_pass(code))


class ReferrersApi:
    """Lists of what names an image as its subject, as far as the registry itself knows.

    A registry that does not answer with a list has none, whatever it answers; it is not asked again for others of this
    repository.

    Args:
        connection: To the registry.
        scope: The permission to read in a repository there.
        capabilities: What is known of it; takes in whether it lists.
    """

    def __init__(self, connection: Connection, scope: Scope, capabilities: Capabilities) -> None:
        self._connection = connection
        self._scope = scope
        self._capabilities = capabilities
        self._has_none = False

    def of(self, digest: str) -> list[spec.Descriptor]:
        """Returns the entries that can be read; a list that ends too early is said."""
        found: list[spec.Descriptor] = []
        following = f"/v2/{self._scope.repository}/referrers/{digest}"
        for number in range(_MAX_PAGES):
            if self._has_none:
                return found
            try:
                entries, following = self._page(following)
            except RegistryError as error:
                if number:
                    _tell_cut(digest, error.what)
                else:
                    self._note(error)
                return found
            found += entries
            if not following:
                return found
        _tell_cut(digest, f"it has more than {_MAX_PAGES} pages")
        return found

    def _page(self, path: str) -> tuple[list[spec.Descriptor], str]:
        """Returns the entries of a page, and where the next one is; empty for nowhere."""
        response = self._connection.request("GET", path, self._scope, _ANSWERS, stream=True)
        with closing(response):
            if response.status_code not in status.SUCCESS:
                if _is_of_one_image(response):
                    return [], ""
                raise self._connection.failure(response, self._scope)
            content = b"".join(received(response, MAX_MANIFEST_BYTES, unzipped=True))
        entries = list(_entries(content))
        self._capabilities.lists_referrers = True
        following = response.links.get("next", {}).get("url", "")
        return entries, urljoin(response.url, following) if following else ""

    def _note(self, error: RegistryError) -> None:
        """Notes that there is no list. Some answer each path that they do not know by a page, or send us elsewhere."""
        self._has_none = True
        self._capabilities.lists_referrers = bool(self._capabilities.lists_referrers)
        if isinstance(error, RegistryUnwellError):
            print(f"{error.what}; attachments are looked for by their tags", flush=True)


class _List(BaseModel):
    """A list as it comes: Harbor gives an empty object for what it does not know, and others null for no entry."""

    manifests: list[Any] | None = None


def _entries(content: bytes) -> Iterator[spec.Descriptor]:
    """Yields the entries of a list, but those that cannot be read.

    Raises:
        RegistryError: It is no list.
    """
    try:
        entries = _List.model_validate_json(content).manifests
    except ValidationError:
        raise RegistryError("it is no list of referrers") from None
    for entry in entries or ():
        with suppress(ValidationError):
            yield spec.Descriptor.model_validate(entry)


def _is_of_one_image(response: requests.Response) -> bool:
    """Tells whether a refusal is of the image or repository, in a registry's own words, and not of all such lists."""
    refused = response.status_code in status.ABSENT | status.REFUSED
    return refused and bool(error_format.codes(response))


def _tell_cut(digest: str, why: str) -> None:
    print(f"what is attached to {digest} is not listed to its end: {why}", flush=True)
