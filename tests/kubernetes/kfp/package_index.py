"""A package index for pods: the wheels that steps install, fetched once from the index that pip takes here."""

import fcntl
import functools
import hashlib
import html
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kfp
from packaging.utils import parse_wheel_filename

_COMPONENTS = Path(__file__).parents[3] / "components"


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
    for wheel in sorted(_wheels().glob("*.whl")):
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


def _wheels() -> Path:
    """Fetches the wheels once into the user's cache, or builds them where there are sources only, as of kfp."""
    files = sorted(_COMPONENTS.glob("*/requirements.txt"))
    pinned = (line for file in files for line in file.read_text().splitlines() if line and line[0].isalnum())
    # Which every step installs as well (modelcar.components.self_contained).
    lines = sorted({*pinned, f"kfp=={kfp.__version__}"})
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelcar-pipelines"
    key = hashlib.sha256("\n".join([sys.version, *lines]).encode()).hexdigest()[:16]
    folder = cache / f"wheels-{key}"
    cache.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            folder.mkdir(exist_ok=True)
            wheel = (sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps")
            subprocess.run([*wheel, "--wheel-dir", folder, *lines], check=True)
            (folder / "done").touch()
    return folder
