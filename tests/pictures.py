"""Writes the pictures of docs/: plan and report of a real run, in a frame as OpenShift AI's dashboard has it."""

import html
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from tests.parts.browser import browser_page
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import registry_plain

FOLDER = Path(__file__).parents[1] / "docs" / "images"
MODEL = "example/tiny-llama"
PUBLISHED = datetime(2026, 11, 1, tzinfo=UTC)
PAGES = {"plan": "plan.html", "report": "report.html"}
"""Pictures, and the pages that they are of."""

WIDTH, HEIGHT = 900, 760


def main(folder: Path = FOLDER) -> None:
    """Runs the pipeline on this machine, and writes a picture of each of its pages.

    Args:
        folder: Where the pictures go.
    """
    with tempfile.TemporaryDirectory(prefix="modelcar-pictures-") as place, ExitStack() as parts:
        work = Path(place)
        for name in ("registry", "browser"):
            (work / name).mkdir()
        hub = parts.enter_context(Hub(work / "hub"))
        hub.publish(MODEL, tiny_llama(work / "model"), date=PUBLISHED)
        registry = parts.enter_context(registry_plain(work / "registry"))
        command = [sys.executable, "-m", "modelcar", "run", MODEL, "--target", f"{registry.host}/team/tiny-llama:1.0"]
        command += ["--claim", str(work / "claim"), "--report", str(work / "report"), "--builder", "direct"]
        environment = {**os.environ, "HF_ENDPOINT": hub.url}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        browser = parts.enter_context(browser_page(work / "browser"))
        for name, page in PAGES.items():
            frame = work / f"{name}-in-a-frame.html"
            shown = html.escape((work / "report" / page).read_text())
            style = "position: fixed; inset: 0; width: 100%; height: 100%; border: 0"
            attributes = f'sandbox="allow-scripts" style="{style}" srcdoc="{shown}"'
            frame.write_text(f"<!doctype html><iframe {attributes}></iframe>")
            browser.open(frame.as_uri(), WIDTH, HEIGHT)
            (folder / f"{name}.png").write_bytes(browser.screenshot())


if __name__ == "__main__":
    main()
