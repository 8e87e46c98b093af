"""Addresses that a registry may send us to: a server on the internet must not reach into the network that we run in.

What counts is the address that a connection has, looked at when it is made and before a byte is sent: a name may have
several addresses, or others a moment later.
"""

import ipaddress
import socket
import threading
from collections.abc import Iterable

from modelcar.errors import RegistryError
from modelcar.oci import registries_conf

_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
"""NAT64's own prefix (RFC 6052), and the first way of all; the last 32 bits are an IPv4 address."""

_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
"""A prefix for NAT64 within a network (RFC 8215)."""


def is_within(address: str) -> bool:
    """Tells whether an IP address is not on the internet."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.is_site_local or parsed in _LOCAL_NAT64:
            return True
        parsed = _embedded(parsed) or parsed
    return not parsed.is_global or parsed.is_multicast


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Returns the IPv4 address that an IPv6 address leads to, by whichever way of translating them."""
    if any(address in network for network in _TRANSLATED):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


class Guard:
    """Watches where the connections of one registry go.

    A registry whose own address is within the network may send us anywhere. One that was on the internet once may not
    send us within, nor move there itself.

    Args:
        host: The registry's host and port, as in an image reference.
        server: The host and port that answers for it.
        allowed: Whether somebody said that its storage is within the network (registries_conf).
    """

    def __init__(self, host: str, server: str, *, allowed: bool) -> None:
        self._name = name_of(server)
        self._host = host
        self._allowed = allowed
        self._is_public: bool | None = None
        self._lock = threading.Lock()

    def check(self, host: str, address: str) -> None:
        """Checks a connection that was just made.

        Args:
            host: The name that was connected to.
            address: The address that answered.

        Raises:
            RegistryError: It is within the network, and the registry is not.
        """
        within, own = is_within(address), host.lower() == self._name
        with self._lock:
            if own and (self._is_public is None or not within):
                self._is_public = not within
            public = self._is_public
        if within and not self._allowed and (public or (public is None and not _all_within(self._name))):
            self._refuse(host, address)

    def check_behind_proxy(self, host: str) -> None:
        """Checks a name that a proxy will connect to, as far as it can be resolved here.

        Raises:
            RegistryError: It has an address within the network, and the registry has none.
        """
        if host.lower() == self._name or self._allowed:
            return
        addresses = _addresses(host)
        if any(is_within(address) for address in addresses) and not _all_within(self._name):
            self._refuse(host, ", ".join(sorted(addresses)))

    def _refuse(self, host: str, address: str) -> None:
        at = host if host == address else f"{host} ({address})"
        raise RegistryError(
            f"{self._host} redirects us to {at}, an address within this network; not followed",
            f"If that is this registry's storage, say so: {registries_conf.PRIVATE_STORAGE}={self._host}, or in "
            f'registries.conf: [[registry]] location="{self._host}" private-storage=true',
        )


def name_of(host: str) -> str:
    """Returns a host without its port and brackets, in lower case."""
    name, colon, port = host.rpartition(":")
    bare = name if colon and port.isdigit() and not name.endswith(":") else host
    return bare.strip("[]").lower()


def is_loopback(host: str) -> bool:
    """Tells whether a host of a reference is this machine."""
    name = name_of(host)
    return name in ("localhost", "::1") or name.startswith("127.")


def _all_within(name: str) -> bool:
    addresses = _addresses(name)
    return bool(addresses) and all(is_within(address) for address in addresses)


def _addresses(name: str) -> Iterable[str]:
    """Returns a name's addresses. One that only a proxy can resolve has none."""
    try:
        return {str(address[0]) for *_, address in socket.getaddrinfo(name, None)}
    except (OSError, UnicodeError):
        return set()
