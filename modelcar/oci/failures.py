"""Failures of connections to a registry, named with their remedies."""

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy

from modelcar.errors import RegistryError, RegistryUnwellError
from modelcar.oci import status
from modelcar.oci.session import MAX_REDIRECTS, is_too_slow
from modelcar.retries import MAX_RETRY_AFTER_SECONDS, read_retry_after
from modelcar.user_input import check_proxy

_WITHOUT_TLS = re.compile(
    r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|HTTP_REQUEST|UNKNOWN_PROTOCOL|packet length too long", re.I
)

_ALERT = re.compile(r"ALERT_|CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE")
"""Alert that a server that wants a client's certificate sends to one without."""

_TOO_MUCH = (http.client.HTTPException, http.client.LineTooLong)
"""Failures of a head that is too large (modelcar.oci.head); other failures are of classes of their own."""


@contextmanager
def connection_errors(host: str, url: str, what: str = "") -> Iterator[None]:
    """Turns what requests raises into errors with remedies.

    Args:
        host: The registry's host and port.
        url: What is asked for.
        what: Who is asked, in words; empty for the registry.

    Raises:
        RegistryUnwellError: It cannot be reached, or the connection broke.
        RegistryError: It is not trusted, no proxy lets us through, or it does not speak HTTP.
    """
    asked = what or f"the registry {host}"
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise tls_error(host, error) from None
    except requests.exceptions.ProxyError as error:
        raise proxy_error(url, root_cause(error)) from None
    except requests.exceptions.TooManyRedirects:
        raise RegistryError(f"{what or host} redirects us more than {MAX_REDIRECTS} times") from None
    except (ValueError, http.client.HTTPException) as error:
        check_proxy(url, RegistryError)
        # No address, no header or no answer that HTTP knows. The error may quote what is secret.
        raise RegistryError(f"{what or host} does not answer as HTTP has it ({type(error).__name__})") from None
    except (requests.exceptions.RequestException, OSError) as error:
        if _ALERT.search(root_cause(error)):
            raise tls_error(host, error) from None
        if is_too_slow(error):
            raise RegistryError(f"{what or host} answers too slowly to be waited for") from None
        if type(_innermost(error)) in _TOO_MUCH:
            raise RegistryError(
                f"{what or host} answers with more headers, or longer ones, than any program needs",
                "Look at what a proxy or gateway before it adds to its answers",
            ) from None
        raise RegistryUnwellError(
            f"cannot reach {asked}: {root_cause(error)}",
            "Check its name, that it is up, and the proxy settings (HTTPS_PROXY, NO_PROXY)",
        ) from None


def answered(what: str, response: requests.Response, *, may_pass: bool = False) -> RegistryError:
    """Returns the error for an answer that is none of those hoped for; who asks us to come in hours is not waited for.

    Args:
        what: What was answered, by whom.
        response: The answer.
        may_pass: Whether it may pass, whatever its status says.
    """
    wait = read_retry_after(response.headers.get("Retry-After", ""), response.headers.get("Date", ""))
    error: RegistryError
    if not (may_pass or status.may_pass(response.status_code)):
        error = RegistryError(what)
    elif wait > MAX_RETRY_AFTER_SECONDS:
        error = RegistryError(what, f"It asks us to come again in {wait / 60:.0f} minutes")
    else:
        error = RegistryUnwellError(what, "It was tried several times; try again later")
        error.retry_after = wait
    error.status = response.status_code
    return error


def tls_error(host: str, error: Exception) -> RegistryError:
    """Returns what to raise where TLS fails."""
    cause = root_cause(error)
    if speaks_no_tls(error):
        return RegistryError(
            f"{host} does not speak TLS, and no password or model is sent without",
            "If it is to be plain HTTP, say so on purpose, in /etc/containers/registries.conf or in one beside the "
            f'login in the registry\'s Secret: [[registry]] location="{host}" insecure=true',
        )
    if _ALERT.search(cause):
        return RegistryError(
            f"no TLS connection to {host}: {cause}",
            f"If it asks for a client's certificate, put it at /etc/containers/certs.d/{host}/client.cert, and its key "
            "at client.key beside it",
        )
    return RegistryError(
        f"no trusted TLS connection to {host}: {cause}",
        f"If your own authority signed its certificate, put that authority into "
        f"/etc/containers/certs.d/{host}/ca.crt, or into the file that SSL_CERT_FILE names",
    )


def speaks_no_tls(error: Exception) -> bool:
    """Tells whether a server answered a TLS handshake with something else."""
    return _WITHOUT_TLS.search(str(error)) is not None


def proxy_error(url: str, why: str) -> RegistryError:
    """Returns what to raise where a proxy does not connect us."""
    goal, proxy = urlsplit(url), urlsplit(select_proxy(url, get_environ_proxies(url)) or "")
    # A refusal stays; what a proxy cannot reach, or a proxy that cannot be reached, may pass.
    kind = RegistryError if re.search(r"\b(401|403|407)\b", why) else RegistryUnwellError
    return kind(
        f"the proxy {proxy.netloc.rpartition('@')[2]} does not connect us to {goal.netloc}: {why}",
        f"Check {goal.scheme.upper()}_PROXY (http://user:password@host:port); a host within this network belongs into "
        f"NO_PROXY: export NO_PROXY=$NO_PROXY,{goal.hostname}",
    )


def root_cause(error: BaseException) -> str:
    """Returns the innermost reason: requests wraps urllib3, which wraps the socket's own words."""
    seen = _innermost(error)
    return str(seen) or type(seen).__name__


def _innermost(error: BaseException) -> BaseException:
    seen = error
    while inner := getattr(seen, "reason", None) or seen.__cause__ or seen.__context__:
        if not isinstance(inner, BaseException):
            break
        seen = inner
    return seen
