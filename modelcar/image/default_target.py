"""Default target of an image: OpenShift's own registry, in the project that the pipeline runs in."""

import re

from modelcar import pod
from modelcar.errors import UnsafeNameError
from modelcar.hub.snapshot import Snapshot
from modelcar.oci.reference import Reference

COMMIT_DIGITS = 12
_PORT = 5000


def target_for(snapshot: Snapshot) -> Reference:
    """The default target of a model: `image-registry.openshift-image-registry.svc:5000/<project>/<name>:<commit>`.

    Raises:
        UnsafeNameError: This is no pod, so there is no project.
    """
    namespace = pod.SERVICE_ACCOUNT / "namespace"
    if not namespace.is_file():
        raise UnsafeNameError("no target image was named", "Name one: --target registry/repository:tag")
    name = re.sub(r"[^a-z0-9]+", "-", snapshot.model.rpartition("/")[2].lower()).strip("-") or "model"
    project = namespace.read_text().strip()
    return Reference(f"{pod.OPENSHIFT_REGISTRY}:{_PORT}", f"{project}/{name}", snapshot.commit[:COMMIT_DIGITS])
