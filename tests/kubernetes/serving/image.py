"""The server's image: Python of this machine, and mistral.rs from its wheel, which no other environment holds."""

import sys
from pathlib import Path

from tests.kubernetes.file_layer import FileLayer
from tests.kubernetes.image import SITE, Image, add_libraries, python_layers, write_images
from tests.parts.go_programs import cache_folder, filled_once
from tests.parts.virtual_environment import install, requirements_key

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
    folder = cache_folder("server", requirements_key(REQUIREMENTS))

    def fetch(packages: Path) -> None:
        install(sys.executable, "--target", packages, "--requirement", REQUIREMENTS)

    return filled_once(folder, fetch)
