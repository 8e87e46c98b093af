"""The choice among GGUF files: one type, with all that belongs to it."""

import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from modelcar.hub import variants
from modelcar.hub.picking import OTHER_VARIANT, Alternatives, Picked
from modelcar.hub.weight_groups import WeightGroup


def pick_gguf(groups: Sequence[WeightGroup]) -> Picked:
    """Chooses one GGUF, whatever folder it is in; speech models have a second one, their vocoder."""
    picked = Picked()
    vocoders = [group for group in groups if re.search(r"vocoder|wavtokenizer|codec|snac", group.base, re.IGNORECASE)]
    models = [group for group in groups if group not in vocoders] or list(groups)
    named = _named_ggufs(models)
    usable = {name: one for name, one in named.items() if all(group.complete for group in one)} or named
    best = min(usable.values(), key=lambda one: (variants.rank(gguf_name(one[0])), one[0].size, one[0].label))
    picked.kept += best
    picked.drop([group for group in models if group not in best], OTHER_VARIANT)
    if len(named) > 1:
        picked.alternatives.append(Alternatives(named, must_choose=len(usable) > 1))
    if vocoders and models is not vocoders and vocoders[0] not in models:
        smallest = min(vocoders, key=lambda group: (variants.rank(group.variant), group.label))
        picked.kept.append(smallest)
        picked.drop([group for group in vocoders if group is not smallest], OTHER_VARIANT)
    return picked


def _named_ggufs(groups: Sequence[WeightGroup]) -> dict[str, list[WeightGroup]]:
    """Names the alternatives among GGUF files. Wan 2.2 is two models, for high and for low noise, in each type."""
    named: dict[str, list[WeightGroup]] = {}
    places: dict[tuple[str, str], str] = {}
    for group in groups:
        other_noise = re.sub(r"high(?=[-_]?noise)|low(?=[-_]?noise)", "*", group.base, flags=re.IGNORECASE)
        place = (gguf_name(group), other_noise)
        if other_noise != group.base and place in places:
            named[places[place]].append(group)
            continue
        places[place] = _free_name(gguf_name(group), group, named)
        named[places[place]] = [group]
    return named


def gguf_name(group: WeightGroup) -> str:
    """Returns the name of a GGUF's type, which its folder has where its file has not."""
    return group.variant or variants.split_gguf(PurePosixPath(group.folder).name)[1] or group.base


def _free_name(name: str, group: WeightGroup, taken: Collection[str]) -> str:
    return PurePosixPath(group.weights[0].path).stem if name in taken else name
