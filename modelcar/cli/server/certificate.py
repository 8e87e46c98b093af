"""A forwarded port's certificate: it is the pipeline server's own, and so not of the name `localhost`."""

import re
import socket
import ssl
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

_SECONDS = 10.0
_SERVICE = re.compile(r"ds-pipeline-[a-z0-9.-]+\.svc")


def service_behind(address: str, authorities: str, namespace: str = "") -> str | None:
    """Returns the name of the service whose port is forwarded to this machine.

    `oc port-forward` carries TLS through, and the certificate that OpenShift gave the service names the service. It is
    checked as any other, but for that name.

    Args:
        address: The address that was given.
        authorities: File with the authorities to trust.
        namespace: The project that the service must be in; empty for any.

    Returns:
        The name to check the certificate for; None where it is that of the address, as usual, or nobody answers.
    """
    parts = urlsplit(address)
    if parts.scheme != "https" or parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        return None
    names = _names(parts.hostname, parts.port or 443, authorities)
    if parts.hostname in names:
        return None
    end = f".{namespace}.svc" if namespace else ""
    return next((name for name in names if _SERVICE.fullmatch(name) and name.endswith(end)), None)


def _names(host: str, port: int, authorities: str) -> list[str]:
    context = ssl.create_default_context(cafile=authorities)
    context.check_hostname = False
    with (
        suppress(OSError),
        socket.create_connection((host, port), timeout=_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        certificate: Any = secure.getpeercert() or {}
        return [str(name[1]) for name in certificate.get("subjectAltName", ())]
    return []
