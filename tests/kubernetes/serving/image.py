"""The server's image: Python of this machine, and mistral.rs from its wheel, which no other environment holds."""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from tests.kubernetes.file_layer import FileLayer
from tests.kubernetes.image import SITE, Image, add_libraries, python_layers, write_images

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
SERVER = "/opt/server.py"


def write_server_image(path: Path) -> Path:
    """Writes the server's image into an archive (an OCI layout).

    Returns:
        The path.
    """
    layer = FileLayer()
    packages = _packages()
    layer.tree(SITE, packages)
    libraries = [*packages.glob("**/*.so")]
    add_libraries(layer, libraries, [library.resolve() for library in packages.glob("**/*.so*")])
    layer.file(SERVER.lstrip("/"), Path(__file__).with_name("server.py"))
    return write_images(path, Image("server:1", [*python_layers(), layer.finished()]))


def _packages() -> Path:
    """A folder with the server's packages, installed once into the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelcar-pipelines"
    folder = cache / f"server-{hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "mistralrs").exists():
            install = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
            subprocess.run([*install, "--require-hashes", "--target", folder, "-r", REQUIREMENTS], check=True)
    return folder
