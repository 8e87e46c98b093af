"""Capabilities of a registry: asked once, learned while it is used, and kept for the run."""

import threading
from dataclasses import dataclass, field

from rich.filesize import decimal

from modelcar.oci.limits import Limits, known_limits

BODIES = (64 << 20, 8 << 20, 512 << 10)
"""Bytes of one request's body where a larger one was refused (413): Cloudflare takes 100 MB, nginx by default 1 MiB."""


@dataclass
class Capabilities:
    """Knowledge of a registry. Safe to be read and changed from several threads: each change is one value.

    Attributes:
        host: Its host and port.
        limits: What it says of itself in public.
        scheme: How it is spoken to, in words, where that is not TLS with a certificate that was checked.
        storage: What is said of its storage, in words; empty for nothing.
        chunked: Whether it takes blobs whose digest it is told at the end; None if that is not known.
        min_chunk: The smallest part of a blob that it takes, but for the last, in bytes; 0 if it names none.
        max_body: The largest body that it takes in one request, in bytes; 0 if no limit was met.
        resumes: Whether an upload that broke goes on; None if none broke.
        lists_referrers: Whether it lists referrers itself; None if that is not known.
        takes_subject: Whether it takes manifests with a subject; None if none was written.
        mounts: Whether it mounts blobs from another repository; None if none was asked for.
        deletes: Whether manifests can be deleted; None if that is not known.
        moves_tags: Whether a tag can be written again; None if none was.
    """

    host: str
    limits: Limits = field(default_factory=Limits)
    scheme: str = ""
    storage: str = ""
    chunked: bool | None = None
    min_chunk: int = 0
    max_body: int = 0
    resumes: bool | None = None
    lists_referrers: bool | None = None
    takes_subject: bool | None = None
    mounts: bool | None = None
    deletes: bool | None = None
    moves_tags: bool | None = None

    def lower_max_body(self, size: int) -> bool:
        """Sends smaller bodies from now on; False if there are no smaller ones that the registry takes.

        Args:
            size: Bytes of the body that was refused.
        """
        if 0 < self.max_body < size:
            # Another upload met the limit meanwhile.
            return True
        smaller = [body for body in BODIES if body < min(size, self.max_body or size) and body >= self.min_chunk]
        self.max_body = smaller[0] if smaller else self.max_body
        return bool(smaller)

    def line(self) -> str:
        """Returns all of it on one line: "quay.io: chunked, layers to 20 GB, referrers by tag"."""
        return f"{self.host}: {', '.join(self.facts())}"

    def facts(self) -> list[str]:
        """Returns what is known, each in a few words."""
        layers = f"layers to {decimal(self.limits.layer_bytes)}" if self.limits.layer_bytes else "no known layer limit"
        known = [
            (self.chunked, "chunked", "monolithic (each layer is read twice)"),
            (self.lists_referrers, "referrers by API", "referrers by tag"),
            (self.takes_subject, "subjects", "no subjects"),
            (self.mounts, "mounts", "no mounts"),
            (self.deletes, "deletes", "no deletes"),
            (self.moves_tags, "movable tags", "immutable tags"),
            (self.resumes, "", "no resuming"),
        ]
        words = [yes if value else no for value, yes, no in known if value is not None and (yes if value else no)]
        position = 1 if self.chunked is not None else 0
        words.insert(position, layers)
        if self.min_chunk:
            words.append(f"parts from {decimal(self.min_chunk)}")
        if self.max_body:
            words.append(f"requests to {decimal(self.max_body)}")
        if self.limits.upload_seconds:
            words.append(f"{self.limits.upload_seconds // 60} minutes an upload")
        return [*filter(None, (self.scheme, self.storage)), *words]


_known: dict[str, Capabilities] = {}
_lock = threading.Lock()


def capabilities_of(host: str) -> Capabilities:
    """Returns what is known of a registry; the same object for the whole run."""
    with _lock:
        if host not in _known:
            limits = known_limits(host)
            _known[host] = Capabilities(host, limits, resumes=None if limits.resumes else False)
        return _known[host]


def forget() -> None:
    """Drops all that was learned; for what makes several runs in one process, such as tests."""
    with _lock:
        _known.clear()
