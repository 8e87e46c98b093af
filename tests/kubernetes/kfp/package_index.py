"""A package index for pods: the wheels that steps install, fetched once from the index that pip takes here."""

import functools
import html
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packaging.utils import parse_wheel_filename

from tests.parts.wheels import step_wheels


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing of requests."""


@contextmanager
def package_index(folder: Path, address: str) -> Iterator[str]:
    """Serves what the components' requirements.txt name.

    Args:
        folder: An empty one, for the pages.
        address: Where to listen, as pods see it.

    Yields:
        The index's URL, as `modelcar compile --index-url` takes it.
    """
    for wheel in sorted(step_wheels().glob("*.whl")):
        name, *_ = parse_wheel_filename(wheel.name)
        page = folder / "simple" / name
        page.mkdir(parents=True, exist_ok=True)
        (page / wheel.name).symlink_to(wheel)
        with (page / "index.html").open("a") as links:
            links.write(f'<a href="{html.escape(wheel.name)}">{html.escape(wheel.name)}</a>\n')
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer((address, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{address}:{server.server_port}/simple"
        server.shutdown()
