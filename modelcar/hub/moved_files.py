"""Instructions to serve a model whose files lie elsewhere than where they were published."""

from collections.abc import Mapping

from modelcar.hub.serving import MOUNT, VERSIONED
from modelcar.hub.snapshot import Serving


def in_folder(serving: Serving, folder: str) -> Serving:
    """Tells how the same is served from a folder of /models, such as a version's number.

    Servers of versions (OpenVINO Model Server, Triton, TensorFlow Serving) are pointed at the folder above.
    """
    arguments = tuple(word.replace(MOUNT, f"{MOUNT}/{folder}") for word in serving.arguments)
    limits = tuple(limit for limit in serving.limits if VERSIONED not in limit)
    path = f"{folder}/{serving.path}" if serving.path and serving.limits == limits else serving.path
    return serving.model_copy(update={"arguments": arguments, "limits": limits, "path": path})


def renamed(serving: Serving, names: Mapping[str, str]) -> Serving:
    """Tells how the same is served where files have other names, such as those of their first parts.

    Args:
        serving: How it was served.
        names: New paths, by the old ones.
    """
    by_place = {f"{MOUNT}/{old}": f"{MOUNT}/{new}" for old, new in names.items()}
    arguments = tuple(by_place.get(word, word) for word in serving.arguments)
    return serving.model_copy(update={"arguments": arguments, "path": names.get(serving.path, serving.path)})
