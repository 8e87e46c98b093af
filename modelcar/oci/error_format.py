"""Errors of registries, in the error format of the OCI distribution specification."""

import re
from typing import Any

import requests

from modelcar.errors import RegistryError, on_one_line
from modelcar.oci.session import keep

MAX_MESSAGE_CHARS = 300

_FIELDS = ("message", "error_description", "error_message", "details", "detail", "error", "reason", "title", "code")
"""Place where other formats than the specification's have their words: OAuth2 (RFC 6749), Quay, Docker's token service,
GitHub, Artifactory, problem details (RFC 9457)."""

_TITLE = re.compile(r"<(?:title|h1|message)[^>]*>(.{1,300}?)</(?:title|h1|message)>", re.IGNORECASE | re.DOTALL)
"""Place where a page, or the XML of a storage, says in a few words what it is."""

_TAG = re.compile(r"<[^>]{0,300}>")
_TEXT_TYPES = ("text/plain", "text/html", "application/xml", "text/xml", "")
_MAX_DEPTH = 4


def codes(response: requests.Response) -> set[str]:
    """Returns the codes that a registry answered; none where it answered in another format."""
    return {str(error.get("code")) for error in _errors(_document(response))}


def server_message(response: requests.Response) -> str:
    """Returns what the registry said, on one line and shortened: its own words, or else the status in words."""
    document = _document(response)
    errors = _errors(document)
    said = [words for error in errors if (words := _words_of(error))] if errors else [_words(document)]
    message = "; ".join(dict.fromkeys(filter(None, said))) or _plain_text(response) or response.reason or ""
    return on_one_line(message)[:MAX_MESSAGE_CHARS]


def _words_of(error: dict[str, Any]) -> str:
    """Returns an error's message, and its detail where that is words too: some say only there what is wrong."""
    message, detail = _words(error), error.get("detail")
    more = detail if isinstance(detail, str) else _words(detail) if isinstance(detail, dict) else ""
    return f"{message} ({more})" if more and more not in message else message


def _words(value: Any, depth: int = 0) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, dict) and depth < _MAX_DEPTH:
        return next((words for name in _FIELDS if (words := _words(value.get(name), depth + 1))), "")
    return ""


def _plain_text(response: requests.Response) -> str:
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
    content = response.content if response._content_consumed else b""  # type: ignore[attr-defined]
    if media_type not in _TEXT_TYPES or not content:
        return ""
    text = content[: 16 * MAX_MESSAGE_CHARS].decode(errors="replace").strip()
    if title := _TITLE.search(text):
        return _TAG.sub("", title[1])
    return "" if text.startswith(("<", "{", "[")) else text


def _document(response: requests.Response) -> Any:
    try:
        keep(response)
        return response.json()
    except (ValueError, RecursionError, RegistryError, OSError):
        return None


def _errors(document: Any) -> list[dict[str, Any]]:
    errors = document.get("errors") if isinstance(document, dict) else None
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
