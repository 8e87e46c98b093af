"""Settings of a registry in registries.conf, as podman, buildah and CRI-O read it (containers-registries.conf(5)).

Of its many settings two concern us: `insecure`, by which somebody says on purpose that a registry has no TLS, or none
that can be checked; and `credential-helpers`. A third is ours: `private-storage`, which says that a registry on the
internet keeps its blobs behind an address within the network (S3 by PrivateLink). Those programs pass over keys that
they do not know.
"""

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelcar import pod
from modelcar.errors import CredentialsError

FILE = "registries.conf"
PRIVATE_STORAGE = "MODELCAR_PRIVATE_STORAGE"
"""Names registries, with commas between, whose storage may be within the network."""

SYSTEM = Path("/etc/containers")


@dataclass(frozen=True)
class RegistrySettings:
    """Settings of one registry.

    Attributes:
        insecure: Whether it may be spoken to without TLS, or with a certificate that cannot be checked.
        private_storage: Whether it may send us to storage within the network.
        insecure_source: The file that says the first, for the plan.
        private_storage_source: The file or variable that says the second.
    """

    insecure_source: str = ""
    private_storage_source: str = ""

    @property
    def insecure(self) -> bool:
        """Tells whether somebody said that it is insecure."""
        return bool(self.insecure_source)

    @property
    def private_storage(self) -> bool:
        """Tells whether somebody said that its storage is within the network."""
        return bool(self.private_storage_source)


def settings_of(registry: str, repository: str = "") -> RegistrySettings:
    """Returns what the files say of a registry; of several entries the one with the longest prefix counts.

    It counts as a whole, so that `insecure` is not taken from a shorter prefix. What is ours alone, `private-storage`,
    is taken from the longest that says it: the others are written for podman, too.

    Args:
        registry: Its host and port, as in a reference.
        repository: The repository, for entries that name one.

    Raises:
        CredentialsError: A file cannot be read.
    """
    location = f"{registry}/{repository}" if repository else registry
    meant = [(_match(prefix, location), entry, str(path)) for path in files() for prefix, entry in _entries(path)]
    longest = max((length for length, *_ in meant), default=0)
    insecure = _source([one for one in meant if one[0] == longest], "insecure")
    private = _source(meant, "private-storage")
    named = [name.strip() for name in os.environ.get(PRIVATE_STORAGE, "").split(",")]
    return RegistrySettings(insecure, f"${PRIVATE_STORAGE}" if registry in named else private)


def _source(meant: list[tuple[int, dict[str, Any], str]], key: str) -> str:
    """Returns the file of the longest entry with a key, the first of them, if it sets that; empty for none."""
    said = [one for one in meant if one[0] and key in one[1]]
    _, entry, path = max(said, key=lambda one: one[0], default=(0, {}, ""))
    return path if entry.get(key) is True else ""


def credential_helpers() -> list[tuple[str, str]]:
    """Returns the helpers that are asked for every registry, each with the file that names it."""
    for path in files():
        named = _read(path).get("credential-helpers")
        if isinstance(named, list):
            return [(str(name), str(path)) for name in named if name != "containers-auth.json"]
    return []


def files() -> list[Path]:
    """Returns the files there are, the one that counts most first: a Secret's, the user's, then the system's."""
    return [path for path in _candidates() if os.path.isfile(path)]


def _candidates() -> Iterator[Path]:
    yield from sorted(pod.SECRETS.glob(f"*/{FILE}"))
    if explicit := os.environ.get("CONTAINERS_REGISTRIES_CONF"):
        yield Path(explicit)
        return
    user = Path(os.environ.get("XDG_CONFIG_HOME") or pod.home() / ".config", "containers")
    for folder in (user, SYSTEM):
        # Of drop-in files the last one counts most.
        yield from sorted(_drop_ins(folder / f"{FILE}.d"), reverse=True)
        yield folder / FILE


def _drop_ins(folder: Path) -> list[Path]:
    # A random user's home may be one that it must not look into.
    try:
        return list(folder.glob("*.conf"))
    except OSError:
        return []


def _entries(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    document = _read(path)
    tables = document.get("registry")
    for entry in tables if isinstance(tables, list) else []:
        if isinstance(entry, dict) and (prefix := entry.get("prefix") or entry.get("location")):
            yield str(prefix), entry
    # The first version of the format, which podman still reads.
    old = document.get("registries")
    insecure = old.get("insecure") if isinstance(old, dict) else None
    hosts = insecure.get("registries") if isinstance(insecure, dict) else None
    for host in hosts if isinstance(hosts, list) else []:
        yield str(host), {"insecure": True}


def _match(prefix: str, location: str) -> int:
    """Returns how much of a location a prefix names; 0 if it is of another."""
    if prefix.startswith("*."):
        host, _, path = prefix[1:].partition("/")
        registry, _, repository = location.partition("/")
        matches = registry.partition(":")[0].endswith(host) or registry.endswith(host)
        return len(prefix) if matches and (not path or _begins(path, repository)) else 0
    return len(prefix) if _begins(prefix, location) else 0


def _begins(prefix: str, location: str) -> bool:
    bare = prefix.rstrip("/")
    return location == bare or location.startswith((f"{bare}/", f"{bare}@"))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise CredentialsError(
            f"{path} cannot be read as a registries.conf: {error}", "See containers-registries.conf(5)"
        ) from None
