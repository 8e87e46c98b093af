"""Introduction of ourselves to the Hub."""

from typing import Literal

from huggingface_hub import get_token
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from modelcar import __version__

CLIENT = "modelcar-pipelines"


def find_token() -> Literal[False] | None:
    """Says whose token goes along: that which huggingface_hub finds, or none where its file may not even be looked at.

    A random user, as OpenShift gives them to pods, may have a home that is not its own.
    """
    try:
        get_token()
    except PermissionError:
        return False
    return None


def identity_headers() -> dict[str, str]:
    """Returns the headers of a request to the Hub: this project's name, and the user's token if there is one."""
    return dict(build_hf_headers(token=find_token(), library_name=CLIENT, library_version=__version__))
