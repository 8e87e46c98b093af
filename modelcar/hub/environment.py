"""Variables of huggingface_hub's own, which it reads when it is imported, and fails of in words of Python's."""

import os

from modelcar.errors import HubError
from modelcar.user_input import is_web_address

HUB = "https://huggingface.co"
"""Address that an image names as its source. A mirror (HF_ENDPOINT) serves the same commits, for the same images."""

_ENDPOINT = "HF_ENDPOINT"
_SECONDS = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")


def check_variables() -> None:
    """Looks at the variables before huggingface_hub does; one that is empty counts as none, as everywhere else.

    Raises:
        HubError: One is not what huggingface_hub takes.
    """
    for name in (_ENDPOINT, *_SECONDS):
        if name in os.environ and not os.environ[name].strip():
            del os.environ[name]
    find_endpoint()
    for name in _SECONDS:
        try:
            int(os.environ.get(name, "0"))
        except ValueError:
            raise HubError(
                f"{name} is {os.environ[name]!r}, and not a number of seconds", "Write one, or unset it"
            ) from None


def find_endpoint() -> str:
    """Returns the Hub's address: that in HF_ENDPOINT, or the public one.

    Raises:
        HubError: It is no address.
    """
    named = os.environ.get(_ENDPOINT, "").strip().rstrip("/")
    if named and not is_web_address(named):
        raise HubError(f"{_ENDPOINT} is {named!r}, which is no address", "Write it as https://host, or unset it")
    return named or HUB
