"""The list of an image's referrers that a registry keeps itself (the referrers API), where it does."""

from contextlib import closing
from urllib.parse import urljoin

import requests
from pydantic import ValidationError

from modelcar.errors import RegistryError, RegistryUnwellError
from modelcar.oci import error_format, spec, status
from modelcar.oci.body import MAX_MANIFEST_BYTES, received
from modelcar.oci.capabilities import Capabilities
from modelcar.oci.connection import Connection, Scope

_MAX_PAGES = 100
_UNKNOWN_SUBJECT = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "MANIFEST_INVALID"})
"""Answers of a registry that lists referrers, but does not know the image that was asked for."""

_ANSWERS = frozenset(code for code in range(200, 500) if not status.may_pass(code))


def list_referrers(
    connection: Connection, scope: Scope, capabilities: Capabilities, path: str
) -> list[spec.Descriptor]:
    """Returns what names an image as its subject, as far as the registry itself knows.

    A registry that does not answer with a list has none, whatever it answers; it is not asked again in this run.

    Args:
        connection: To the registry.
        scope: The permission to read there.
        capabilities: What is known of it; takes in whether it lists.
        path: Where the list is.
    """
    found: list[spec.Descriptor] = []
    for _ in range(_MAX_PAGES):
        if capabilities.lists_referrers is False:
            break
        try:
            response = connection.request("GET", path, scope, _ANSWERS, stream=True)
            with closing(response):
                if response.status_code not in status.SUCCESS:
                    capabilities.lists_referrers = None if _knows_the_path(response) else False
                    break
                content = b"".join(received(response, MAX_MANIFEST_BYTES, unzipped=True))
            found.extend(spec.Index.model_validate_json(content).manifests)
        except (RegistryError, ValidationError) as error:
            # Some registries answer each path that they do not know by a page, or send us elsewhere.
            capabilities.lists_referrers = False
            if isinstance(error, RegistryUnwellError):
                print(f"{error.what}; attachments are looked for by their tags", flush=True)
            break
        capabilities.lists_referrers = True
        following = response.links.get("next", {}).get("url", "")
        if not following:
            break
        path = urljoin(response.url, following)
    return found


def _knows_the_path(response: requests.Response) -> bool:
    return response.status_code in status.ABSENT and bool(error_format.codes(response) & _UNKNOWN_SUBJECT)
