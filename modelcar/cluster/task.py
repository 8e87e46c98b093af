"""Settings of a pipeline's task for the pod that does its work, where that is not the task's own pod."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from modelcar import pod
from modelcar.errors import PlanError

Json = dict[str, Any]
"""A piece of a pod's specification, as Kubernetes writes it."""

_Model = TypeVar("_Model", bound="TaskConfig")

EPHEMERAL_STORAGE = "ephemeral-storage"


class TaskConfig(BaseModel):
    """A task's settings, in Kubernetes' own JSON. What was not set is empty.

    Attributes:
        resources: `requests` and `limits`.
        env: Environment variables.
        node_selector: Labels that the node must have.
        tolerations: Taints that the node may have.
        affinity: Further rules for the choice of the node.
        volumes: Volumes, the claim among them; each name once.
        volume_mounts: Where they are mounted; each path once.
    """

    model_config = ConfigDict(frozen=True, from_attributes=True)

    resources: Json = {}
    env: list[Json] = []
    node_selector: dict[str, str] = {}
    tolerations: list[Json] = []
    affinity: Json = {}
    volumes: list[Json] = []
    volume_mounts: list[Json] = []

    @field_validator("resources", "node_selector", "affinity", mode="before")
    @classmethod
    def _unset_is_empty(cls, value: object) -> object:
        return {} if value is None else value

    @field_validator("env", "tolerations", mode="before")
    @classmethod
    def _unset_is_none(cls, value: object) -> object:
        return [] if value is None else value

    @field_validator("volumes", mode="before")
    @classmethod
    def _each_volume_once(cls, value: Iterable[Json] | None) -> list[Json]:
        # A claim that is mounted at two paths comes as two volumes of one name, which the API server refuses.
        return list({volume["name"]: volume for volume in value or []}.values())

    @field_validator("volume_mounts", mode="before")
    @classmethod
    def _each_mount_once(cls, value: Iterable[Json] | None) -> list[Json]:
        return list({mount["mountPath"]: mount for mount in value or []}.values())

    @classmethod
    def from_task_config(cls: type[_Model], given: object) -> _Model:
        """Takes what the pipeline's backend filled in.

        Args:
            given: kfp's `dsl.TaskConfig`, or None where the backend knows none (OpenShift AI 2.25).
        """
        return cls() if given is None else cls.model_validate(given)

    @classmethod
    def from_parameters(
        cls: type[_Model],
        *,
        claim: str = "",
        node_selector: Mapping[str, str] | None = None,
        tolerations: Sequence[Json] = (),
        cpu: str = "",
        memory: str = "",
    ) -> _Model:
        """Makes the same of single settings, for backends without a TaskConfig.

        Args:
            claim: Name of the PersistentVolumeClaim; empty for none.
            node_selector: Labels that the node must have.
            tolerations: Taints that the node may have.
            cpu: Processors to request, such as `500m`; empty for no request.
            memory: Memory to request, such as `1Gi`; empty for no request.

        Raises:
            PlanError: A setting is not what Kubernetes takes.
        """
        requests = {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value}
        volume = {"name": claim, "persistentVolumeClaim": {"claimName": claim}}
        try:
            return cls(
                resources={"requests": requests} if requests else {},
                node_selector=dict(node_selector or {}),
                tolerations=list(tolerations),
                volumes=[volume] if claim else [],
                volume_mounts=[{"name": claim, "mountPath": str(pod.CLAIM)}] if claim else [],
            )
        except ValidationError as error:
            wrong = error.errors()[0]
            place = ".".join(str(part) for part in wrong["loc"])
            raise PlanError(
                f"{place} is {wrong['input']!r}, which Kubernetes does not take",
                'A node selector reads {"ai-build-node": "true"}, a toleration {"key": "infra", "operator": "Exists"}',
            ) from None

    def joined(self, other: "TaskConfig") -> "TaskConfig":
        """These settings, and of the other's those that are not set here."""
        env = {entry["name"]: entry for entry in [*other.env, *self.env]}
        mounted = {mount["mountPath"] for mount in self.volume_mounts}
        mounts = [mount for mount in other.volume_mounts if mount["mountPath"] not in mounted]
        needed = {mount["name"] for mount in mounts}
        volumes = [volume for volume in other.volumes if volume["name"] in needed]
        resources = {
            kind: {**other.resources.get(kind, {}), **self.resources.get(kind, {})} for kind in ("requests", "limits")
        }
        return TaskConfig(
            resources={kind: amounts for kind, amounts in resources.items() if amounts},
            env=list(env.values()),
            node_selector=self.node_selector or other.node_selector,
            tolerations=self.tolerations or other.tolerations,
            affinity=self.affinity or other.affinity,
            volumes=[*volumes, *self.volumes],
            volume_mounts=[*self.volume_mounts, *mounts],
        )

    def with_ephemeral_storage(self, size: str) -> "TaskConfig":
        """Requests and limits the node's own disk.

        Args:
            size: Such as `2Gi`; empty leaves what was set.
        """
        if not size:
            return self
        resources = {kind: {**self.resources.get(kind, {}), EPHEMERAL_STORAGE: size} for kind in ("requests", "limits")}
        return self.model_copy(update={"resources": {**self.resources, **resources}})
