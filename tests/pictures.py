"""Writes the pictures of docs/, of real runs.

Plan and report are of a run on this machine, in a frame as OpenShift AI's dashboard has it. Those of a run's steps and
disks are made by tests/kubernetes/test_kfp_front_end.py, on the test cluster, if its parts have been built.
"""

import html
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from tests.kubernetes.kfp import front_end_build
from tests.parts.browser import browser_page
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import registry_plain

FOLDER = Path(__file__).parents[1] / "docs" / "images"
MODEL = "example/tiny-llama"
PUBLISHED = datetime(2026, 11, 1, tzinfo=UTC)
PAGES = {"plan": "plan.html", "report": "report.html"}
"""Pictures, and the pages that they are of."""

OF_A_RUN = ("steps", "disk_use")
"""Pictures of a run on the test cluster."""

MAX_BYTES = 200_000
"""Of a picture, so that a page with all of them opens at once."""

WIDTH, HEIGHT = 900, 760


def main() -> None:
    """Writes all pictures that can be made on this machine into docs/images."""
    of_pages(FOLDER)
    names = " and ".join(f"{name}.png" for name in OF_A_RUN)
    if not front_end_build.is_built():
        print(f"{names} stay as they are: they need the front end that `make cluster-parts` builds")
        return
    print(f"{names} are made by a run on the test cluster, which takes some minutes", flush=True)
    test = str(Path(__file__).parent / "kubernetes" / "test_kfp_front_end.py")
    subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-m", "cluster", f"--pictures={FOLDER}", test], check=True
    )


def of_pages(folder: Path) -> None:
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
