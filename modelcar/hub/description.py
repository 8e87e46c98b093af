"""Description of the files that are taken of a model: their layout, their quantization, and how they are served."""

from collections.abc import Iterable

from modelcar.hub.facts import Facts
from modelcar.hub.lora import is_of_adapter, with_adapters
from modelcar.hub.model_class import classify
from modelcar.hub.moved_files import in_folder
from modelcar.hub.quantization import quantization_scheme
from modelcar.hub.serving import Served, serving_of
from modelcar.hub.snapshot import Card, PublishedFile, Snapshot
from modelcar.hub.weight_groups import group_weights


def describe_files(whole: Snapshot, files: Iterable[PublishedFile], facts: Facts) -> Snapshot:
    """Returns the part of a snapshot that consists of some files, and says how it is served.

    It follows from the commit and the files alone, whoever chose them and why: so `verify` comes to the same words.

    Args:
        whole: All that the Hub published at the commit.
        files: The files that are taken.
        facts: What the repository's small files say.
    """
    taken = tuple(files)
    own = [file for file in taken if not is_of_adapter(file.path)]
    groups = group_weights(own, facts)
    paths = {file.path for file in own}
    serving = serving_of(Served(classify(groups, paths, facts), groups, paths, facts))
    serving = with_adapters(serving, (file.path for file in taken), facts)
    if taken and taken[0].folder:
        serving = in_folder(serving, taken[0].folder)
    scheme = quantization_scheme(facts, groups)
    said = {"files": taken, "quantization": scheme, "serving": serving, "card": Card()}
    return whole.model_copy(update=said)
