"""Tasks of a pipeline: each takes those of the pipeline's parameters that its component has."""

from collections.abc import Mapping
from typing import Any

from kfp import dsl


def task_of(component: Any, given: Mapping[str, Any], **more: Any) -> dsl.PipelineTask:
    """Makes a task of a component.

    Args:
        component: The component.
        given: The pipeline's parameters, by name: `dict(locals())`, as its first line. A dictionary of them that is a
            parameter itself does not survive kfp's compiler.
        **more: Inputs that the pipeline has no parameter for, and those that are not what the pipeline's are.
    """
    parameters = {name: given[name] for name in component.component_spec.inputs if name in given}
    return component(**{**parameters, **more})
