"""Facts of a repository's small files: how its model is put together.

Few of them are read, and none that is large. What cannot be read, or is not what its name promises, is as if it were
not there: then names and sizes decide.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from modelcar.hub.formats import Format, is_index, is_training_folder
from modelcar.hub.snapshot import Card, PublishedFile

MAX_FILES_READ = 48
MAX_FILE_BYTES = 32 << 20
"""The index of Kimi-K2's 69,000 tensors has 10 MB."""

MAX_READ_BYTES = 96 << 20
_READERS = 8
_TOP_FILES = (
    "config.json", "model_index.json", "modules.json", "adapter_config.json", "hf_quant_config.json",
    "quantize_config.json", "quant_config.json", "params.json",
)  # fmt: skip
_CONFIGS = ("config.json", "adapter_config.json", "genai_config.json")

Json = dict[str, Any]
ReadFile = Callable[[PublishedFile], bytes | None]
"""A function that gives a small file's bytes; None if the Hub has none."""


@dataclass(frozen=True)
class Facts:
    """Facts of a model beside the names and sizes of its files.

    Attributes:
        model: The model's id on the Hub.
        card: What the Hub says of it.
        documents: The small files that could be read, by their paths, as JSON.
        boosted: Formats of models of boosted trees whose names do not tell, by their paths.
        external: Files that ONNX graphs keep their weights in, by the graphs' paths.
    """

    model: str = ""
    card: Card = field(default_factory=Card)
    documents: Mapping[str, Any] = field(default_factory=dict)
    boosted: Mapping[str, Format] = field(default_factory=dict)
    external: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def document(self, path: str) -> Json:
        """Returns a file that holds a JSON object; empty if it could not be read."""
        found = self.documents.get(path)
        return found if isinstance(found, dict) else {}

    @property
    def config(self) -> Json:
        """The configuration: config.json, or the Hub's excerpt where that cannot be read."""
        return {**self.card.config, **self.document("config.json")}

    @property
    def architectures(self) -> tuple[str, ...]:
        """Class names of the model, as transformers has them."""
        return texts(self.config.get("architectures"))

    @property
    def model_type(self) -> str:
        """The architecture's family, as transformers calls it."""
        return text(self.config.get("model_type"))

    def components(self) -> dict[str, str]:
        """Returns the folders that model_index.json names, with each one's class; empty if it names none."""
        found = {}
        for name, value in self.document("model_index.json").items():
            if name.startswith("_") or not isinstance(value, list) or len(value) != 2:
                continue
            if all(isinstance(one, str) for one in value) and "/" not in name:
                found[name] = value[1]
        return found

    def modules(self) -> tuple[str, ...] | None:
        """Returns the folders that sentence-transformers' modules.json names; None if it could not be read."""
        listed = self.documents.get("modules.json")
        if not isinstance(listed, list):
            return None
        paths = [text(one.get("path")).strip("/") for one in listed if isinstance(one, dict)]
        return tuple(paths) if listed and len(paths) == len(listed) else None

    def shards(self, index: str) -> frozenset[str]:
        """Returns the paths that an index names; empty if it cannot be read or names nothing."""
        weight_map = self.document(index).get("weight_map")
        if not isinstance(weight_map, dict):
            return frozenset()
        folder = PurePosixPath(index).parent
        names = {name for name in weight_map.values() if isinstance(name, str) and name}
        return frozenset(str(folder / name) for name in names)


def read_facts(model: str, files: Iterable[PublishedFile], card: Card, read: ReadFile) -> Facts:
    """Reads the small files that say how a model is put together.

    Args:
        model: The model's id on the Hub.
        files: The repository's files.
        card: What the Hub says of the model.
        read: Gives a file's bytes.
    """
    chosen = list(_worth_reading(sorted(files, key=lambda file: file.path)))
    with ThreadPoolExecutor(_READERS) as pool:
        contents = list(pool.map(read, chosen))
    documents = {}
    for file, content in zip(chosen, contents, strict=True):
        found = _parse(content)
        if found is not None:
            documents[file.path] = found
    return Facts(model, card, documents)


def text(value: object) -> str:
    """Returns a value that should be text; empty if it is none."""
    return value if isinstance(value, str) else ""


def texts(value: object) -> tuple[str, ...]:
    """Returns a value that should be text or a list of it as a tuple."""
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(one for one in value if isinstance(one, str) and one) if isinstance(value, list) else ()


def mapping(value: object) -> Json:
    """Returns a value that should be a JSON object; empty if it is none."""
    return value if isinstance(value, dict) else {}


def _worth_reading(files: Sequence[PublishedFile]) -> Iterator[PublishedFile]:
    by_path = {file.path: file for file in files}
    wanted = [by_path[name] for name in _TOP_FILES if name in by_path]
    if "tokenizer_config.json" in by_path and any(file.path.startswith("tokenization") for file in files):
        wanted.append(by_path["tokenizer_config.json"])
    rest = [file for file in files if "/" in file.path and not is_training_folder(str(PurePosixPath(file.path).parent))]
    wanted += [file for file in files if "/" not in file.path and is_index(file.path)]
    wanted += [file for file in rest if is_index(file.path)]
    wanted += [file for file in rest if PurePosixPath(file.path).name in _CONFIGS]
    total = 0
    for file in wanted[:MAX_FILES_READ]:
        if 0 < file.size <= MAX_FILE_BYTES and total + file.size <= MAX_READ_BYTES:
            total += file.size
            yield file


def _parse(content: bytes | None) -> Any:
    """Reads JSON; None if it is none. Python's own parser takes NaN, which some configurations hold."""
    if not content:
        return None
    try:
        return json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
