"""Pictures of the docs: they are made of what the code shows today, and are small."""

import re
from pathlib import Path

from tests.pictures import FOLDER, MAX_BYTES, OF_A_RUN, of_pages


def test_the_pictures_of_the_docs_can_be_made_anew(tmp_path: Path) -> None:
    of_pages(tmp_path)
    made = {file.name for file in tmp_path.iterdir()}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in tmp_path.iterdir())
    there = {file.name: file.stat().st_size for file in FOLDER.iterdir()}
    # The others are made by tests/kubernetes/test_kfp_front_end.py, and no cluster is there to make them.
    assert made | {f"{name}.png" for name in OF_A_RUN} == set(there)
    assert max(there.values()) < MAX_BYTES
    shown = set(re.findall(r"images/([\w.-]+)\)", (FOLDER.parent / "ml-engineer.md").read_text()))
    assert shown == set(there)
