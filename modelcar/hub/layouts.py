"""The choice of weights by a repository's layout: diffusers' pipelines, sentence-transformers, GGUF, the rest."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath

from modelcar.hub import variants
from modelcar.hub.facts import Facts, text
from modelcar.hub.formats import (
    OTHER_FRAMEWORKS,
    OTHER_RUNTIMES,
    QUANTIZED_BY_LLAMA_CPP,
    RUNTIME_FOLDERS,
    Format,
)
from modelcar.hub.gguf_choice import pick_gguf
from modelcar.hub.model_class import is_adapter_group
from modelcar.hub.model_folders import pick_in_folder, pick_in_folders
from modelcar.hub.picking import (
    OTHER_FRAMEWORK,
    OTHER_RUNTIME,
    OTHER_VARIANT,
    SAME,
    TORCH_LIKE,
    Picked,
    by_format,
    comparable,
    folders_of,
    in_any,
    is_equal_size,
    is_size_twin,
)
from modelcar.hub.weight_groups import MAIN, WeightGroup, is_model_name

_MIN_MAIN_SHARE = 0.15
"""Share of the largest weights' size. PyTorch files below that are tables beside a model in another format, not the
model."""

_COMPONENT = re.compile(
    r"(unet|vae|vqvae|vqgan|movq|transformer|text_encoder|image_encoder|vision_encoder|tokenizer|scheduler|feature_extractor"
    r"|safety_checker|image_processor|image_normalizer|prior|decoder|controlnet|connectors|vocoder|projection_model"
    r"|language_model|processor|text_projection|text_proj|transformer_prior|priors?_\w+|audio_\w+|guider|adapter|mllm"
    r"|latent_upsampler|refiner|bert|melgan|notes_encoder|continuous_encoder|condition_encoder|caption_\w+|vision_\w+"
    r"|image_noising_scheduler|qformer|text_model|super_res_\w+|unet_\w+)(_\d)?"
)
"""The names that diffusers' pipelines give their parts; a part's second copy has `_2` behind it, never `_1_0`."""

WITHOUT_WEIGHTS = re.compile(r"(tokenizer|scheduler|feature_extractor|image_processor|processor)(_\d)?")
"""Folders of parts of diffusers' pipelines that are configured, and not trained."""

_OLDER = re.compile(
    r".*(_\d+_\d+|[-_](old|backup|bak|orig|original|fp16|fp32|bf16|fp8|int8|int4|nf4))|(old|backup)[-_].*"
)

_CONSOLIDATED_ONLY = ("voxtral",)
"""Families that vLLM loads from Mistral's own form only (vllm/model_executor/models/voxtral.py)."""


def pick(groups: Sequence[WeightGroup], paths: Collection[str], facts: Facts) -> Picked:
    """Chooses the weights to take.

    Args:
        groups: All groups of weights.
        paths: All paths of the repository.
        facts: What its small files say.
    """
    projectors = [group for group in groups if group.is_projector]
    models = [group for group in groups if not group.is_projector]
    if "model_index.json" in paths:
        picked = _pick_pipeline(models, paths, facts)
    elif "modules.json" in paths and any(group.format in TORCH_LIKE for group in models):
        picked = _pick_modules(models, paths, facts)
    else:
        picked = _pick_main(models, paths, facts)
    _pick_projector(projectors, picked)
    return picked


def _pick_projector(projectors: Sequence[WeightGroup], picked: Picked) -> None:
    if not projectors or not any(group.format is Format.GGUF for group in picked.kept):
        picked.drop(projectors, OTHER_RUNTIME)
        return
    by_base: dict[str, list[WeightGroup]] = defaultdict(list)
    for group in projectors:
        by_base[group.base].append(group)
    for members in by_base.values():
        best = variants.best_projector(group.variant for group in members)
        kept = next(group for group in members if group.variant == best)
        picked.kept.append(kept)
        picked.drop([group for group in members if group is not kept], "another precision of the projector")


