"""How we introduce ourselves to the Hub."""

from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from modelcar import __version__

CLIENT = "modelcar-pipelines"


def identity_headers() -> dict[str, str]:
    """Returns the headers of a request to the Hub: this project's name, and the user's token if there is one."""
    return dict(build_hf_headers(library_name=CLIENT, library_version=__version__))
