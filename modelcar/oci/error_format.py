"""Errors of registries, in the error format of the OCI distribution specification."""

import requests

from modelcar.errors import RegistryError
from modelcar.oci.session import keep

_MOST_WORDS = 300
"""Characters."""


def codes(response: requests.Response) -> set[str]:
    """The codes that a registry answered; none where it answered in another format."""
    return {str(error.get("code")) for error in _errors(response)}


def words(response: requests.Response) -> str:
    """Returns a registry's message, shortened: each error's, or the status in words."""
    said = "; ".join(str(error.get("message") or error.get("code")) for error in _errors(response))
    return (said or response.reason or "")[:_MOST_WORDS]


def _errors(response: requests.Response) -> list[dict[str, object]]:
    try:
        keep(response)
        errors = response.json()["errors"]
    except (ValueError, KeyError, TypeError, RecursionError, RegistryError, OSError):
        return []
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
