"""Whom TLS connections to a registry trust, and by which certificate the registry knows us.

As containers-certs.d(5) has it: `certs.d/<host>/` holds authorities (`*.crt`) and pairs of a client's certificate and
key (`<name>.cert`, `<name>.key`). A Secret that the pipelines mount may hold the same for the registries that it has
logins to: `ca.crt`, `client.cert`, `client.key`.
"""

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
from urllib3 import PoolManager

from modelcar import pod, tls
from modelcar.errors import CredentialsError
from modelcar.oci import docker_config
from modelcar.oci.addresses import Guard
from modelcar.oci.sockets import LiveSockets, pool_classes

CERTIFICATES = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))

_BLOCK_BYTES = 1 << 20
_CONNECTIONS = 64
"""Connections that are kept open to each host: the most layers in flight, with what is asked meanwhile."""


_SINGLE = ("Location", "Content-Type", "Docker-Content-Digest", "Range", "Content-Range", "Retry-After")


class WatchedAdapter(tls.TlsAdapter):
    """Connections whose reads end, whose addresses are checked, and whose blocks are large.

    Args:
        guard: Looks at the addresses.
        live: Takes in the sockets.
        context: The registry's (tls_context).
    """

    def __init__(self, guard: Guard, live: LiveSockets, context: ssl.SSLContext) -> None:
        self._guard, self._live = guard, live
        super().__init__(context, _CONNECTIONS, blocksize=_BLOCK_BYTES)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Makes a pool whose sockets are written to in large blocks (http.client's default is 16 KiB)."""
        super().init_poolmanager(*args, **options)
        self._watch(self.poolmanager, self._guard)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Makes the same pool of connections that go through a proxy."""
        made = super().proxy_manager_for(proxy, **options)
        self._watch(made, None)
        return made

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Makes the answer; of a header that has one value, and came several times, the first counts."""
        response = super().build_response(req, resp)
        for name in _SINGLE:
            if len(values := resp.headers.getlist(name)) > 1:
                response.headers[name] = values[0]
        return response

    def _watch(self, manager: PoolManager, guard: Guard | None) -> None:
        manager.pool_classes_by_scheme = pool_classes(guard, self._live)


def authorities(host: str) -> list[Path]:
    """Returns files of certificate authorities to trust for a registry, besides the system's."""
    files = [file for folder in _folders(host) for file in sorted(folder.glob("*.crt"))]
    service_ca = pod.SERVICE_ACCOUNT / "service-ca.crt"
    if host.split(":")[0].endswith(".svc") and service_ca.is_file():
        files.append(service_ca)
    return files


def client_certificates(host: str) -> list[tuple[Path, Path]]:
    """Returns the pairs of certificate and key that the registry may know us by.

    Raises:
        CredentialsError: One has no other half.
    """
    pairs = []
    for folder in _folders(host):
        for certificate in sorted(folder.glob("*.cert")):
            key = certificate.with_suffix(".key")
            if not key.is_file():
                raise CredentialsError(f"{certificate} has no key beside it", f"Put the key at {key}")
            pairs.append((certificate, key))
        for key in folder.glob("*.key"):
            if not key.with_suffix(".cert").is_file():
                certificate = key.with_suffix(".cert")
                raise CredentialsError(
                    f"{key} has no certificate beside it",
                    f"Put the certificate at {certificate}; a name that ends in .crt is an authority's",
                )
    return pairs


def tls_context(host: str, *, checked: bool = True) -> ssl.SSLContext:
    """Returns the context of a registry's connections: whom we trust there, and who we are.

    Args:
        host: The registry's host and port.
        checked: Whether the server's certificate is checked.

    Raises:
        CredentialsError: A certificate of certs.d cannot be read.
    """
    own, pairs = authorities(host), client_certificates(host)
    if checked and not own and not pairs:
        return tls.shared_context()
    context = tls.new_context()
    for file in own:
        _load(lambda path: context.load_verify_locations(path), file, file)
    for certificate, key in pairs:
        _load(lambda path, other=key: context.load_cert_chain(path, other), certificate, key)
    if not checked:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load(load: Any, first: Path, last: Path) -> None:
    try:
        load(first)
    except (OSError, ValueError) as error:
        names = f"{first}" if first == last else f"{first} and {last}"
        raise CredentialsError(
            f"{names} cannot be used: {error}", "A certificate and a key are in PEM, and belong together"
        ) from None


def _folders(host: str) -> list[Path]:
    return [*(folder / host for folder in CERTIFICATES), *_secrets(host)]


def _secrets(host: str) -> list[Path]:
    """Returns the mounted Secrets that hold a login to a registry."""
    found = []
    for file in sorted(pod.SECRETS.glob("*/.dockerconfigjson")):
        # The one who reads the logins says what is wrong with the file.
        with suppress(CredentialsError):
            if host.lower() in docker_config.read(file).hosts:
                found.append(file.parent)
    return found
