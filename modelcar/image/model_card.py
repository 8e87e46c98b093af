"""The model card in an image: its README.md, and what the README says of the model in its metadata."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelcar.errors import WrongBytesError
from modelcar.image import annotations
from modelcar.oci import spec, tar_reader
from modelcar.oci.registry import Repository

MAX_LAYER_BYTES = 64 << 20
"""Size of a layer in which a README is looked for: small files lie together in layers of a few megabytes."""

MAX_README_BYTES = 1 << 20
MAX_README_CHARS = 60_000
"""Length of the README that is kept: MySQL, which the Model Registry may keep it in, takes 65,535 bytes in a text
column."""

MAX_WORDS, MAX_WORD_CHARS = 50, 100

_METADATA = re.compile(r"\A---\s*\n(?P<metadata>.*?)\n---\s*\n(?P<text>.*)\Z", re.DOTALL)
_CUT = "\n\n*The rest is in the image.*\n"


@dataclass(frozen=True)
class ModelCard:
    """A model card, in the terms of the Model Registry and of OpenShift AI's catalogue.

    Attributes:
        readme: The README without its metadata.
        language: Languages as the README has them, such as `en`.
        tasks: What the model is for, such as `text-generation`.
        licence: The licence's name.
        licence_link: Its address.
        library_name: The library that loads it, such as `transformers`.
        provider: Who published it: the organisation on the Hub.
        validated_on: Products that the publisher tried it on, such as `RHOAI 2.25`: Red Hat's cards say so.
    """

    readme: str = ""
    language: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    licence: str = ""
    licence_link: str = ""
    library_name: str = ""
    provider: str = ""
    validated_on: tuple[str, ...] = ()


def read_model_card(repository: Repository, layers: Sequence[spec.Descriptor], noted: Mapping[str, str]) -> ModelCard:
    """Reads the card of the model in an image; what it does not have is empty.

    Args:
        repository: Where the image is.
        layers: Its layers.
        noted: Its annotations.

    Raises:
        RegistryError: A layer cannot be read.
    """
    readme = _find_readme(repository, layers, noted.get(annotations.FOLDER, ""))
    found = _METADATA.match(readme)
    said = _metadata(found["metadata"]) if found else {}
    text = (found["text"] if found else readme).strip()
    return ModelCard(
        readme=text if len(text) <= MAX_README_CHARS else text[:MAX_README_CHARS] + _CUT,
        language=_words(said.get("language")),
        tasks=_words(said.get("pipeline_tag")),
        licence=noted.get(annotations.LICENCE_NAME, "") or noted.get(spec.LICENCES, ""),
        licence_link=noted.get(annotations.LICENCE_LINK, ""),
        library_name=next(iter(_words(said.get("library_name"))), ""),
        provider=noted.get(annotations.MODEL, "").rpartition("/")[0],
        validated_on=_words(said.get("validated_on")),
    )


def _find_readme(repository: Repository, layers: Sequence[spec.Descriptor], folder: str) -> str:
    path = "/".join(filter(None, ("models", folder, "README.md")))
    ours = [layer for layer in layers if annotations.FILES in (layer.annotations or {})]
    for layer in sorted(ours, key=lambda one: one.size):
        if layer.size > MAX_LAYER_BYTES:
            break
        content = _read(repository, layer, path)
        if content is not None:
            return content.decode(errors="replace").replace("\r\n", "\n").replace("\0", "")
    return ""


def _read(repository: Repository, layer: spec.Descriptor, path: str) -> bytes | None:
    """Returns a file of a layer; None if it is not there, or is too large, or the layer is none of this project's."""
    chunks: Iterator[bytes] = repository.read_blob(layer.digest, limit=layer.size)
    try:
        for member in tar_reader.members(chunks):
            content = b"".join(member.data) if member.size <= MAX_README_BYTES else None
            if member.path == path:
                return content
            for _ in member.data:
                pass
    except WrongBytesError:
        return None
    return None


def _metadata(text: str) -> Mapping[str, Any]:
    import yaml

    try:
        read = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _words(value: object) -> tuple[str, ...]:
    """Returns a word, or the words of a list, as people write either; what is no text is left out."""
    given = value if isinstance(value, list) else [value]
    words = (" ".join(one.split())[:MAX_WORD_CHARS] for one in given if isinstance(one, str))
    return tuple(dict.fromkeys(word for word in words if word and word.isprintable()))[:MAX_WORDS]
