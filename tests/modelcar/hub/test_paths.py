"""Names of files that an image cannot keep, and those that somebody may take for another."""

import pytest

from modelcar.errors import UnsafeNameError
from modelcar.hub.paths import find_twins, safe_path
from tests.parts.hub import Hub
from tests.parts.steps import plan


@pytest.mark.parametrize(
    "path",
    [".wh.model.safetensors", ".wh..wh..opq", "sub/.wh.x", ".wh.sub/x", "a/.wh..wh.plnk/b", ".wh."],
)
def test_a_whiteout_is_refused(path: str) -> None:
    with pytest.raises(UnsafeNameError, match=r"a name that begins with \.wh\. removes a file"):
        safe_path(path)


@pytest.mark.parametrize("path", ["wh.txt", ".what", "a.wh.b", "x/.whx", ".WH.x"])
def test_what_only_looks_like_a_whiteout_is_taken(path: str) -> None:
    assert safe_path(path) == path


def test_a_model_with_a_whiteout_is_refused_in_the_plan(hub: Hub) -> None:
    hub.publish("example/whiteout", {"config.json": "{}", "model.gguf": b"GGUF" * 999, ".wh.model.gguf": ""})

    with pytest.raises(UnsafeNameError, match="removes a file"):
        plan("example/whiteout", "127.0.0.1:1/a/b:1")


@pytest.mark.parametrize(
    ("paths", "twins"),
    [
        (["README.md", "readme.md", "a"], [("README.md", "readme.md")]),
        (["caf\u00e9.txt", "cafe\u0301.txt"], [("cafe\u0301.txt", "caf\u00e9.txt")]),
        (["Sub/a", "sub/b"], [("Sub", "sub")]),
        (["Sub/a", "sub/A"], [("Sub", "sub"), ("Sub/a", "sub/A")]),
        (["\ufb01le", "file", "FILE"], [("FILE", "file", "\ufb01le")]),
        (["stra\u00dfe", "strasse"], [("strasse", "stra\u00dfe")]),
        (["a", "b", "a.b", "sub/a", "other/a"], []),
    ],
)
def test_twins_are_found(paths: list[str], twins: list[tuple[str, ...]]) -> None:
    assert find_twins(paths) == twins