def _pick_pipeline(groups: Sequence[WeightGroup], paths: Collection[str], facts: Facts) -> Picked:
    """Chooses for a pipeline of diffusers: one group for each component that model_index.json names."""
    picked = Picked()
    folders = folders_of(groups)
    named = facts.components()
    tops = {folder: folder.partition("/")[0] for folder in folders}
    if named and not any(tops[folder] in named for folder in folders if folder):
        named = {}
    in_torch = {tops[folder] for folder, members in folders.items() if any(one.format in TORCH_LIKE for one in members)}
    for folder, members in folders.items():
        top = tops[folder]
        if not folder:
            continue
        if named and top not in named and not _is_half_of_vae(top, in_torch):
            picked.drop(members, "no part of the pipeline that model_index.json names")
        elif not named and not _is_component(top, in_torch, paths):
            picked.drop(members, "no part of the pipeline")
        elif WITHOUT_WEIGHTS.fullmatch(top) and all(group.format in TORCH_LIKE for group in members):
            picked.drop(members, f"diffusers loads no weights from {top}")
            picked.folders.append(folder)
        elif (runtime := in_any(folder.partition("/")[2], RUNTIME_FOLDERS)) and top in in_torch:
            picked.drop(members, RUNTIME_FOLDERS[runtime])
        else:
            picked.add(pick_in_folder(members))
    _one_format_for_all(picked)
    if not picked.kept:
        return _pick_main(groups, (), facts)
    picked.drop(folders.get("", ()), "not the form that model_index.json names")
    return picked


def _is_half_of_vae(folder: str, in_torch: Collection[str]) -> bool:
    return folder in ("vae_encoder", "vae_decoder") and "vae" not in in_torch


def _is_component(folder: str, in_torch: Collection[str], paths: Collection[str]) -> bool:
    """Tells whether a folder is a pipeline's part, as its name says, or else its own configuration."""
    if folder in ("vae_encoder", "vae_decoder"):
        return "vae" not in in_torch
    if _COMPONENT.fullmatch(folder) is not None:
        return True
    return f"{folder}/config.json" in paths and folder in in_torch and not _OLDER.fullmatch(folder)


def _one_format_for_all(picked: Picked) -> None:
    """Leaves out components that are there for another runtime alone, such as an ONNX image decoder beside PyTorch."""
    if not any(group.format in TORCH_LIKE for group in picked.kept):
        return
    strangers = [group for group in picked.kept if group.format in OTHER_RUNTIMES | OTHER_FRAMEWORKS]
    picked.kept = [group for group in picked.kept if group not in strangers]
    picked.drop(strangers, OTHER_RUNTIME)


def _pick_modules(groups: Sequence[WeightGroup], paths: Collection[str], facts: Facts) -> Picked:
    """Chooses for sentence-transformers: the model, and the modules that modules.json names."""
    modules = facts.modules()
    picked = Picked()
    folders = folders_of(groups)
    for folder, members in folders.items():
        is_module = folder in modules if modules is not None else re.fullmatch(r"\d+_\w+", folder) is not None
        if is_module and folder:
            picked.add(pick_in_folder(members))
    rest = [group for group in groups if group.folder not in {one.folder for one in picked.kept}]
    has_own = any(group.slot == MAIN and group.size > 0 and group.folder for group in picked.kept) and "" not in folders
    if has_own and "0_" in "".join(group.folder for group in picked.kept):
        picked.drop(rest, OTHER_RUNTIME)
        return picked
    picked.add(_pick_main(rest, paths, facts))
    return picked


def _pick_main(groups: Sequence[WeightGroup], paths: Collection[str], facts: Facts) -> Picked:
    """Chooses for a repository without pipeline or modules: a main folder, and what else is needed beside it."""
    picked = Picked()
    if not groups:
        return picked
    groups = _without_unnamed(groups, facts, picked)
    groups = _without_transformers_form(groups, facts, picked)
    adapters = [group for group in groups if paths and is_adapter_group(group, paths)]
    models = [group for group in groups if group not in adapters]
    if adapters and not any(group.size >= max(one.size for one in adapters) for group in models):
        models, adapters = list(groups), []
    for folder, members in folders_of(adapters).items():
        if models and folder and all(group.format is Format.TORCH for group in members):
            picked.drop(members, "an adapter beside the model that it was made for")
        else:
            picked.add(pick_in_folder(members))
    mains = _mains(models)
    if not mains:
        picked.add(_pick_other_format(models))
        return picked
    folders = folders_of(mains)
    if "" in folders and _is_main(folders[""], mains):
        picked.add(_pick_beside("", models, facts))
    elif len(folders) == 1:
        picked.add(_pick_beside(next(iter(folders)), models, facts))
    else:
        picked.add(_pick_in_folders(folders, models, paths))
    _drop_pickled_parts(picked)
    return picked


def _drop_pickled_parts(picked: Picked) -> None:
    """Leaves out pickles that a folder of their own name has taken the place of: `GPT.pt` beside `gpt/`."""
    safe = [group for group in picked.kept if group.format is Format.SAFETENSORS and group.complete]
    for group in [one for one in picked.kept if one.format is Format.TORCH]:
        own = str(PurePosixPath(group.folder) / group.base).lower()
        if any(one.folder.lower() == own and comparable(one, group) for one in safe):
            picked.kept.remove(group)
            picked.drop([group], SAME)


