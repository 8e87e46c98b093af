"""Xet, the Hub's own storage protocol: chunks that files share, fetched with `hf_xet` and joined in order."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import get_hf_file_metadata
from huggingface_hub.utils._xet import refresh_xet_connection_info, xet_headers_without_auth
from rich.filesize import decimal

from modelcar.errors import HubError, HubUnwellError
from modelcar.hub.identity import identity_headers

TRANSPORTS = ("auto", "xet", "http")
MIN_MEMORY, MAX_MEMORY = 384 << 20, 1 << 30
"""Bytes that Xet may take. A xorb, the unit in which chunks are stored, has 64 MB, and several are in flight."""

BASE_MEMORY = 192 << 20
"""Bytes that `hf_xet` takes besides its buffers, as measured with the smallest ones."""

RETRY_SECONDS = 60
"""Time for which a storage that fails is asked again, before the rest comes over plain HTTP."""

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files that hold a pod's limit of memory, in cgroup v2 and v1."""


class XetError(HubUnwellError):
    """Bytes could not be had over Xet; they may be had over plain HTTP."""


def memory_for_xet() -> int:
    """Returns the bytes of memory that Xet may take in this pod: a quarter of its limit; 0 where that is too little."""
    share = MAX_MEMORY
    for file in LIMITS:
        try:
            words = file.read_text().strip()
        except OSError:
            continue
        if words.isdecimal():
            share = min(share, int(words) // 4)
    return share if share >= MIN_MEMORY else 0


def open_xet(transport: str, endpoint: str) -> "Xet | None":
    """Returns what reads over Xet, or None where files come over plain HTTP.

    Args:
        transport: `auto`, `xet` or `http`.
        endpoint: The Hub's address.

    Raises:
        HubError: There is no such transport, or too little memory for Xet.
    """
    if transport not in TRANSPORTS:
        raise HubError(f"there is no transport {transport!r}", f"Choose one of {', '.join(TRANSPORTS)}")
    memory = 0 if transport == "http" else memory_for_xet()
    if transport == "xet" and not memory:
        raise HubError(
            f"Xet needs {decimal(4 * MIN_MEMORY)} of memory, and this pod has less",
            "Give the step more memory, or choose transport=http, which needs a tenth of it",
        )
    return Xet(endpoint, memory) if memory else None


class Xet:
    """Streams files over Xet, all of them within a bound of memory.

    Args:
        endpoint: The Hub's address.
        memory: Bytes that may be taken.
    """

    def __init__(self, endpoint: str, memory: int) -> None:
        self._endpoint = endpoint
        self._memory = memory
        self._lock = threading.Lock()
        self._session: Any = None
        self._groups: dict[str, Any] = {}

    def read(self, url: str, size: int, start: int, end: int) -> Iterator[bytes]:
        """Gives a part of a file, in order, in chunks of about 1 MiB.

        Args:
            url: The file at its commit on the Hub.
            size: Its published size in bytes.
            start: The first byte.
            end: The byte after the last one.

        Raises:
            XetError: The Hub does not have the file on Xet, or the storage behind it failed.
        """
        from hf_xet import XetFileInfo

        left = end - start
        try:
            file_hash, group = self._locate(url)
            stream = group.download_stream(XetFileInfo(file_hash, size), start, end)
            try:
                for chunk in stream:
                    data = bytes(chunk)[:left]
                    left -= len(data)
                    yield data
            finally:
                stream.cancel()
        except XetError:
            raise
        except Exception as error:
            # Its errors, and those of the Hub's client on the way to it, have no common base.
            raise XetError((str(error).strip().splitlines() or [type(error).__name__])[0][:300]) from None
        if left:
            raise XetError(f"{left} bytes are missing")

    def _locate(self, url: str) -> tuple[str, Any]:
        headers = identity_headers()
        found = get_hf_file_metadata(url, headers=headers, endpoint=self._endpoint).xet_file_data
        if found is None:
            raise XetError("the Hub does not have it on Xet")
        with self._lock:
            if found.refresh_route not in self._groups:
                self._groups[found.refresh_route] = self._open_group(found, headers)
            return found.file_hash, self._groups[found.refresh_route]

    def _open_group(self, found: Any, headers: dict[str, str]) -> Any:
        connection = refresh_xet_connection_info(file_data=found, headers=headers)
        if not is_trusted(connection.endpoint, self._endpoint):
            raise XetError(f"the Hub names {connection.endpoint[:100]!r} as its Xet storage, which is not over TLS")
        if self._session is None:
            self._session = _session(self._memory)
        return self._session.new_download_stream_group(
            endpoint=connection.endpoint,
            token=connection.access_token,
            token_expiry_unix_secs=connection.expiration_unix_epoch,
            token_refresh_url=found.refresh_route,
            token_refresh_headers=headers,
            custom_headers=xet_headers_without_auth(headers),
        )


def is_trusted(storage: str, hub: str) -> bool:
    """Tells whether a storage may be asked: over TLS, or as plainly as the Hub itself is."""
    return urlsplit(storage).scheme in ("https", urlsplit(hub).scheme)


def _session(memory: int) -> Any:
    from hf_xet import XetConfig, XetSession

    buffers = memory - BASE_MEMORY
    settings = {
        "reconstruction.download_buffer_size": buffers // 2,
        "reconstruction.download_buffer_perfile_size": buffers // 8,
        "reconstruction.download_buffer_limit": buffers,
        "reconstruction.min_reconstruction_fetch_size": buffers // 8,
        "reconstruction.max_reconstruction_fetch_size": buffers // 2,
        "reconstruction.min_prefetch_buffer": buffers // 8,
        "client.ac_max_download_concurrency": max(buffers >> 24, 4),
        "client.read_timeout": "60s",
        "client.retry_max_duration": f"{RETRY_SECONDS}s",
        "telemetry.enabled": False,
    }
    return XetSession(XetConfig().with_config(settings))
