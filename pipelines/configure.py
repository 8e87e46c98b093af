"""Configuration of the steps' tasks: node, disk, memory, claim and Secrets, for any pipeline.

For each step there is a function of its name, `download(task, claim)`, `build(task)`, which sets on its task all that
the step needs in a cluster. Secrets have the names that the pipelines give them; those that are not there are passed
over. What the functions are made of, such as `on_node` and `with_ephemeral_storage`, can be used by itself.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from kfp import kubernetes
from kfp.dsl import PipelineTask as Task
from kfp.dsl import pipeline_channel

from modelcar import pod

Value = Any
"""A pipeline parameter, or a task's output, or a constant."""

CLAIM, HF_TOKEN, SIGNING = "modelcar", "huggingface-token", "modelcar-signing-key"
TARGET, MIRROR = "modelcar-target-registry", "modelcar-mirror-registry"
MODEL_REGISTRY, SOURCE = "modelcar-model-registry", "modelcar-source"
"""The claim and the Secrets, as manifests/ has them and the pipelines' forms."""


def never_cached(task: Task, retries: int, hours: int) -> None:
    """Runs the task each time, for what it does is outside the pod; again after it failed; and never for ever."""
    task.set_caching_options(False)
    if retries:
        task.set_retry(num_retries=retries, backoff_duration="60s", backoff_factor=2.0, backoff_max_duration="600s")
    kubernetes.set_timeout(task, seconds=hours * 3600)


def on_claim(task: Task, claim: Value) -> None:
    """Mounts the claim that downloads and builds share."""
    kubernetes.mount_pvc(task, pvc_name=claim, mount_path=str(pod.CLAIM_MOUNT))


def on_node(task: Task, node_selector: Value, tolerations: Value) -> None:
    """Chooses nodes by their labels and taints."""
    kubernetes.add_node_selector_json(task, node_selector_json=node_selector)
    kubernetes.add_toleration_json(task, toleration_json=tolerations)


def with_resources(task: Task, cpu: Value, memory: Value) -> None:
    """Requests processors and memory."""
    task.set_cpu_request(cpu)
    task.set_memory_request(memory)
    _consumes(task, cpu, memory)


def with_ephemeral_storage(task: Task, size: Value) -> None:
    """Requests, and limits, the node's own disk.

    Neither kfp nor kfp-kubernetes can do so (https://github.com/kubeflow/pipelines/issues/11137). The backend writes
    what is called the accelerator into `resources.limits`, whatever it is called, and Kubernetes takes the limit for
    the request as well; so this is the accelerator. Such a task can have no GPU.
    """
    task.set_accelerator_type("ephemeral-storage")
    task.set_accelerator_limit(size)
    _consumes(task, size)


def _consumes(task: Task, *values: Value) -> None:
    """Says that a task's resources come from parameters or outputs, which kfp (2.17) forgets within a dsl.If."""
    task.register_pipeline_channels([value for value in values if isinstance(value, pipeline_channel.PipelineChannel)])


def with_registry_login(task: Task, name: str, secret: Value) -> None:
    """Mounts a registry's Secret (kubernetes.io/dockerconfigjson), if there is one of that name."""
    kubernetes.use_secret_as_volume(task, secret_name=secret, mount_path=f"{pod.SECRETS_MOUNT}/{name}", optional=True)


def with_token(task: Task, name: str, secret: Value, key: str, variable: str) -> None:
    """Mounts a Secret with a token, if there is one of that name, and says in a variable where its file is.

    Only from KFP 2.15 on may the Secret of a variable be absent; older ones refuse the pipeline that says so.
    """
    place = f"{pod.SECRETS_MOUNT}/{name}"
    kubernetes.use_secret_as_volume(task, secret_name=secret, mount_path=place, optional=True)
    task.set_env_variable(variable, f"{place}/{key}")


def with_hf_token(task: Task, secret: Value) -> None:
    """Gives the task a token for the Hub, at the place where huggingface_hub is told to look."""
    with_token(task, "huggingface", secret, "HF_TOKEN", pod.HF_TOKEN_FILE)


def with_source_login(task: Task, secret: Value) -> None:
    """Mounts a Secret with the login and the address of an S3 server, if there is one of that name."""
    kubernetes.use_secret_as_volume(task, secret_name=secret, mount_path=f"{pod.SECRETS_MOUNT}/source", optional=True)


def on_source_claim(task: Task, claim: Value) -> None:
    """Mounts the claim that holds the model itself, pvc://claim/folder, on a task that reads it."""
    kubernetes.mount_pvc(task, pvc_name=claim, mount_path=str(pod.SOURCE_CLAIM))


def with_model_registry_token(task: Task, secret: Value) -> None:
    """Gives the task a token for the Model Registry."""
    with_token(task, "model-registry", secret, "token", pod.MODEL_REGISTRY_TOKEN_FILE)


def with_signing_key(task: Task, secret: Value) -> None:
    """Mounts a Secret with a signing key, if there is one of that name; modelcar.attestation.keys looks there."""
    kubernetes.use_secret_as_volume(task, secret_name=secret, mount_path=f"{pod.SECRETS_MOUNT}/signing", optional=True)


def pulled_with(task: Task, secret: Value) -> None:
    """Names the Secret with which the nodes pull the task's own image."""
    kubernetes.set_image_pull_secrets(task, [secret])


