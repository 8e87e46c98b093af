"""The checks before a run, each by itself: the model, the registries, the claim, the cluster."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.filesize import decimal

from modelcar import model_registry, pod
from modelcar.attestation.signer import find_signer
from modelcar.attestation.signing import is_signed
from modelcar.claim.space import SPARE_BYTES
from modelcar.cluster.connection import Cluster
from modelcar.cluster.executor import Executor
from modelcar.cluster.job import BUILD_PROGRAM
from modelcar.errors import ClusterError, CredentialsError, HubError, RegistryError, SelectionError, TagError
from modelcar.hub.options import MAX_OPTIONS_SHOWN
from modelcar.hub.paths import find_twins
from modelcar.hub.source import Source
from modelcar.image.base_contents import BaseContents, examine_base
from modelcar.image.existing import Existing
from modelcar.image.tag_policy import IF_EXISTS, check_tag, holding
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored
from modelcar.sources.opening import open_source
from modelcar.steps.preflight import admission, claims
from modelcar.steps.preflight.build_mode import PRIVILEGES
from modelcar.steps.preflight.finding import Finding
from modelcar.steps.preflight.nodes import EPHEMERAL_STORAGE
from modelcar.steps.preflight.plan import Plan
from modelcar.steps.preflight.registries import check_registry
from modelcar.steps.preflight.request import BuildMode, RunRequest
from modelcar.steps.preflight.service import is_served
from modelcar.steps.preflight.serving_nodes import check_serving_nodes


def check_model(plan: Plan) -> Iterator[Finding]:
    """Checks that an image can be made of the files, and that they may be read."""
    about = "model"
    problems = list(plan.problems)
    try:
        _source(plan).check_access(plan.snapshot, max(plan.snapshot.files, key=lambda file: file.size))
    except HubError as error:
        problems.append(error)
    if not problems:
        size = decimal(plan.snapshot.size)
        yield Finding(about, "ok", f"{len(plan.choice.taken)} files, {size}, in {len(plan.layers)} layers")
        if pickles := plan.pickles:
            what = f"{len(pickles)} of the files may hold pickles, which run code when they are loaded; you allowed it"
            yield Finding(about, "warning", what)
        yield from _doubts(plan)
    for problem in problems:
        yield Finding.of(about, problem)
    if plan.choice.weights:
        yield from _how_served(plan)


def _how_served(plan: Plan) -> Iterator[Finding]:
    """Yields by what the model is served, and what has to be known before."""
    about, serving = "serving", plan.snapshot.serving
    if serving is None:
        return
    where = f"on {serving.gpus} GPU{'s' if serving.gpus > 1 else ''} of 80 GB" if serving.gpus else "on processors"
    arguments = f", with {' '.join(serving.arguments)}" if serving.arguments else ""
    memory = f", about {decimal(serving.memory_bytes)} of memory" if serving.memory_bytes else ""
    runtime = serving.runtime or "a server of your own"
    yield Finding(about, "ok", f"a {serving.model_class} model: {runtime}, {where}{memory}{arguments}")
    for limit in serving.limits:
        yield Finding(about, "warning", limit)
    others = [option for option in plan.choice.options if not option.is_taken]
    if others and not any(isinstance(problem, SelectionError) for problem in plan.problems):
        shown = ", ".join(f"{option.name} ({decimal(option.size)})" for option in others[:MAX_OPTIONS_SHOWN])
        yield Finding(about, "ok", f"other variants can be had with --variant: {shown}")


def _doubts(plan: Plan) -> Iterator[Finding]:
    """Warns of what somebody should know of a model before it is served."""
    for twins in find_twins(file.path for file in plan.choice.taken):
        names = " and ".join(repr(path) for path in twins)
        what = f"{names} differ only by case or Unicode form: a claim or a server may take one for the other"
        yield Finding("model", "warning", what, "Leave one out with --exclude, or ask the owner to rename it")


def check_origin(plan: Plan) -> Iterator[Finding]:
    """Checks that the commit was put there by somebody who may write to the repository."""
    model, commit = plan.snapshot.model, plan.snapshot.commit
    if not _source(plan).branch_of(model, commit):
        what = f"no branch and no tag of {model} leads to commit {commit}; a pull request may, which anybody can open"
        yield Finding("model", "warning", what, "Take it only if you know who made it: `modelcar verify` refuses it")


def _source(plan: Plan) -> Source:
    return plan.source or open_source(plan.snapshot.model)


def check_base(run: RunRequest, plan: Plan, unchanged: Reference | None) -> Iterator[Finding]:
    """Checks that the base image holds no model itself, and what KServe will find in it, if anything is to be made."""
    if plan.base is not None and unchanged is None:
        yield from _served_on(plan.base.name, examine_base(plan.base, allow_models=run.allow_base_models))


def _served_on(name: str, found: BaseContents) -> Iterator[Finding]:
    about, remedy = "base image", "Leave base_image empty if KServe is to serve it as oci://"
    if found.has_shell is False:
        what = (
            f"{name} has no shell: KServe runs sh in the image for oci://, and so does a pipeline's importer; only "
            "oci+native:// and oci+fetch:// will serve it"
        )
        yield Finding(about, "warning", what, remedy)
    elif found.entry_point:
        what = (
            f"{name} has an entry point, {found.entry_point}, to which KServe's `sh -c …` for oci:// goes as arguments"
        )
        yield Finding(about, "warning", what, remedy)


def largest_layer(plan: Plan) -> int:
    """Returns the bytes of the largest layer; 0 where there is none."""
    return max((layer.size for layer in plan.layers), default=0)


def check_push(about: str, target: str, largest_layer: int) -> Iterator[Finding]:
    """Checks whether an image may be written, and what its registry takes."""
    if target:
        yield from check_registry(about, target, largest_layer)


def check_target(run: RunRequest, plan: Plan) -> Iterator[Finding]:
    """Checks that the image may be written where it is to go, which the model's name decides if nobody says."""
    if plan.target is not None:
        try:
            yield from check_push("target", str(plan.target), largest_layer(plan))
        except RegistryError as error:
            if run.target:
                raise
            unnamed = "No target was named, hence OpenShift's own registry. Name one: registry/repository:tag. Or here"
            yield Finding("target", "refusal", error.what, f"{unnamed}: {error.remedy}")
    elif not run.target:
        yield Finding("target", "refusal", "no target image was named", "Name one: registry/repository:tag")


