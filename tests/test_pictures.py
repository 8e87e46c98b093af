"""Pictures of the docs: they are made of what the code shows today, and are small."""

import re
from pathlib import Path

from tests.pictures import FOLDER, main

MAX_BYTES = 200_000
OF_A_CLUSTER = {"steps.png", "disk_use.png"}
"""Pictures of a run on a cluster with a claim, the first in Kubeflow's own front end, which this machine has not."""


def test_the_pictures_of_the_docs_can_be_made_anew(tmp_path: Path) -> None:
    main(tmp_path)
    made = {file.name for file in tmp_path.iterdir()}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in tmp_path.iterdir())
    there = {file.name: file.stat().st_size for file in FOLDER.iterdir()}
    assert made | OF_A_CLUSTER == set(there)
    assert max(there.values()) < MAX_BYTES
    shown = set(re.findall(r"images/([\w.-]+)\)", (FOLDER.parent / "ml-engineer.md").read_text()))
    assert shown == set(there)
