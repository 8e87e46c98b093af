"""Answers of HTTP servers that nobody sent."""

import io
from http import HTTPStatus

import requests
from urllib3 import HTTPResponse


def unsent(content: bytes, status: int = HTTPStatus.OK, url: str = "http://registry.example.com/") -> requests.Response:
    """Makes an answer whose body has yet to be read, as a session gives it.

    Args:
        content: The body.
        status: The status.
        url: What was asked.
    """
    made = requests.Response()
    made.status_code, made.url = status, url
    made.request = requests.Request("GET", url).prepare()
    made.raw = HTTPResponse(io.BytesIO(content), status=status, preload_content=False)
    return made
