"""A model card, as the Hub read it: licence, base models, library, task. Authors write into it what they like."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelInfo

from modelcar.hub.licences import spdx_expression
from modelcar.hub.snapshot import Card

MAX_CHARS = 1000
_RELATIONS = ("adapter", "finetune", "merge", "quantized")
_ADAPTER_TAGS = frozenset(("lora", "template:sd-lora", "template:diffusion-lora", "dora", "lycoris", "peft"))
"""Tags of repositories of adapters: the Hub's own templates, and what training programs write."""


def described_by_card(info: ModelInfo) -> dict[str, Any]:
    """Returns the fields of a Snapshot that the model card decides."""
    card = _mapping(info.card_data.to_dict() if info.card_data else None)  # type: ignore[no-untyped-call]
    bases = _names(card.get("base_model"))
    relation = _relation(card, info.tags or ())
    tags = {tag.lower() for tag in (*(info.tags or ()), *_names(card.get("tags"))) if isinstance(tag, str)}
    return {
        "licence": spdx_expression(card.get("license"), card.get("license_name")),
        "licence_name": _text(card.get("license_name")),
        "licence_link": _text(card.get("license_link")),
        "base_models": bases,
        "base_model_relation": relation if bases else "",
        "card": Card(
            library=_text(info.library_name or card.get("library_name")),
            task=_text(info.pipeline_tag or card.get("pipeline_tag")),
            config=_mapping(info.config),
            gguf=_mapping(getattr(info, "gguf", None)),
            base_models=bases,
            is_adapter=relation == "adapter" or bool(tags & _ADAPTER_TAGS),
        ),
    }


def _relation(card: Mapping[str, Any], tags: Any) -> str:
    """Tells how a model was made from its base, as the card says or as the Hub found out."""
    said = _text(card.get("base_model_relation")).lower()
    if said in _RELATIONS:
        return said
    for tag in tags:
        parts = tag.split(":") if isinstance(tag, str) else ()
        if len(parts) >= 3 and parts[0] == "base_model" and parts[1] in _RELATIONS:
            return str(parts[1])
    return ""


def _names(value: Any) -> tuple[str, ...]:
    listed = value if isinstance(value, list | tuple) else [value]
    names = (_text(one) for one in listed)
    return tuple(dict.fromkeys(name for name in names if name))


def _text(value: Any) -> str:
    """Returns text on one line; empty for whatever is none."""
    if not isinstance(value, str) or value.strip().lower() in ("none", "null"):
        return ""
    return " ".join(value.split())[:MAX_CHARS]


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {str(key): one for key, one in value.items()}
    return {}