def check_tags(run: RunRequest, plan: Plan) -> Iterator[Finding]:
    """Checks that the tags may be moved from what they hold."""
    mirror = Reference.parse_target(run.mirror_target) if run.mirror_target else None
    for about, goal in (("target", plan.target), ("mirror", mirror)):
        if goal is None or run.if_exists not in IF_EXISTS:
            continue
        with Repository(goal, push=True) as repository:
            held = repository.find_manifest(goal.tag)
            if held is None or (plan.image and Existing(repository, goal.tag, plan.image, None).may_be_the_image):
                continue
        try:
            check_tag(goal, held, plan.annotations, run.if_exists)
            yield Finding(about, "ok", f"{goal} holds {holding(held)}, which this run replaces")
        except TagError as error:
            yield Finding.of(about, error)


def check_model_registry(url: str) -> Iterator[Finding]:
    """Checks that the Model Registry is there, and takes entries from us."""
    if url:
        model_registry.check_write(url)
        yield Finding("Model Registry", "ok", f"{url} may be written")


def check_claim(run: RunRequest, plan: Plan, seen: Path | None, cluster: Cluster | None) -> Iterator[Finding]:
    """Checks that the claim has room for what is missing on it or, where it cannot be seen, that it is large enough."""
    about = "claim"
    if seen is not None:
        free = free_bytes(seen)
        enough = not plan.claim_bytes or plan.claim_bytes + SPARE_BYTES <= free
        figures = f"{decimal(plan.claim_bytes)} more are needed and {decimal(free)} are free"
        remedy = f"Enlarge it, or remove older downloads in {seen}"
        yield Finding(about, "ok" if enough else "refusal", f"at {seen} {figures}", "" if enough else remedy)
    elif cluster is not None:
        yield claims.check(cluster, run.claim, plan.claim_bytes)