def _without_unnamed(groups: Sequence[WeightGroup], facts: Facts, picked: Picked) -> Sequence[WeightGroup]:
    """Leaves out what is in the place of the weights that the configuration names, as Sesame's CSM does."""
    wanted = text(facts.config.get("transformers_weights"))
    named = [group for group in groups if wanted and any(file.path == wanted for file in group.files)]
    if not named or not named[0].complete:
        return groups
    others = [group for group in groups if group not in named and not group.folder and group.format in TORCH_LIKE]
    twins = [group for group in others if comparable(group, named[0])]
    picked.drop(twins, "config.json names other weights (transformers_weights)")
    return [group for group in groups if group not in twins]


def _without_transformers_form(groups: Sequence[WeightGroup], facts: Facts, picked: Picked) -> Sequence[WeightGroup]:
    """Leaves out transformers' form of a model of open_clip, but not for a pickle."""
    own = [group for group in groups if group.is_of_open_clip and group.complete]
    if facts.card.library != "open_clip" or not own:
        return groups
    best = by_format(own)[0]
    same = [one for one in groups if one not in own and (one.folder, one.slot) == (best.folder, best.slot)]
    if best.format is not Format.SAFETENSORS and any(one.format is Format.SAFETENSORS for one in same):
        return groups
    others = [one for one in same if one.format in TORCH_LIKE and comparable(one, best)]
    picked.drop(others, "the same weights, for transformers")
    return [group for group in groups if group not in others]


def _mains(groups: Sequence[WeightGroup]) -> list[WeightGroup]:
    """Finds the groups that PyTorch's libraries load, outside folders of other runtimes."""
    largest = max((group.size for group in groups), default=0)
    torch = [group for group in groups if group.format in TORCH_LIKE]
    outside = [group for group in torch if not in_any(group.folder, RUNTIME_FOLDERS)] or torch
    if sum(group.size for group in outside) < _MIN_MAIN_SHARE * largest:
        return []
    return outside


def _is_main(top: Sequence[WeightGroup], mains: Sequence[WeightGroup]) -> bool:
    """Tells whether the top folder holds the model, and not just a table beside models in folders."""
    return sum(group.size for group in top) >= _MIN_MAIN_SHARE * max(group.size for group in mains)


def _pick_beside(main_folder: str, groups: Sequence[WeightGroup], facts: Facts) -> Picked:
    """Chooses in the main folder, and leaves out of other folders what holds the same weights."""
    folders = folders_of(groups)
    picked = pick_in_folder(folders[main_folder])
    _choose_mistral_form(picked, main_folder, facts)
    kept = [group for group in picked.kept if group.format in TORCH_LIKE]
    for folder, members in folders.items():
        if folder == main_folder:
            continue
        reason = _why_not_folder(folder, members, main_folder, kept, facts)
        if reason:
            picked.drop(members, reason)
        else:
            inside = pick_in_folder(members)
            picked.add(Picked(inside.kept, inside.dropped))
    return picked


def _why_not_folder(
    folder: str, members: Sequence[WeightGroup], main_folder: str, kept: Sequence[WeightGroup], facts: Facts
) -> str:
    """Says why a folder beside the main one is left out; empty if it holds something of its own."""
    own = folder.removeprefix(f"{main_folder}/") if main_folder else folder
    if runtime := in_any(own, RUNTIME_FOLDERS):
        return RUNTIME_FOLDERS[runtime]
    if all(group.format in OTHER_FRAMEWORKS for group in members):
        return OTHER_FRAMEWORK
    if all(group.format is Format.GGUF for group in members):
        return OTHER_RUNTIME
    if all(any(_is_export(group, one) for one in kept) for group in members):
        return OTHER_RUNTIME
    main_size = sum(group.size for group in kept)
    inside = pick_in_folder(members).kept
    size = sum(group.size for group in inside)
    slots = {group.slot for group in kept} | {MAIN, "consolidated"}
    same_slots = {group.slot for group in inside} <= slots
    if same_slots and _is_twin_folder(folder, size, main_size, facts):
        return "the same weights as those of the main folder"
    comparable_size = main_size <= 8 * size and size <= 8 * main_size
    if same_slots and comparable_size and variants.names_variant(PurePosixPath(folder).name):
        return OTHER_VARIANT
    ours, theirs = facts.model_type, text(facts.document(f"{folder}/config.json").get("model_type"))
    if same_slots and comparable_size and ours and ours == theirs:
        return "another form of the same model"
    return ""


