"""Mounts of a step's pod, and the environment variables that we set or read there, each written once.

It is used as a module (`pod.SECRETS`), so that tests can replace its values.
"""

import os
from pathlib import Path

LOCAL_CLAIM = "MODELCAR_CLAIM"
"""Set where a run is on this machine: the directory that stands for the claim."""

CLAIM_MOUNT = Path("/modelcar")
"""Place where the pipelines mount the claim."""

CLAIM = Path(os.environ.get(LOCAL_CLAIM) or CLAIM_MOUNT)
"""Place where the claim is: mounted there in a pod; `modelcar run` names a directory of this machine instead."""

SOURCE_CLAIM = Path("/modelcar-source")
"""Place where a claim is mounted that holds the model itself (pvc://claim/folder); nothing else is ever there."""

SECRETS_MOUNT = Path("/var/run/secrets/modelcar")
"""Place where the pipelines mount Secrets, a folder each: target, mirror, huggingface, model-registry, signing."""

SECRETS = SECRETS_MOUNT
"""Place where the steps look for them."""

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Place where Kubernetes mounts the pod's own token, its project's name and the cluster's authority."""

TERMINATION_LOG = Path("/dev/termination-log")
"""Place where Kubernetes takes a container's last words from."""

LOCAL_TERMINATION_LOG = "MODELCAR_TERMINATION_LOG"
"""Set where a run is on this machine: the file that stands for it."""

TERMINAL = "MODELCAR_TERMINAL"
"""Names the terminal that shows the progress of a step, which is a process whose output kfp reads."""

CLEAR_LINE = "\r\x1b[2K"
"""Code that takes away what is on the terminal's line, such as a bar."""

HF_TOKEN_FILE = "HF_TOKEN_PATH"  # noqa: S105
"""Names a file with a token for the Hub; huggingface_hub's own."""

MODEL_REGISTRY_TOKEN_FILE = "MODEL_REGISTRY_TOKEN_PATH"  # noqa: S105
"""Names a file with a token for the Model Registry."""

POD_NAME = "KFP_POD_NAME"
"""The pod's name; Kubeflow sets it."""

SIGNING_KEY = "MODELCAR_SIGNING_KEY"
"""Names a file with a signing key, in place of the one in the mounted Secret."""

SIGSTORE = "MODELCAR_SIGSTORE"
"""Names a folder with a Sigstore's addresses and trusted root, in place of the mounted Secret."""

IDENTITY_TOKEN = Path("/var/run/sigstore/cosign/oidc-token")
"""Place where a projected volume gives a token for Sigstore; cosign's own."""

REQUIREMENTS = "MODELCAR_REQUIREMENTS"
"""Names the packages that a step's command installed, for a step that passes our code on; else unset."""

OPENSHIFT_REGISTRY = "image-registry.openshift-image-registry.svc"
"""The host of OpenShift's own registry, from within the cluster; the port is 5000."""


def home() -> Path:
    """Returns the user's own directory; a random user, as OpenShift gives them to pods, may have none."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")
