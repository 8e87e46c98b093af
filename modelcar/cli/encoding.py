"""Signs that the terminal's encoding, such as ASCII or Latin-1, does not have, in letters that it has."""

import codecs
import sys

_PLAIN = {"✓": "+", "✗": "x", "·": ".", "▸": ">", "■": "#", "…": "...", "\u2013": "-", "✅": "ok", "❌": "x", "⚠": "!"}
_HANDLER = "modelcar"


def write_in_any_encoding() -> None:
    """Has stdout and stderr write other letters in place of those that their encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)


def legible(text: str) -> str:
    """Returns a text as stdout can write it."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, _HANDLER).decode(encoding)


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(letter, "?") for letter in error.object[error.start : error.end]), error.end


codecs.register_error(_HANDLER, _in_plain_letters)
