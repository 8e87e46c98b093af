"""Where a task runs and what it gets there: node, disk, memory, claim, secrets. One function each, for any pipeline."""

from typing import Any

from kfp import dsl, kubernetes

CLAIM_PATH = "/modelcar"
"""Where the claim is mounted; modelcar.claim expects it there."""

SECRETS_PATH = "/var/run/secrets/modelcar"
"""Where registry Secrets are mounted; modelcar.oci.credentials looks there."""

Task = dsl.PipelineTask
Value = Any
"""A pipeline parameter, or a task's output, or a constant."""


def never_cached(task: Task, retries: int, hours: int) -> None:
    """Runs the task each time, for what it does is outside the pod; again after a lost node; and never for ever."""
    task.set_caching_options(False)
    task.set_retry(num_retries=retries, backoff_duration="60s", backoff_factor=2.0, backoff_max_duration="600s")
    kubernetes.set_timeout(task, seconds=hours * 3600)


def on_claim(task: Task, claim: Value) -> None:
    """Mounts the claim that downloads and builds share."""
    kubernetes.mount_pvc(task, pvc_name=claim, mount_path=CLAIM_PATH)


def on_node(task: Task, node_selector: Value, tolerations: Value) -> None:
    """Chooses nodes by their labels and taints."""
    kubernetes.add_node_selector_json(task, node_selector_json=node_selector)
    kubernetes.add_toleration_json(task, toleration_json=tolerations)


def with_resources(task: Task, cpu: Value, memory: Value) -> None:
    """Requests processors and memory."""
    task.set_cpu_request(cpu)
    task.set_memory_request(memory)


def with_ephemeral_storage(task: Task, size: Value) -> None:
    """Requests, and limits, the node's own disk.

    Neither kfp nor kfp-kubernetes can do so (https://github.com/kubeflow/pipelines/issues/11137). The backend writes
    what is called the accelerator into `resources.limits`, whatever it is called, and Kubernetes takes the limit for
    the request as well; so this is the accelerator. Such a task can have no GPU.
    """
    task.set_accelerator_type("ephemeral-storage")
    task.set_accelerator_limit(size)


def with_registry_login(task: Task, name: str, secret: Value) -> None:
    """Mounts a registry's Secret (kubernetes.io/dockerconfigjson), if there is one of that name."""
    kubernetes.use_secret_as_volume(task, secret_name=secret, mount_path=f"{SECRETS_PATH}/{name}", optional=True)


def with_token(task: Task, secret: Value, key: str, variable: str) -> None:
    """Gives the task a Secret's value as an environment variable, if there is such a Secret."""
    kubernetes.use_secret_as_env(task, secret_name=secret, secret_key_to_env={key: variable}, optional=True)


def pulled_with(task: Task, secret: Value) -> None:
    """Names the Secret with which the nodes pull the task's own image."""
    kubernetes.set_image_pull_secrets(task, [secret])


def mirrors(task: Task, target_secret: Value, mirror_secret: Value) -> None:
    """All that a mirror step needs."""
    task.set_display_name("Mirror")
    with_resources(task, "1", "512Mi")
    with_registry_login(task, "target", target_secret)
    with_registry_login(task, "mirror", mirror_secret)
    never_cached(task, retries=3, hours=12)


def registers(task: Task, target_secret: Value, mirror_secret: Value, model_registry_secret: Value) -> None:
    """All that a register step needs."""
    task.set_display_name("Register")
    with_resources(task, "100m", "512Mi")
    with_registry_login(task, "target", target_secret)
    with_registry_login(task, "mirror", mirror_secret)
    with_token(task, model_registry_secret, "token", "MODEL_REGISTRY_TOKEN")
    never_cached(task, retries=3, hours=1)
