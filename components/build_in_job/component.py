"""Build the image of a downloaded model in a Job and push it."""

from typing import Any, Dict, List, NamedTuple

from kfp import dsl

from modelcar.components.self_contained import self_contained


@self_contained(
    __file__,
    # All that is set on this task goes to the Job, so that no node reserves it twice and a ReadWriteOnce claim is where
    # the build is. Variables stay on both, for proxies are named in them.
    task_config_passthroughs=[
        dsl.TaskConfigField.RESOURCES,
        dsl.TaskConfigPassthrough(field=dsl.TaskConfigField.ENV, apply_to_task=True),
        dsl.TaskConfigField.KUBERNETES_AFFINITY,
        dsl.TaskConfigField.KUBERNETES_TOLERATIONS,
        dsl.TaskConfigField.KUBERNETES_NODE_SELECTOR,
        dsl.TaskConfigField.KUBERNETES_VOLUMES,
    ],
)
def build_in_job(
    directory: str,
    target: str = "",
    base_image: str = "",
    allow_base_models: bool = False,
    builder: str = "auto",
    max_layer_size: int = 20_000_000_000,
    reshard: bool = False,
    if_exists: str = "update",
    record_digest: str = "",
    job_service_account: str = "modelcar-build",
    job_image: str = "",
    build_mode: str = "",
    build_ephemeral_storage: str = "",
    deadline_hours: float = 12.0,
    schedule_minutes: float = 30.0,
    claim: str = "",
    node_selector: Dict[str, str] = {},
    tolerations: List[Dict[str, Any]] = [],
    build_cpu: str = "",
    build_memory: str = "",
    task_config: dsl.TaskConfig = None,
) -> NamedTuple("Outputs", [("image", str), ("sent_bytes", int), ("unchanged", bool)]):
    """Build an OCI image (a KServe modelcar) of a downloaded model in a Job of its own and push it.

    For buildah on nodes that allow no user namespaces: a Job's pod can be given what a pipeline task's cannot. The
    image is the same as that of the build step, to the digest. The Job's log follows into this step's; a step that is
    tried again goes on with the Job that runs already.

    Args:
        directory: Directory on the claim that holds a finished download.
        target: Image to write, registry/repository:tag. Empty: OpenShift's own registry, in the run's own project.
        base_image: Image under the model; empty for the small one that KServe's modelcars need.
        allow_base_models: Also take a base image that holds /models itself, which is refused otherwise: what it has
            there is served with the model.
        builder: buildah, direct (streams the files into the registry, without buildah and scratch space), or auto:
            buildah where the Job's image has it and the node lets it work, else direct.
        max_layer_size: Largest layer that the registry takes, in bytes. Quay's default limit is 20000000000.
        reshard: Cut safetensors and GGUF files that are larger than that into files that are not, tensor by tensor.
            Such a file is read twice.
        if_exists: What happens to a tag that holds something else already: update (a tag with the same model moves, any
            other is refused), replace (it moves whatever it holds) or refuse.
        record_digest: The download's output of that name: the build goes by no other record on the claim. Empty: it
            goes by the one that is there, whoever wrote it, and says so; a build with a signing key refuses that.
        job_service_account: Service account of the Job's pod; it must be allowed what build_mode asks for.
        job_image: Image of the Job's pod. Empty: this step's own.
        build_mode: What the Job may do more than a step, which only buildah can need: nested (user namespaces, in one
            of the pod's own: OpenShift's SCC nested-container, from 4.20 on) or job (it is privileged). Empty: nothing.
        build_ephemeral_storage: Node disk that the Job requests and may use, such as 2Gi. Empty: as set on the task.
        deadline_hours: Hours after which the Job is ended, waiting for a node included.
        schedule_minutes: Minutes that the Job may wait for a node.
        claim: PersistentVolumeClaim of the download. Empty: the volumes that are set on the task.
        node_selector: Labels, as a JSON object, of the nodes that may run the Job. Empty: as set on the task.
        tolerations: Taints, as a JSON list of tolerations, that the Job may ignore. Empty: as set on the task.
        build_cpu: Processors that the Job requests, such as 500m. Empty: as set on the task.
        build_memory: Memory that the Job requests, such as 1Gi. Empty: as set on the task.
        task_config: Filled in by the pipeline's backend: what is set on this task. OpenShift AI 2.25 has none.

    Returns:
        image: The image, pinned to its digest.
        sent_bytes: Bytes of layers that were sent; the registry had the rest.
        unchanged: Whether the target already held this very image.
    """
    given = dict(locals())

    from collections import namedtuple

    from modelcar.cluster.task import TaskConfig
    from modelcar.records.step_record import recorded
    from modelcar.records.termination_message import exit_with_one_line
    from modelcar.steps.build import BuildRequest
    from modelcar.steps.build_in_job import build_in_job as run_build_in_job

    with recorded("build") as record, exit_with_one_line():
        named = TaskConfig.from_parameters(
            claim=claim, node_selector=node_selector, tolerations=tolerations, cpu=build_cpu, memory=build_memory
        )
        task = named.joined(TaskConfig.from_task_config(task_config))
        done = run_build_in_job(
            BuildRequest.of(given),
            task.with_ephemeral_storage(build_ephemeral_storage),
            service_account=job_service_account,
            image=job_image,
            privilege={"nested": "nested", "job": "privileged"}.get(build_mode, "none"),
            deadline_hours=deadline_hours,
            schedule_minutes=schedule_minutes,
        )
        record.adopt(done)
    outputs = namedtuple("Outputs", ["image", "sent_bytes", "unchanged"])
    return outputs(done.image, done.moved_bytes, done.unchanged)