def _is_export(group: WeightGroup, original: WeightGroup) -> bool:
    """Tells whether weights are another's, made for another runtime, as Ultralytics exports them into folders."""
    same_name = (group.base, group.variant) == (original.base, original.variant)
    return group.format in OTHER_RUNTIMES and same_name and comparable(group, original)


def _is_twin_folder(folder: str, size: int, main_size: int, facts: Facts) -> bool:
    """Tells whether a folder holds the main one's weights: of that size or, if its name says so, of another precision.

    A size alone tells little: the parts of a model may have sizes like that, too.
    """
    if is_equal_size(size, main_size):
        return True
    name = PurePosixPath(folder).name
    says_so = is_model_name(name, facts.model) or variants.names_variant(name)
    return says_so and is_size_twin(size, main_size)


def _choose_mistral_form(picked: Picked, folder: str, facts: Facts) -> None:
    """Keeps Mistral's own form in the place of the shards for families that are served from nothing else."""
    family = f"{facts.model_type} {' '.join(facts.architectures)} {facts.model.rpartition('/')[2]}".lower()
    if not any(name in family for name in _CONSOLIDATED_ONLY):
        return
    own = [one for one, _ in picked.dropped if one.slot == "consolidated" and one.folder == folder and one.complete]
    main = [one for one in picked.kept if one.slot == MAIN and one.folder == folder]
    if not own or not main or own[0].format is not Format.SAFETENSORS:
        return
    picked.dropped = [(one, why) for one, why in picked.dropped if one is not own[0]]
    picked.kept = [one for one in picked.kept if one not in main] + own[:1]
    picked.drop(main, "vLLM loads this model from consolidated.safetensors only")


def _pick_in_folders(
    folders: Mapping[str, list[WeightGroup]], groups: Sequence[WeightGroup], paths: Collection[str]
) -> Picked:
    """Chooses where each of several folders holds weights, and the top none: alternatives, or parts of one model."""
    picked = pick_in_folders([group for members in folders.values() for group in members], paths)
    has_alternatives = any(one.must_choose for one in picked.alternatives)
    for folder, members in folders_of(group for group in groups if group.folder not in folders).items():
        size = sum(group.size for group in members)
        is_twin = any(is_size_twin(size, sum(group.size for group in one)) for one in folders.values())
        if has_alternatives or is_twin or in_any(folder, RUNTIME_FOLDERS) or any(map(_is_foreign, members)):
            picked.drop(members, OTHER_RUNTIME)
        else:
            picked.add(pick_in_folder(members))
    return picked


def _is_foreign(group: WeightGroup) -> bool:
    """Tells whether weights are for a runtime that loads nothing else; ONNX graphs and tables serve beside PyTorch."""
    return group.format in OTHER_FRAMEWORKS | OTHER_RUNTIMES - {Format.ONNX}


def _pick_other_format(groups: Sequence[WeightGroup]) -> Picked:
    """Chooses where no PyTorch library's weights are there: one format, then one variant or folder of it."""
    # What PyTorch reads are tables here, such as voices: the model is in another format.
    models = [group for group in groups if group.format not in TORCH_LIKE] or groups
    best = min((group.format for group in models if _is_large(group, models)), key=list(Format).index)
    same = [group for group in groups if group.format is best]
    picked = pick_gguf(same) if best in QUANTIZED_BY_LLAMA_CPP else pick_in_folders(same)
    for group in groups:
        if group.format is best:
            continue
        if group.format in OTHER_FRAMEWORKS | OTHER_RUNTIMES or in_any(group.folder, RUNTIME_FOLDERS):
            picked.drop([group], OTHER_RUNTIME)
        elif any(_is_twin(group, kept) for kept in picked.kept):
            picked.drop([group], f"the same model as in {best}")
        else:
            picked.kept.append(group)
    return picked


def _is_twin(group: WeightGroup, kept: WeightGroup) -> bool:
    return (group.folder, group.slot) == (kept.folder, kept.slot) and comparable(group, kept)


def _is_large(group: WeightGroup, groups: Sequence[WeightGroup]) -> bool:
    """Tells whether a group can be the model itself; complete ones come first."""
    usable = [one for one in groups if one.complete] or groups
    largest = max(one.size for one in usable)
    return group in usable and group.size >= largest * _MIN_MAIN_SHARE / 2
