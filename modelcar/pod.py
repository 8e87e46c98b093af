"""Paths that are mounted into a step's pod, each written once."""

import os
from pathlib import Path

CLAIM = Path(os.environ.get("MODELCAR_CLAIM", "/modelcar"))
"""Where the claim is: mounted there in a pod; `modelcar run` names a directory of this machine instead."""

SECRETS = Path("/var/run/secrets/modelcar")
"""Where the pipelines mount registry Secrets (type kubernetes.io/dockerconfigjson), a folder each."""

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

OPENSHIFT_REGISTRY = "image-registry.openshift-image-registry.svc"
"""Its host, from within the cluster; the port is 5000."""


def home() -> Path:
    """Returns the user's own directory; a random user, as OpenShift gives them to pods, may have none."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")
