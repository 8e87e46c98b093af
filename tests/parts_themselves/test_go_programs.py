"""Programs that Go builds outlive the modules they were made of, some of whose files they read."""

import shutil
import zipfile
from pathlib import Path

import pytest

from tests.parts.go_programs import module_folder

MODULE, VERSION = "example.org/files", "v1.0.0"


def serve_module(proxy: Path) -> None:
    """Writes a module as Go's module proxies have it."""
    served = proxy / MODULE / "@v"
    served.mkdir(parents=True)
    (served / f"{VERSION}.info").write_text(f'{{"Version": "{VERSION}"}}')
    (served / f"{VERSION}.mod").write_text(f"module {MODULE}\n")
    with zipfile.ZipFile(served / f"{VERSION}.zip", "w") as module:
        module.writestr(f"{MODULE}@{VERSION}/go.mod", f"module {MODULE}\n")
        module.writestr(f"{MODULE}@{VERSION}/options/words.ini", "one = 1\n")


def test_module_whose_download_was_removed_is_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, cache, source = tmp_path / "proxy", tmp_path / "modules", tmp_path / "source"
    serve_module(proxy)
    source.mkdir()
    (source / "go.mod").write_text(f"module example.org/program\n\ngo 1.24\n\nrequire {MODULE} {VERSION}\n")
    for name, value in (("GOPROXY", f"file://{proxy}"), ("GOMODCACHE", str(cache)), ("GONOSUMDB", "*")):
        monkeypatch.setenv(name, value)
    first = module_folder(source, MODULE)
    # As a user does who needs room: the unpacked modules stay, and Go no longer says where.
    shutil.rmtree(cache / "cache" / "download")
    assert module_folder(source, MODULE) == first
    assert (first / "options" / "words.ini").read_text() == "one = 1\n"
