"""Alternatives as they are offered: each with its name and its size."""

import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rich.filesize import decimal

from modelcar.errors import SelectionError
from modelcar.hub.picking import Picked

MAX_OPTIONS_SHOWN = 12


@dataclass(frozen=True)
class Option:
    """One of several alternatives.

    Attributes:
        name: What to give as `variant`.
        size: Bytes of its weights.
        is_taken: Whether it is the one that is taken.
    """

    name: str
    size: int
    is_taken: bool


def options_of(picked: Picked) -> tuple[Option, ...]:
    """Lists the alternatives: those that somebody must choose from, or else those that may be had instead."""
    kept = set(map(id, picked.kept))
    offered = picked.offered()
    binding = [one for one in offered if one.must_choose] or offered
    sizes: dict[str, list[int]] = defaultdict(list)
    taken = set()
    for one in binding:
        for name, groups in one.named.items():
            sizes[name].append(sum(group.size for group in groups))
            if any(id(group) in kept for group in groups):
                taken.add(name)
    found = [Option(name, sum(each), name in taken) for name, each in sizes.items()]
    return tuple(sorted(found, key=lambda option: (-option.size, option.name)))


def must_choose(options: Sequence[Option]) -> SelectionError:
    """Returns the refusal of a repository that offers alternatives between which nobody chose."""
    best = next((option.name for option in options if option.is_taken), options[0].name)
    shown = ", ".join(f"{option.name} ({decimal(option.size)})" for option in options[:MAX_OPTIONS_SHOWN])
    more = f" and {len(options) - MAX_OPTIONS_SHOWN} more" if len(options) > MAX_OPTIONS_SHOWN else ""
    return SelectionError(
        f"the repository has {len(options)} alternatives, of which one has to be chosen: {shown}{more}",
        f"Most people take --variant {shlex.quote(best)} (the pipeline's variant)",
    )
