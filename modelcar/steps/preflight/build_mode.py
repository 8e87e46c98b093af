"""Where the build will run: with the least privilege that works."""

from modelcar.image import builder
from modelcar.steps.preflight.finding import Finding
from modelcar.steps.preflight.request import BuildMode, RunRequest


def choose_mode(run: RunRequest, *, has_cluster: bool) -> tuple[BuildMode, Finding]:
    """Where the build will run: with the least privilege that works.

    Builder `direct` needs none. buildah needs a user namespace; where the pod may not make one, it takes a privileged
    Job. What is true of this pod is taken to be true of the build's, which runs in the same namespace.
    """
    about = "build"
    usable = builder.may_run_here()
    needs_job = run.builder == "buildah" and not usable
    mode: BuildMode = "job" if run.build_mode == "job" or (run.build_mode == "auto" and needs_job) else "pod"
    if mode == "job" and not has_cluster:
        wanted = "buildah may make no user namespace here" if needs_job else "build_mode=job was asked for"
        return mode, Finding(about, "refusal", f"{wanted}, and there is no cluster to run a Job on", _WITHOUT_PRIVILEGE)
    if mode == "pod" and needs_job:
        return mode, Finding(
            about,
            "refusal",
            "buildah may make no user namespace in a pod here",
            f"{_WITHOUT_PRIVILEGE}, or build_mode=job",
        )
    if run.builder == "buildah" and not builder.is_there() and not (mode == "job" and run.job_image):
        remedy = f"Compile the pipeline for an image that has it (modelcar compile --image), or {_WITHOUT_PRIVILEGE}"
        return mode, Finding(about, "refusal", "there is no buildah in this image", remedy)
    if mode == "job":
        return mode, Finding(about, "ok", f"in a Job, as the service account {run.job_service_account}")
    with_buildah = uses_buildah(run, mode)
    return mode, Finding(about, "ok", f"in the step's own pod, {'by buildah' if with_buildah else 'without buildah'}")


def uses_buildah(run: RunRequest, mode: BuildMode) -> bool:
    """Whether buildah will make the layers, as far as can be told from here."""
    if run.streaming or run.builder not in builder.BUILDERS:
        return False
    return (mode == "job" and run.builder != "direct") or builder.uses_buildah(run.builder)


_WITHOUT_PRIVILEGE = "Choose builder=direct, which needs no privilege and gives the same image"
