"""Components that need no image of ours: our code travels inside them, and the packages it needs are pinned."""

import inspect
import textwrap
from collections.abc import Callable
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

import kfp
from kfp import dsl
from kfp.dsl.pipeline_context import Pipeline
from kfp.dsl.python_component import PythonComponent

from modelcar.bootstrap.command import self_contained_command, sharing_command

BASE_IMAGE = "registry.access.redhat.com/ubi9/python-311:9.8-1779945715"
"""An image that has Python and pip, runs as any UID in group 0, needs no login and is not rate limited."""

VERTEX_IMAGE = "python:3.11.14"
"""kfp's default: Vertex AI pulls images from Artifact Registry and Docker Hub alone."""


class NeverCached(PythonComponent):  # type: ignore[misc]
    """A component whose tasks run each time, in anybody's pipeline: what it does is outside the pod.

    Kubeflow caches by a task's inputs. A branch that moved, an image that somebody removed or a claim that was emptied
    would not make it run again.
    """

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        """Makes a task, or runs the component where there is no pipeline around it."""
        task = super().__call__(*args, **inputs)
        return task.set_caching_options(False) if Pipeline.get_default_pipeline() is not None else task


class SelfContained(NeverCached):
    """A component that carries our code, which is packed when kfp first asks what the component is.

    Attributes:
        sharing: The same component without it, for pipelines that `compile_pipeline` gives the code of all their steps.
    """

    def __init__(self, component: PythonComponent, requirements: str) -> None:
        """Takes the component that kfp made, and the lines of a requirements.txt with all that its code needs."""
        super().__init__(component.component_spec, component.python_func)
        container = self.component_spec.implementation.container
        self._command, self._requirements = container.command, requirements
        container.command = sharing_command(self._command, requirements)
        self.sharing = NeverCached(self.component_spec, self.python_func)
        # What was read of it so far is the same with the code.
        del self.component_spec

    @cached_property
    def component_spec(self) -> Any:
        """The component's specification, with the code.

        Raises:
            BuildError: The code is too long to travel in a command.
        """
        spec = deepcopy(self.sharing.component_spec)
        code = textwrap.dedent(inspect.getsource(self.python_func))
        spec.implementation.container.command = self_contained_command(self._command, self._requirements, code)
        return spec


def self_contained(folder: str, base_image: str = BASE_IMAGE, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Makes a function a component that carries our code and its packages with it.

    Args:
        folder: `__file__` of the component; beside it lies requirements.txt, in which every package is pinned.
        base_image: The image that it runs in.
        **options: Passed on to `dsl.component`.
    """

    def wrap(function: Callable[..., Any]) -> Any:
        component = dsl.component(function, base_image=base_image, install_kfp_package=False, **options)
        return SelfContained(component, f"{_pinned(Path(folder).parent / 'requirements.txt')}\nkfp=={kfp.__version__}")

    return wrap


def _pinned(requirements: Path) -> str:
    lines = (line.split("#")[0].strip() for line in requirements.read_text().splitlines())
    return "\n".join(line for line in lines if line)
