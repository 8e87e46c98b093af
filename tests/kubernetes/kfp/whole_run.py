"""One run of the buildah pipeline the whole way, with mirror and register, for all tests that look at such a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.kfp.backend import Backend
from tests.kubernetes.kfp.runs import Pipeline, Run
from tests.kubernetes.kfp.surroundings import Surroundings
from tests.parts.models import tiny_llama

MODEL = "example/whole-way"
NODE_LABEL = "ai-build-node"
NODE = "large"
TAINT = {"key": "reserved", "operator": "Equal", "value": "builds", "effect": "NoSchedule"}
DISK = "1Gi"


@dataclass(frozen=True)
class EndedRun(Run):
    """A run that has ended, with its pods as they were then: with a node that is lost they are gone.

    Attributes:
        kept: The pods.
    """

    kept: tuple[Any, ...]

    def pods(self, task: str = "") -> list[Any]:
        """The pods of its tasks' own work; with a name, those of this task."""
        return [pod for pod in self.kept if task in ("", self._task_of(pod))]


@dataclass(frozen=True)
class WholeRun:
    """The run, and what it was started of.

    Attributes:
        pipeline: The pipeline, as it was uploaded.
        parameters: What a person filled in.
        run: The run, which has succeeded.
    """

    pipeline: Pipeline
    parameters: dict[str, Any]
    run: EndedRun


@contextmanager
def node_for_builds(backend: Backend) -> Iterator[str]:
    """Labels a node for builds, and takes the label off again."""
    core = backend.namespace.core
    core.patch_node(NODE, {"metadata": {"labels": {NODE_LABEL: "true"}}})
    try:
        yield NODE
    finally:
        core.patch_node(NODE, {"metadata": {"labels": {NODE_LABEL: None}}})


@pytest.fixture(scope="session")
def whole_run(
    kfp_backend: Backend,
    compiled_for_backend: Path,
    kfp_surroundings: Surroundings,
    tmp_path_factory: pytest.TempPathFactory,
) -> WholeRun:
    """Give a run of a small model to its good end. It must not be changed."""
    pipeline = Pipeline.upload(kfp_backend, compiled_for_backend / "model-to-registry.yaml", "Model to registry")
    kfp_surroundings.hub.publish(MODEL, tiny_llama(tmp_path_factory.mktemp("model") / "model"))
    parameters = {
        "model": MODEL,
        "target": f"{kfp_surroundings.target.host}/team/whole-way:1.0",
        "mirror_target": f"{kfp_surroundings.mirror.host}/models/whole-way:1.0",
        "model_registry": kfp_surroundings.entries.url,
        "node_selector": {NODE_LABEL: "true"},
        "tolerations": [TAINT],
        "build_ephemeral_storage": DISK,
    }
    with node_for_builds(kfp_backend):
        run = pipeline.start("whole-way", parameters).succeeds()
    return WholeRun(pipeline, parameters, EndedRun(run.backend, run.id, tuple(run.pods())))
