"""Choice of the place of a build: the one with the least privilege that works."""

from collections.abc import Callable

from modelcar.cluster.job import Privilege
from modelcar.image import builder
from modelcar.steps.preflight.finding import Finding
from modelcar.steps.preflight.request import BuildMode, RunRequest

PRIVILEGES: dict[BuildMode, Privilege] = {"pod": "none", "nested": "nested", "job": "privileged"}
"""Privileges of the container that builds, beyond those of a step."""


def choose_mode(
    run: RunRequest, *, has_cluster: bool, takes_nested: Callable[[], bool] = lambda: False
) -> tuple[BuildMode, Finding]:
    """Chooses where the build will run: with the least privilege that works.

    Builder `direct` needs none. buildah needs a user namespace; where the pod may not make one, as on a default
    OpenShift, it takes a Job: one whose pod has a user namespace of its own, or a privileged one. What is true of this
    pod is taken to be true of the build's, which runs in the same namespace.

    Args:
        run: What is asked for.
        has_cluster: Whether there is a cluster to run a Job on.
        takes_nested: Whether that takes a pod with user namespaces of its own; asked only where it matters.
    """
    about = "build"
    usable = builder.may_run_here()
    needs_job = run.builder == "buildah" and not usable
    mode: BuildMode = "pod"
    if run.build_mode == "job" or (run.build_mode == "auto" and needs_job):
        mode = "job"
    if run.build_mode == "nested" or (run.build_mode == "auto" and needs_job and has_cluster and takes_nested()):
        mode = "nested"
    if mode != "pod" and not has_cluster:
        wanted = "buildah may make no user namespace here" if needs_job else f"build_mode={mode} was asked for"
        return mode, Finding(about, "refusal", f"{wanted}, and there is no cluster to run a Job on", _WITHOUT_PRIVILEGE)
    if mode == "pod" and needs_job:
        return mode, Finding(
            about,
            "refusal",
            "buildah may make no user namespace in a pod here",
            f"{_WITHOUT_PRIVILEGE}, or build_mode=auto",
        )
    if run.builder == "buildah" and not builder.is_there() and not (mode != "pod" and run.job_image):
        remedy = f"Compile the pipeline for an image that has it (modelcar compile --image), or {_WITHOUT_PRIVILEGE}"
        return mode, Finding(about, "refusal", "there is no buildah in this image", remedy)
    if mode != "pod":
        kind = {"nested": "a Job, in a user namespace of its pod's own,", "job": "a privileged Job,"}[mode]
        return mode, Finding(about, "ok", f"in {kind} as the service account {run.job_service_account}")
    with_buildah = _uses_buildah(run, mode)
    return mode, Finding(about, "ok", f"in the step's own pod, {'by buildah' if with_buildah else 'without buildah'}")


def _uses_buildah(run: RunRequest, mode: BuildMode) -> bool:
    """Tells whether buildah will make the layers, as far as can be seen from here."""
    if run.streaming or run.builder not in builder.BUILDERS:
        return False
    return (mode != "pod" and run.builder != "direct") or builder.uses_buildah(run.builder)


def layer_copies(run: RunRequest, mode: BuildMode) -> int:
    """Tells how often the build will have a layer on the claim, besides its files.

    buildah writes a layer once before it sends it, and takes the files themselves by links; but a user of a pod's own
    user namespace may link no file whose owner is not mapped into that, as the download's is not.
    """
    if not _uses_buildah(run, mode):
        return 0
    return 2 if mode == "nested" else 1


_WITHOUT_PRIVILEGE = "Choose builder=direct, which needs no privilege and gives the same image"
