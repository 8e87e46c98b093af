"""Code that is run when a model is loaded: that of its repository, or of others."""

from modelcar.hub.architectures import NATIVE
from modelcar.hub.facts import Facts, mapping, texts


def code_needed(facts: Facts) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    """Tells whether a repository's code must be run, of which others besides, and what is to be said of it."""
    maps = [
        mapping(facts.config.get("auto_map")),
        mapping(facts.document("tokenizer_config.json").get("auto_map")),
    ]
    named = [name for each in maps for value in each.values() for name in texts(value)]
    others = tuple(sorted({name.partition("--")[0] for name in named if "--" in name} - {facts.model}))
    if not named:
        return False, (), ()
    if facts.model_type in NATIVE and not others:
        return False, (), ("The repository has code of its own, which vLLM and transformers do not need.",)
    limits = ["It runs Python code from the repository when it is loaded: read it first."]
    if others:
        limits = [f"It runs Python code of {', '.join(others)}, which is not in the image: the server fetches it."]
    return True, others, tuple(limits)
