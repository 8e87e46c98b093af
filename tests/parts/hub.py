"""A Hub-compatible server of model repositories on loopback."""

import argparse
import json
import signal
import sys
import threading
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

from tests.parts import hub_json
from tests.parts.hub_faults import Faults, RangeLie, Refusal
from tests.parts.hub_http import Served, Server
from tests.parts.hub_routes import Answer, Request, Routes
from tests.parts.hub_store import Absent, Source, Store, folder_sources
from tests.parts.wire import Wire
from tests.parts.xet import XetStorage

REQUESTS_KEPT = 10_000


class Hub:
    """A Hub on loopback, serving from entry to exit of its context; it publishes with or without serving.

    Large files answer by a redirect to a second port, for the client takes another origin for a CDN: it reads
    the file's metadata from the redirect, and keeps its token to itself.
    """

    def __init__(
        self,
        root: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        cdn_port: int = 0,
        page_size: int = 1000,
        wire: Wire | None = None,
        connection_rate: float = 0.0,
    ) -> None:
        """Prepare a Hub over a folder, which may hold repositories already.

        Args:
            root: The folder for repositories and contents.
            host: The address to listen on.
            port: The port of the API, or 0 for any.
            cdn_port: The port of large files, or 0 for any.
            page_size: The number of entries in one page of a tree.
            wire: What the contents of files go through; by default they go as fast as they can.
            connection_rate: Bytes a second at which they come over each connection; 0 for as fast as they can.
        """
        self.wire = wire
        self.connection_rate = connection_rate
        self.max_connections = 0
        self.refusal = Refusal.STATUS
        self.store = Store(root)
        self.tokens: dict[str, set[str]] = {}
        self.faults = Faults()
        self.requests: deque[Served] = deque(maxlen=REQUESTS_KEPT)
        self.bytes_served = 0
        self._routes = Routes(self.store, self.tokens, page_size)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._host = host
        self._ports = (port, cdn_port)
        self._servers: list[Server] = []

    @property
    def url(self) -> str:
        """The endpoint for clients, while the Hub serves."""
        return f"http://{self._host}:{self._servers[0].server_port}"

    @property
    def storage(self) -> str:
        """Host and port of the storage that files' links lead to, while the Hub serves."""
        return f"{self._host}:{self._servers[1].server_port}"

    def __enter__(self) -> Self:
        """Start to serve."""
        self._stopping.clear()
        self._servers = [Server((self._host, port), self) for port in self._ports]
        self._servers[1].is_storage = True
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, breaking what connections there are."""
        self._stopping.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def publish(
        self,
        repo_id: str,
        files: Path | Mapping[str, Source],
        *,
        message: str = "Upload model",
        date: datetime | None = None,
        branch: str = "main",
        gated: bool | str | None = None,
        private: bool | None = None,
        card: dict[str, Any] | None = None,
    ) -> str:
        """Add a commit which holds exactly the given files.

        Args:
            repo_id: The repository, made when it does not exist.
            files: A folder, or contents (or files) by path. Large files are linked: replace, never write into them.
            message: The commit's title, and its message in further lines.
            date: When it was committed; by default now.
            branch: The branch to add to.
            gated: Whether files need a granted token; a new repository's are open, others keep what they have.
            private: Whether everything needs a granted token, likewise.
            card: A front matter to give to the README.

        Returns:
            The id of the commit.
        """
        sources = folder_sources(files) if isinstance(files, Path) else dict(files)
        if card is not None:
            readme = sources.get("README.md", "")
            assert not isinstance(readme, Absent)
            text = readme.read_bytes() if isinstance(readme, Path) else readme
            sources["README.md"] = hub_json.write_card(card, text.encode() if isinstance(text, str) else text)
        return self.store.commit(
            repo_id,
            sources,
            message=message,
            date=date or datetime.now(UTC),
            branch=branch,
            gated=gated,
            private=private,
        )

    def tag(self, repo_id: str, name: str, commit: str) -> None:
        """Give a commit a tag."""
        self.store.tag(repo_id, name, commit)

    def corrupt(self, repo_id: str, path: str, times: int | None = 1, skip: int = 0) -> None:
        """Serve a file with one wrong byte, so many times or (None) for ever, after so many right answers."""
        self.faults.add_corrupt(f"{repo_id}/{path}", times, skip)

    def cut(self, repo_id: str, path: str, after: int, times: int | None = 1) -> None:
        """Break the connection after so many bytes of a file's body."""
        self.faults.add_cut(f"{repo_id}/{path}", after, times)

    def status(self, path_substring: str, code: int, times: int | None = 1) -> None:
        """Answer requests whose unescaped path contains the substring by a bare status."""
        self.faults.add_status(path_substring, code, times)

    def bend_ranges(self, repo_id: str, path: str, lie: RangeLie, times: int | None = None, skip: int = 0) -> None:
        """Answer byte ranges of a file wrongly, after so many right answers."""
        self.faults.add_range(f"{repo_id}/{path}", lie, times, skip)

    def limit_connections(self, most: int, refusal: Refusal = Refusal.STATUS) -> None:
        """Serve no more than so many connections to the storage; refuse others."""
        self.max_connections, self.refusal = most, refusal

    @property
    def most_connections(self) -> int:
        """The most connections to the storage that were open at once."""
        return self._servers[1].most_open

    def name_xet(self, xet: XetStorage | None) -> None:
        """Tell clients that files which a Xet storage has are there."""
        self._routes.xet = xet

    def end_links(self, seconds: float) -> None:
        """Give links to large files that end after so many seconds, as the Hub's are; 0 for links that never do."""
        self._routes.link_seconds = seconds

    def delay(self, seconds: float) -> None:
        """Wait before each answer."""
        self.faults.delay = seconds

    def answer(self, target: str, headers: Message, body: bytes) -> Answer:
        """Answer a request, or show a fault."""
        self._stopping.wait(self.faults.delay)
        status = self.faults.take_status(unquote(target))
        if status is not None:
            return Answer(status, {"X-Error-Message": "A fault was asked for."})
        # Clients reach the Hub by other names too, such as a container's name for its host.
        reached = headers.get("Host") or self.url.removeprefix("http://")
        cdn_url = f"http://{reached.rpartition(':')[0] or reached}:{self._servers[1].server_port}"
        return self._routes.answer(Request(target, headers, body, f"http://{reached}", cdn_url))

    def note(self, served: Served) -> None:
        """Keep a request for tests to read."""
        with self._lock:
            self.requests.append(served)
            self.bytes_served += served.bytes

    def note_unsent(self, served: Served, missing: int) -> None:
        """Take back bytes that a client did not stay for."""
        with self._lock:
            served.bytes -= missing
            self.bytes_served -= missing


def main() -> None:
    """Serve a folder until standard input closes or the process is told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cdn-port", type=int, default=0)
    parser.add_argument("--rate", type=float, help="bytes a second at which the contents of files come, in all")
    parser.add_argument("--connection-rate", type=float, default=0, help="the same, over each connection")
    parser.add_argument("--xet", type=json.loads, help='what has files on Xet: {"endpoint": URL, "hashes": {…}}')
    parser.add_argument("--token", action="append", default=[], metavar="TOKEN=REPO[,REPO]")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    wire = Wire(options.rate) if options.rate else None
    ports = {"port": options.port, "cdn_port": options.cdn_port}
    with Hub(options.root, host=options.host, wire=wire, connection_rate=options.connection_rate, **ports) as hub:
        if options.xet:
            hub.name_xet(XetStorage(**options.xet))
        for grant in options.token:
            token, _, repositories = grant.partition("=")
            hub.tokens[token] = set(repositories.split(","))
        print(hub.url, flush=True)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
