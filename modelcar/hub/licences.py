"""Licences of model cards as SPDX expressions.

See https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions.
"""

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from license_expression import Licensing

_HUB_NAMES = {
    "odbl": "ODbL-1.0",
    "pddl": "PDDL-1.0",
    "lgpl-lr": "LGPLLR",
    "gfdl": "GFDL-1.3-or-later",
    "bigscience-openrail-m": "LicenseRef-BigScience-Open-RAIL-M",
    "bigscience-bloom-rail-1.0": "LicenseRef-BigScience-BLOOM-RAIL-1.0",
    "bigcode-openrail-m": "LicenseRef-BigCode-Open-RAIL-M",
    "creativeml-openrail-m": "LicenseRef-CreativeML-Open-RAIL-M",
    "openrail": "LicenseRef-OpenRAIL",
    "openrail++": "LicenseRef-CreativeML-Open-RAIL-plus-plus-M",
}
"""Licences of https://huggingface.co/docs/hub/repositories-licenses that SPDX writes otherwise, or not at all."""

_UNSAID = ("", "unknown", "none", "null")


def spdx_expression(licence: Any, name: Any = "") -> str:
    """Writes a model card's licence as an SPDX expression; empty if the card names none.

    Args:
        licence: The card's `license`: a name, or a list of names that all apply.
        name: Its `license_name`, which stands for `other`.
    """
    listed = licence if isinstance(licence, list | tuple) else [licence]
    found = []
    for one in listed:
        written = _one(one, name)
        if written and written not in found:
            found.append(written)
    if len(found) > 1:
        return " AND ".join(f"({one})" if " OR " in one else one for one in found)
    return found[0] if found else ""


def _one(licence: Any, name: Any) -> str:
    from license_expression import ExpressionError

    word = str(licence).strip() if isinstance(licence, str) else ""
    if word.lower() == "other":
        word = str(name).strip() if isinstance(name, str) and name.strip() else "other"
    if word.lower() in _UNSAID:
        return ""
    if word.lower() in _HUB_NAMES:
        return _HUB_NAMES[word.lower()]
    try:
        return str(_licensing().parse(word, validate=True, strict=True))
    except (ExpressionError, ValueError, TypeError):
        return "LicenseRef-" + re.sub(r"[^A-Za-z0-9.]+", "-", word).strip("-")[:200] if re.search(r"\w", word) else ""


@cache
def _licensing() -> "Licensing":
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()
