"""The front end of Kubeflow Pipelines: what is said where it cannot be built."""

from pathlib import Path

import pytest

from tests.kubernetes.kfp import front_end_build
from tests.parts.go_programs import CACHE_VARIABLE, BuildError


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({}, "which `make setup` does not install"),
        ({"node": "v22.13.0"}, "which `make setup` does not install"),
        ({"node": "v18.20.4", "npm": ""}, "and this is v18.20.4"),
        ({"node": "v22.13.0", "npm": ""}, ""),
    ],
)
def test_a_machine_without_node_says_so(
    programs: dict[str, str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, says in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho {says}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))

    assert front_end_build.missing().endswith(reason)
    assert not front_end_build.is_built()
    if reason:
        assert "npm and Node.js 20 or newer" in front_end_build.missing()
        with pytest.raises(BuildError, match="needs npm and Node"):
            front_end_build.front_end()
