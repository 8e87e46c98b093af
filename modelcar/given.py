"""Values made of a step's parameters, by the parameters' own names, so that nobody copies them one by one.

A component's first line is `given = dict(locals())`; below it the parameters travel as few values.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

Value = TypeVar("Value")


def value_of(kind: type[Value], given: Mapping[str, Any]) -> Value:
    """Makes a dataclass of those parameters that it has fields for; what was not given keeps its default."""
    names = (field.name for field in fields(kind))  # type: ignore[arg-type]
    return kind(**{name: given[name] for name in names if name in given})
