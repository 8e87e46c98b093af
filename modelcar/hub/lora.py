"""LoRA adapters beside the model that they are served on, in one image: a folder for each, as vLLM wants them.

They are put there on purpose (modelcar.sources.adapters); an adapter that a repository holds beside its own weights is
another matter, and is left out.
"""

from collections.abc import Iterable

from modelcar.hub.facts import Facts, text
from modelcar.hub.serving import MOUNT, lora_rank
from modelcar.hub.snapshot import Serving

FOLDER = "lora-adapters"
"""The folder of /models that holds a folder for each."""

_CONFIG = "adapter_config.json"
_VLLM_DEFAULT_RANK = 16


def place_of(name: str, path: str) -> str:
    """Returns the place of an adapter's file."""
    return f"{FOLDER}/{name}/{path}"


def is_of_adapter(path: str) -> bool:
    """Tells whether a file is an adapter's, and none of the model's."""
    return path.startswith(f"{FOLDER}/")


def with_adapters(serving: Serving, paths: Iterable[str], facts: Facts) -> Serving:
    """Tells how a model is served with the adapters beside it.

    Args:
        serving: How it is served without.
        paths: Its files, and theirs.
        facts: What the small files say.
    """
    names = sorted({path.split("/")[1] for path in paths if is_of_adapter(path)})
    if not names:
        return serving
    if serving.runtime != "vLLM":
        what = f"{serving.runtime or 'Its server'} is not known to load LoRA adapters: {', '.join(names)}."
        return serving.model_copy(update={"limits": (*serving.limits, what)})
    settings = {name: facts.document(place_of(name, _CONFIG)) for name in names}
    ranks = [rank for each in settings.values() if isinstance(rank := each.get("r"), int)]
    largest = max(ranks, default=0)
    rank = ("--max-lora-rank", str(lora_rank(largest))) if largest > _VLLM_DEFAULT_RANK else ()
    modules = tuple(f"{name}={MOUNT}/{FOLDER}/{name}" for name in names)
    several = ("--max-loras", str(len(names))) if len(names) > 1 else ()
    arguments = (*serving.arguments, "--enable-lora", *several, *rank, "--lora-modules", *modules)
    others = {name: text(each.get("base_model_name_or_path")) for name, each in settings.items()}
    limits = tuple(
        f"The adapter {name} says that it was made for {base}."
        for name, base in others.items()
        if base and base.rpartition("/")[2].lower() != facts.model.rpartition("/")[2].lower()
    )
    return serving.model_copy(update={"arguments": arguments, "limits": (*serving.limits, *limits)})
