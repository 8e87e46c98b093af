"""What a piece of code can reach: a small package of which each line is there for a reason."""

import textwrap
from pathlib import Path

import pytest

from modelcar.bootstrap.reachable import Program

PACKAGE = {
    "__init__.py": '__version__ = "1"\n',
    "ground.py": """\
        import json
        import os
        from typing import TYPE_CHECKING

        if TYPE_CHECKING:
            from sample.never import Never

        LIMIT = 3
        UNUSED = os.sep


        class Base:
            pass


        class Left(Base):
            def other(self) -> "Right | Never":
                return Right()


        class Right(Base):
            pass


        class Forgotten(Base):
            pass


        def used(limit=LIMIT):
            return json.dumps(limit)


        def unused():
            return used()
        """,
    "registry.py": """\
        from sample.ground import unused, used
        from sample import ground

        HANDLERS = {}


        def handles(function):
            HANDLERS[function.__name__] = function
            return function


        @handles
        def registered():
            return unused()


        def plain(ground):
            return ground


        def whole():
            return vars(ground)
        """,
    "never.py": "class Never:\n    pass\n",
    "folder/__init__.py": "",
    "folder/deep.py": "def deep():\n    from sample.ground import Left\n    return Left\n\n\ndef deeper():\n    pass\n",
}


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    for name, text in PACKAGE.items():
        (tmp_path / "sample" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sample" / name).write_text(textwrap.dedent(text))
    return tmp_path / "sample"


def reached(sample: Path, code: str) -> dict[str, str]:
    found = Program("sample", sample).reach(code)
    return {file.relative_to(sample).as_posix(): text for file, text in found.items()}


def test_a_function_brings_what_it_mentions_and_nothing_else(sample: Path) -> None:
    left = reached(sample, "from sample.ground import used")
    assert set(left) == {"__init__.py", "ground.py"}
    assert {line for line in left["ground.py"].splitlines() if line} == {
        "import json",
        "LIMIT = 3",
        "def used(limit=LIMIT):",
        "    return json.dumps(limit)",
    }


def test_lines_stay_where_they_were(sample: Path) -> None:
    whole = (sample / "ground.py").read_text().splitlines()
    left = reached(sample, "from sample.ground import used")["ground.py"].splitlines()
    assert left.index("def used(limit=LIMIT):") == whole.index("def used(limit=LIMIT):")


def test_a_class_brings_its_bases_and_what_its_annotations_name_as_text(sample: Path) -> None:
    left = reached(sample, "from sample.folder.deep import deep")
    assert set(left) == {"__init__.py", "ground.py", "folder/__init__.py", "folder/deep.py"}
    assert all(f"class {name}" in left["ground.py"] for name in ("Base", "Left", "Right"))
    assert "Forgotten" not in left["ground.py"]
    assert "deeper" not in left["folder/deep.py"]


def test_what_a_decorator_registered_stays_with_all_it_needs(sample: Path) -> None:
    left = reached(sample, "from sample.registry import HANDLERS")
    assert "def registered" in left["registry.py"]
    assert "def unused" in left["ground.py"]
    # Of an import only the names that are needed are left, for the others may be gone where they came from.
    assert "from sample.ground import unused\n" in left["registry.py"]


def test_attributes_are_followed_and_a_parameter_of_a_modules_name_is_not(sample: Path) -> None:
    assert "LIMIT" in reached(sample, "from sample import ground\nprint(ground.LIMIT)")["ground.py"]
    assert "Forgotten" not in reached(sample, "from sample.registry import plain")["ground.py"]


def test_a_module_that_is_used_as_a_value_stays_whole(sample: Path) -> None:
    left = reached(sample, "from sample.registry import whole")["ground.py"]
    assert "Forgotten" in left
    assert "UNUSED" in left


def test_imports_for_types_alone_are_gone(sample: Path) -> None:
    assert "never.py" not in reached(sample, "from sample.folder.deep import deep")
