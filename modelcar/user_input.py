"""Paths, addresses, tokens and proxies as users name them, looked at where the libraries that take them would fail.

Each function is given the error to raise, so that it is one of the room that asks.
"""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from requests.utils import get_environ_proxies, select_proxy

from modelcar.errors import ModelcarError

_HTTP_PROXY = "Name an HTTP proxy, http://host:port, in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or unset them"


def path_of(written: str | Path, kind: type[ModelcarError]) -> Path:
    """Returns a path with the home that `~` at its beginning stands for.

    Args:
        written: The path.
        kind: The error to raise where there is no such home.
    """
    try:
        return Path(written).expanduser()
    except RuntimeError:
        user = str(written).partition("/")[0].removeprefix("~")
        why = f"there is no user {user} with a home" if user else "this user has no home"
        raise kind(f"{written} cannot be found: {why}", "Write all of the path, from / on") from None


def is_web_address(text: str) -> bool:
    """Tells whether a text is the address of a server: http or https, a host, and a port at most that can be one."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and fits_header(text)
    except ValueError:
        return False


def fits_header(token: str) -> bool:
    """Tells whether a token, or an address, can be sent: HTTP has no place for line breaks, and none for most letters.

    What is made of such a text fails where it is sent, as if the server were to blame.
    """
    return token.isascii() and token.isprintable()


def check_token(token: str, source: str, kind: type[ModelcarError], remedy: str) -> str:
    """Returns a token that can be sent.

    Args:
        token: The token.
        source: Where it was found.
        kind: The error to raise if it is none.
        remedy: What to do then.
    """
    if not fits_header(token):
        raise kind(f"what is in {source} is no token: it has letters, or lines, that no token has", remedy)
    return token


def token_in(file: Path, kind: type[ModelcarError], remedy: str) -> str:
    """Reads the token in a file.

    Args:
        file: The file.
        kind: The error to raise if it cannot be read, or holds none.
        remedy: What to do then.
    """
    try:
        token = file.read_bytes().decode("latin-1").strip()
    except OSError as error:
        raise kind(f"the token file {file} cannot be read: {error.strerror}", remedy) from None
    return check_token(token, str(file), kind, remedy)


def check_proxy(url: str, kind: type[ModelcarError]) -> None:
    """Raises if the proxy that the environment names for an address is none that can be spoken to.

    Args:
        url: The address.
        kind: The error to raise.
    """
    _check_proxy(select_proxy(url, get_environ_proxies(url)) or "", kind)


def check_proxies(kind: type[ModelcarError]) -> None:
    """Raises if any proxy that the environment names is none that can be spoken to.

    Args:
        kind: The error to raise.
    """
    named = getproxies()
    if "*" not in named.get("no", "").split(","):
        for scheme in ("http", "https", "all"):
            _check_proxy(named.get(scheme, ""), kind)


def _check_proxy(proxy: str, kind: type[ModelcarError]) -> None:
    if proxy.lower().startswith("socks"):
        raise kind("the environment names a SOCKS proxy, and those are not spoken to", _HTTP_PROXY)
    if proxy and not is_web_address(proxy if "://" in proxy else f"http://{proxy}"):
        # It is not shown: a password may be in it.
        raise kind("the proxy that the environment names is no address", _HTTP_PROXY)
