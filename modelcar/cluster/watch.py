"""Objects of the cluster as they are now and after each change, for as long as somebody wants to know."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import tenacity
import urllib3

from modelcar.cluster.connection import REQUEST_SECONDS, api_errors
from modelcar.errors import ClusterError

SECONDS_OF_A_WATCH = 240
"""Age at which the server ends a watch, and a new one begins: what lies between us may allow no longer one."""

PATIENCE_SECONDS = 900.0
"""Time that an API server may be away once it was there: upgrades restart each of a cluster's, one after the other."""

_SPARE_SECONDS = 30
_PAUSE_SECONDS = 1.0
_MAX_PAUSE_SECONDS = 15.0


def watched(call: Callable[..., Any], seconds: float = math.inf, /, **which: Any) -> Iterator[list[Any]]:
    """Yields all objects that a list call gives, at once and again after each change.

    It is a watch from the listed version on. Whatever ends it (the server's restart, a broken connection, a version
    that is gone, a token that was rotated), the objects are listed anew and watched from there, so that no change is
    missed and none is made up.

    Args:
        call: A list call of the client, such as `core.list_namespaced_pod`.
        seconds: Time after which it ends.
        **which: Its arguments: namespace and selectors.

    Raises:
        ClusterError: The first listing was refused, or the server is away for too long.
    """
    ends = time.monotonic() + seconds
    listed = _listed(call, which)
    while True:
        found = {each.metadata.uid: each for each in listed.items}
        yield list(found.values())
        for kind, each in _changes(call, which, listed.metadata.resource_version, ends - time.monotonic()):
            if kind == "DELETED":
                found.pop(each.metadata.uid, None)
            else:
                found[each.metadata.uid] = each
            yield list(found.values())
        if time.monotonic() > ends:
            return
        time.sleep(_PAUSE_SECONDS)
        listed = _listed_again(call, which)


def _changes(call: Callable[..., Any], which: dict[str, Any], version: str, left: float) -> Iterator[tuple[str, Any]]:
    """Yields what happens from a version on, until something ends the watch, or the time that is left."""
    from kubernetes import client, watch

    # The server takes whole seconds, and 0 for as long as it likes.
    age = max(math.ceil(min(SECONDS_OF_A_WATCH, left)), 1)
    timeout = (REQUEST_SECONDS[0], age + _SPARE_SECONDS)
    with suppress(client.ApiException, urllib3.exceptions.HTTPError, OSError):
        stream: Any = watch.Watch().stream(
            call, resource_version=version, timeout_seconds=age, _request_timeout=timeout, **which
        )
        for event in stream:
            yield event["type"], event["object"]


def _listed(call: Callable[..., Any], which: dict[str, Any]) -> Any:
    with api_errors(f"say how the Job is doing ({call.__name__.replace('_', ' ')})"):
        return call(_request_timeout=REQUEST_SECONDS, **which)


# A server that starts refuses what it will allow in a moment: it has not read the roles yet.
_listed_again = tenacity.retry(
    retry=tenacity.retry_if_exception_type(ClusterError),
    wait=tenacity.wait_random_exponential(multiplier=_PAUSE_SECONDS, max=_MAX_PAUSE_SECONDS),
    stop=tenacity.stop_after_delay(PATIENCE_SECONDS),
    reraise=True,
)(_listed)