def check_serving(plan: Plan, cluster: Cluster) -> Iterator[Finding]:
    """Checks that nodes of this cluster could pull and serve the image."""
    serving = plan.snapshot.serving
    yield from check_serving_nodes(cluster, plan.image_bytes, serving.gpus if serving else 0)


def check_pod(run: RunRequest, mode: BuildMode, cluster: Cluster) -> Iterator[Finding]:
    """Checks that the cluster takes the build's pod: quotas, limits and, for a Job, its account's rights."""
    if mode != "pod":
        yield admission.check_jobs(cluster)
    yield admission.check_pod(cluster, _trial_pod(run, mode, cluster))


def takes_nested(run: RunRequest, cluster: Cluster) -> bool:
    """Tells whether the cluster takes the build's pod with user namespaces of its own, as far as it can be asked."""
    return admission.check_pod(cluster, _trial_pod(run, "nested", cluster)).verdict == "ok"


def _trial_pod(run: RunRequest, mode: BuildMode, cluster: Cluster) -> admission.TrialPod:
    requests = {"cpu": run.build_cpu, "memory": run.build_memory}
    resources = {"requests": requests, "limits": {EPHEMERAL_STORAGE: run.node_storage}}
    in_job = mode != "pod"
    account = run.job_service_account if in_job else ""
    # A step that brought its code along has its Job do so by a command that need not be tried as a whole.
    command = (*BUILD_PROGRAM, "{}") if in_job and pod.REQUIREMENTS not in os.environ else ()
    trial = admission.TrialPod(resources, account, PRIVILEGES[mode], command=command)
    image = (run.job_image if in_job else "") or _own_image(cluster)
    return replace(trial, image=image) if image else trial


def _own_image(cluster: Cluster) -> str:
    try:
        return Executor.find(cluster).image
    except ClusterError:
        return ""


def find_unchanged(run: RunRequest, plan: Plan, cluster: Cluster | None = None) -> Reference | None:
    """Returns the image to serve, if a run would change nothing: it, its mirror, entry and service are there already.

    It is there if its digest is the one that would be made and, with a key, if it is signed with it.
    """
    if plan.target is None or plan.image is None:
        return None
    # Asked for without the permission to push, which such a run does not need.
    with Repository(plan.target) as repository:
        try:
            existing = Existing(repository, plan.target.tag, plan.image, find_signer())
        except CredentialsError:
            # Those who may only push are told so for what is not there; who may do nothing is told by the other checks.
            return None
        same = existing.is_the_image and existing.is_signed
    image = plan.target.at(existing.stored.digest) if existing.stored and same else None
    if image is not None and run.mirror_target:
        signed = existing.assemble().images if existing.stored else ()
        image = _mirrored(image, Reference.parse_target(run.mirror_target), signed)
    if image is not None and run.model_registry:
        image = image if _is_registered(image, run) else None
    if image is not None and run.serve_as:
        image = image if cluster is not None and is_served(run.serve_as, image, cluster) else None
    return image


def _is_registered(image: Reference, run: RunRequest) -> bool:
    return model_registry.is_registered(
        str(image),
        run.model_registry,
        name=run.registered_name,
        model_format=run.model_format,
        owner=run.owner,
        tags=run.tags,
    )


def free_bytes(claim: Path) -> int:
    """Returns the bytes that are free on a claim that can be seen from here; its directory need not be there yet."""
    place = claim.absolute()
    return shutil.disk_usage(next(one for one in (place, *place.parents) if os.path.isdir(one))).free


def _mirrored(image: Reference, mirror: Reference, to_be_signed: Sequence[Stored]) -> Reference | None:
    key = find_signer()
    with Repository(mirror) as repository:
        stored = repository.find_manifest(mirror.tag)
        if stored is None or stored.digest != image.digest:
            return None
        if key is not None and not all(is_signed(repository, one.digest, key.public) for one in to_be_signed):
            return None
    return mirror.at(image.digest)
