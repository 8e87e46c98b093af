"""The build step, in a Job: for a build that needs another pod than a pipeline's task may have.

This module is both ends of it: the step starts the Job and waits; in there, this module is the program that builds.
"""

import sys

from modelcar.cluster.connection import Cluster
from modelcar.cluster.executor import Executor
from modelcar.cluster.follow import follow_job
from modelcar.cluster.job import BUILD_PROGRAM, Privilege, Work
from modelcar.cluster.task import TaskConfig
from modelcar.errors import ClusterError
from modelcar.records.step_record import StepRecord, recorded
from modelcar.records.termination_message import exit_with_one_line
from modelcar.steps.build import BuildRequest, build

SERVICE_ACCOUNT = "modelcar-build"
"""Name in the manifests."""

DEADLINE_HOURS = 12
SCHEDULE_MINUTES = 30
STEP = "build"


def build_in_job(
    request: BuildRequest,
    task: TaskConfig,
    *,
    service_account: str = SERVICE_ACCOUNT,
    image: str = "",
    privilege: Privilege = "none",
    deadline_hours: float = DEADLINE_HOURS,
    schedule_minutes: float = SCHEDULE_MINUTES,
) -> StepRecord:
    """Has a Job build the image of a downloaded model and push it.

    Args:
        request: What to build.
        task: What was set on the task: the claim, node selector, tolerations, resources, …
        service_account: The service account of the Job's pod; for a privileged one it must be allowed to be that.
        image: The Job's image; empty for the image of this step.
        privilege: What the Job's container may do more than a step's: `nested` (user namespaces, in one of the pod's
            own) or `privileged`; buildah needs one of them where the nodes allow no user namespaces. With
            builder=direct nothing needs it.
        deadline_hours: How long the Job may take, waiting included.
        schedule_minutes: How long it may wait for a node.

    Returns:
        What it did: the image, the bytes that were sent, and what it took of the disks.

    Raises:
        ClusterError: There is no cluster, or it refused or ended the Job.
        ModelcarError: The build failed, in its own words.
    """
    cluster = Cluster.find()
    if cluster is None:
        raise ClusterError("a Job needs a cluster, and there is none here", "Choose build_mode=pod")
    work = Work(
        STEP,
        [*BUILD_PROGRAM, request.model_dump_json()],
        task,
        service_account,
        image,
        privilege,
        round(deadline_hours * 3600),
    )
    return follow_job(cluster, Executor.find(cluster), work, schedule_minutes * 60)


def main() -> None:
    """Builds, in the Job; what was done goes into the container's termination log, from where the step reads it."""
    request = BuildRequest.model_validate_json(sys.argv[1])
    with recorded(STEP) as record, exit_with_one_line():
        done = build(request)
        record.image, record.moved_bytes, record.unchanged = str(done.image), done.sent_bytes, done.unchanged


if __name__ == "__main__":
    main()
