"""Introduction of ourselves to the Hub."""

import os
from typing import Literal

from huggingface_hub import constants, get_token
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from modelcar import __version__, pod
from modelcar.errors import HubError
from modelcar.user_input import fits_header

CLIENT = "modelcar-pipelines"


def find_token() -> Literal[False] | None:
    """Says whose token goes along: that which huggingface_hub finds, or none where its file may not even be looked at.

    A random user, as OpenShift gives them to pods, may have a home that is not its own.

    Raises:
        HubError: The file that HF_TOKEN_PATH names cannot be read, or what is found is no token.
    """
    try:
        token = get_token()
    except (OSError, UnicodeDecodeError) as error:
        is_named = bool(os.environ.get(pod.HF_TOKEN_FILE))
        if isinstance(error, (PermissionError, NotADirectoryError)) and not is_named:
            return False
        why = getattr(error, "strerror", "") or "it is no text"
        raise HubError(
            f"the Hub's token {constants.HF_TOKEN_PATH} cannot be read: {why}",
            f"Name its file in {pod.HF_TOKEN_FILE}, or give the token itself in HF_TOKEN",
        ) from None
    if token and not fits_header(token):
        raise HubError("the Hub's token has letters that no token has", "Log in again: hf auth login; or set HF_TOKEN")
    return None


def identity_headers() -> dict[str, str]:
    """Returns the headers of a request to the Hub: this project's name, and the user's token if there is one."""
    return dict(build_hf_headers(token=find_token(), library_name=CLIENT, library_version=__version__))
