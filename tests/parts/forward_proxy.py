"""An HTTP proxy as companies have it between their network and the rest: proxy.py."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.parts.process import listening

_TUNNEL = re.compile(r"CONNECT (\S+?) - ")
_FORWARDED = re.compile(r" - (?:GET|HEAD|POST|PUT|PATCH|DELETE) (\S+?:\d+)/")


@dataclass(frozen=True)
class ForwardProxy:
    """A running proxy."""

    port: int
    credentials: str
    log: Path

    @property
    def url(self) -> str:
        """The address for clients, with the credentials that it wants."""
        return f"http://{self.credentials}@{self.address}" if self.credentials else f"http://{self.address}"

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def hosts(self) -> set[str]:
        """Hosts and ports to which connections were made that have ended since."""
        log = self.log.read_text()
        return {*_TUNNEL.findall(log), *_FORWARDED.findall(log)}


@contextmanager
def forward_proxy(folder: Path, credentials: str = "") -> Iterator[ForwardProxy]:
    """Runs a proxy on loopback.

    Args:
        folder: Takes the log.
        credentials: What clients must show, `user:password`; empty to let everyone in.

    Yields:
        The proxy.
    """
    log = folder / "proxy.log"
    command = [sys.executable, "-m", "proxy", "--hostname=127.0.0.1", "--port=0", "--num-acceptors=1", "--threaded"]
    command += ["--timeout=600", f"--data-dir={folder}", f"--ca-cert-dir={folder}", f"--cache-dir={folder}"]
    command += [f"--basic-auth={credentials}"] if credentials else []
    env = {"PATH": os.defpath, "HOME": str(folder)}
    with listening(command, answers=lambda _: True, log=log, env=env) as listener:
        yield ForwardProxy(listener.port, credentials, log)