def preflight(
    task: Task,
    hf_token_secret: Value = HF_TOKEN,
    target_secret: Value = TARGET,
    mirror_secret: Value = MIRROR,
    model_registry_secret: Value = MODEL_REGISTRY,
    signing_secret: Value = SIGNING,
    source_secret: Value = SOURCE,
) -> None:
    """All that a preflight step needs: with a key, it tells an image that is signed with it from one that is not."""
    task.set_display_name("Preflight")
    with_resources(task, "100m", "512Mi")
    with_hf_token(task, hf_token_secret)
    with_source_login(task, source_secret)
    with_registry_login(task, "target", target_secret)
    with_registry_login(task, "mirror", mirror_secret)
    with_model_registry_token(task, model_registry_secret)
    with_signing_key(task, signing_secret)
    # What it refuses it would refuse again, and a person would wait for that.
    never_cached(task, retries=0, hours=1)


_task_config_is_known = ContextVar("_task_config_is_known", default=True)


@contextmanager
def without_task_config() -> Iterator[None]:
    """Wires pipelines for backends that know no dsl.TaskConfig, such as OpenShift AI 2.25."""
    before = _task_config_is_known.set(False)
    try:
        yield
    finally:
        _task_config_is_known.reset(before)


@dataclass(frozen=True)
class BuildPlace:
    """Place of a build and what it reserves there, whether in its task's own pod or in a Job's.

    Attributes:
        claim: The claim with the download.
        node_selector: Labels of the nodes that may run it.
        tolerations: Taints that it may ignore.
        build_cpu: Processors.
        build_memory: Memory.
        build_ephemeral_storage: The node's own disk.
    """

    claim: Value
    node_selector: Value
    tolerations: Value
    build_cpu: Value
    build_memory: Value
    build_ephemeral_storage: Value

    def is_for(self, task: Task) -> None:
        """Sets all of it on a task, which keeps it for its own pod or hands it to its Job as dsl.TaskConfig."""
        on_claim(task, self.claim)
        on_node(task, self.node_selector, self.tolerations)
        with_resources(task, self.build_cpu, self.build_memory)
        with_ephemeral_storage(task, self.build_ephemeral_storage)

    def job_inputs(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """Returns a pipeline's parameters as those of a task that starts a Job.

        What is set on the task goes to its Job; only where the backend hands nothing over is it a parameter as well.
        """
        place = vars(self)
        others = {name: value for name, value in given.items() if name not in place}
        return others if _task_config_is_known.get() else {**others, **place}

    def is_for_job_of(self, task: Task) -> None:
        """Sets all of it on a task that starts a Job, where the backend hands it over."""
        if _task_config_is_known.get():
            self.is_for(task)


def build(task: Task, target_secret: Value = TARGET, signing_secret: Value = SIGNING) -> None:
    """All that a build needs wherever it runs."""
    task.set_display_name("Build and push")
    with_registry_login(task, "target", target_secret)
    with_signing_key(task, signing_secret)
    never_cached(task, retries=2, hours=12)


def download(
    task: Task, claim: Value = CLAIM, hf_token_secret: Value = HF_TOKEN, source_secret: Value = SOURCE
) -> None:
    """All that a download step needs."""
    task.set_display_name("Download")
    on_claim(task, claim)
    with_hf_token(task, hf_token_secret)
    with_source_login(task, source_secret)
    with_resources(task, "1", "1Gi")
    never_cached(task, retries=3, hours=12)


def stream(
    task: Task,
    hf_token_secret: Value = HF_TOKEN,
    target_secret: Value = TARGET,
    mirror_secret: Value = MIRROR,
    signing_secret: Value = SIGNING,
    source_secret: Value = SOURCE,
) -> None:
    """All that a stream step needs."""
    task.set_display_name("Stream")
    with_hf_token(task, hf_token_secret)
    with_source_login(task, source_secret)
    with_resources(task, "1", "512Mi")
    with_registry_login(task, "target", target_secret)
    with_registry_login(task, "mirror", mirror_secret)
    with_signing_key(task, signing_secret)
    never_cached(task, retries=3, hours=12)


def report(task: Task, target_secret: Value = TARGET, mirror_secret: Value = MIRROR) -> None:
    """All that a report step needs; it reads from the image how the model is served."""
    task.set_display_name("Report")
    with_resources(task, "100m", "256Mi")
    with_registry_login(task, "target", target_secret)
    with_registry_login(task, "mirror", mirror_secret)
    never_cached(task, retries=1, hours=1)


def mirror(task: Task, target_secret: Value = TARGET, mirror_secret: Value = MIRROR) -> None:
    """All that a mirror step needs."""
    task.set_display_name("Mirror")
    with_resources(task, "1", "512Mi")
    with_registry_login(task, "target", target_secret)
    with_registry_login(task, "mirror", mirror_secret)
    never_cached(task, retries=3, hours=12)


def register(
    task: Task,
    target_secret: Value = TARGET,
    mirror_secret: Value = MIRROR,
    model_registry_secret: Value = MODEL_REGISTRY,
) -> None:
    """All that a register step needs."""
    task.set_display_name("Register")
    with_resources(task, "100m", "512Mi")
    with_registry_login(task, "target", target_secret)
    with_registry_login(task, "mirror", mirror_secret)
    with_model_registry_token(task, model_registry_secret)
    never_cached(task, retries=3, hours=1)


def serve(task: Task, target_secret: Value = TARGET, mirror_secret: Value = MIRROR) -> None:
    """All that a serve step needs: the registries' logins, for the image says how it is served."""
    task.set_display_name("Serve")
    with_resources(task, "100m", "256Mi")
    with_registry_login(task, "target", target_secret)
    with_registry_login(task, "mirror", mirror_secret)
    never_cached(task, retries=1, hours=3)
