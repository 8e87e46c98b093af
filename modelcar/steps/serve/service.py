"""An InferenceService as it is applied, and put back if what it became does not work."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from modelcar.cluster.connection import Cluster, api_errors
from modelcar.serving.objects import NOT_FOUND, RIGHTS_REMEDY, Json, call, find_object

FIELD_MANAGER = "modelcar"
"""Name by which the API server tells our fields from others' (server-side apply)."""

UNDO_SECONDS = (0.5, 1.0)
"""Time-outs for what is put back on the way out: a step that is cancelled is killed after 0.2 to 1.0 s."""

_OURS_TO_KEEP = ("minReplicas", "maxReplicas")
"""Fields of a service that is there which a new image changes nothing about: somebody may have scaled it."""

_JSON_PATCH, _APPLY_PATCH = "application/json-patch+json", "application/apply-patch+yaml"


class Service:
    """An InferenceService, with its serving runtime where it brings one.

    Args:
        cluster: The cluster; the service is in its namespace.
        name: The service's name.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster, self.name = cluster, name

    def find(self) -> Json | None:
        """Returns the service as it is now; None if there is none.

        Raises:
            ClusterError: It may not be read, or there is no KServe.
        """
        return find_object(self._cluster, "InferenceService", self.name)

    @contextmanager
    def applied(self, objects: Sequence[Json]) -> Iterator[bool]:
        """Applies objects; if what follows fails or is cancelled, all is put back as it was.

        What was made is deleted then; a service that was there gets its specification back, so that its pods stay.

        Args:
            objects: The InferenceService and, before it, its ServingRuntime if there is none.

        Yields:
            Whether anything changed.

        Raises:
            ClusterError: The API server refused.
        """
        before = self.find()
        made: list[tuple[str, str]] = []
        try:
            changed = False
            for one in objects:
                kind, name = one["kind"], one["metadata"]["name"]
                there = before if kind == "InferenceService" else find_object(self._cluster, kind, name)
                if there is None:
                    made.append((kind, name))
                changed |= self._apply(_with_kept(one, there), there)
            yield changed
        except BaseException:
            self._put_back(before, made)
            raise

    def _apply(self, document: Json, there: Json | None) -> bool:
        kind, name = document["kind"], document["metadata"]["name"]
        with api_errors(f"apply the {kind} {name}", RIGHTS_REMEDY):
            query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
            done = call(self._cluster, "PATCH", kind, name, body=document, content=_APPLY_PATCH, query=query)
        return there is None or done["metadata"].get("generation") != there["metadata"].get("generation")

    def _put_back(self, before: Json | None, made: Sequence[tuple[str, str]]) -> None:
        for kind, name in reversed(made):
            with _told(f"the {kind} {name} is deleted again", f"oc delete {kind.lower()} {name}"):
                call(self._cluster, "DELETE", kind, name, timeout=UNDO_SECONDS)
        if before is not None:
            old = {"/spec": before["spec"]}
            old |= {f"/metadata/{part}": before["metadata"].get(part, {}) for part in ("labels", "annotations")}
            patch = [{"op": "add", "path": path, "value": value} for path, value in old.items()]
            with _told(f"the InferenceService {self.name} is as it was", f"oc edit inferenceservice {self.name}"):
                kind, content = "InferenceService", _JSON_PATCH
                call(self._cluster, "PATCH", kind, self.name, body=patch, content=content, timeout=UNDO_SECONDS)


@contextmanager
def _told(done: str, by_hand: str) -> Iterator[None]:
    """Says what was put back, or how to do it by hand: there is an error already, which is the one to raise."""
    import urllib3
    from kubernetes import client

    try:
        yield
        print(done, flush=True)
    except (client.ApiException, urllib3.exceptions.HTTPError, OSError) as error:
        if getattr(error, "status", 0) != NOT_FOUND:
            print(f"could not be put back ({type(error).__name__}), so by hand: {by_hand}", flush=True)


def _with_kept(document: Json, there: Mapping[str, Any] | None) -> Json:
    """A document with what somebody has set on the object that is there."""
    if there is None or document["kind"] != "InferenceService":
        return document
    now = there["spec"]["predictor"]
    predictor = {**document["spec"]["predictor"], **{key: now[key] for key in _OURS_TO_KEEP if key in now}}
    return {**document, "spec": {**document["spec"], "predictor": predictor}}
