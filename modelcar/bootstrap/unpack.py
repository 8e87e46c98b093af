"""A program that unpacks our code in a pod before any of it is there; so it has the standard library alone.

It travels as text in a step's command. The code comes in the arguments, or stands in the run's Workflow, once for all
steps (`modelcar.pipelines.shared_code`).
"""

import base64
import hashlib
import http.client
import io
import os
import re
import ssl
import sys
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path

B85, OURS = "${}<>&", ",./:[]"
"""Letters of Python's base85, and those in their place: Kubernetes and Kubeflow replace $( and {{$, and JSON as Go
writes it has six letters for each of <, > and &."""

IN_RUN = "in-run:"
"""Mark, with an archive's digest after it, in the place of an archive that the run's Workflow holds; without a digest,
as long as the pipeline is not compiled."""

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PAUSES = 1.0, 2.0, 4.0, 8.0, 16.0
"""Seconds between the attempts to read the Workflow."""


class Unreadable(Exception):
    """The Workflow holds no code, or cannot be read, and trying again would not help."""


def main(place: str, count: str, *arguments: str) -> None:
    """Unpacks an archive into a folder.

    Args:
        place: The folder.
        count: How many of the arguments are the archive's text, in parts, or say where it is (`IN_RUN`).
        *arguments: They, and what is of no interest here.
    """
    text = "".join(arguments[: int(count)])
    if text == IN_RUN:
        sys.exit(
            "error: this pipeline was compiled without the code of its steps. Compile it with "
            "modelcar.pipelines.compilation.compile_pipeline"
        )
    if text.startswith(IN_RUN):
        text = archive_in_run(text.removeprefix(IN_RUN))
    archive = io.BytesIO(base64.b85decode(text.translate(str.maketrans(OURS, B85))))
    with tarfile.open(fileobj=archive, mode="r:bz2") as tar:
        # The first releases of Python 3.11 know no filters, and the archive is our own.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(place)  # noqa: S202


def archive_in_run(digest: str) -> str:
    """Returns the text of the archive that this pod's Workflow holds; ends the program with one line if it cannot."""
    for pause in (*PAUSES, None):
        try:
            return _found(digest, _workflow())
        except (OSError, http.client.HTTPException, Unreadable) as error:
            if pause is None or isinstance(error, Unreadable):
                sys.exit(
                    f"error: the steps' code stands in this run's Workflow, which cannot be read: {error}. "
                    "Let the steps' service account get workflows.argoproj.io, or compile with --image or --package"
                )
            time.sleep(pause)
    raise AssertionError("the last attempt ends the program")


def _found(digest: str, workflow: str) -> str:
    """Finds the archive, however deep it lies: none of its letters is changed where JSON is written into JSON."""
    parts = dict(re.findall(rf"{IN_RUN}{digest}:(\d+):([^\"\\]+)", workflow))
    text = "".join(parts[number] for number in sorted(parts, key=int))
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise Unreadable("it is not there as a whole")
    return text


def _workflow() -> str:
    """Returns the Workflow, as JSON. Its name is the start of the pod's; what follows differs from Argo to Argo."""
    words = os.environ.get("KFP_POD_NAME", "").split("-")
    for end in range(len(words) - 1, 0, -1):
        try:
            return _get("-".join(words[:end]))
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise Unreadable(f"the API server answers {error.code} ({error.reason})") from None
            if error.code != 404:
                raise
    raise Unreadable("none has a name that this pod's begins with")


def _get(name: str) -> str:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    namespace, token = ((ACCOUNT / file).read_text().strip() for file in ("namespace", "token"))
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows/{name}"
    request = urllib.request.Request(server + path, headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt")))
    # Whatever proxy leads out of the cluster does not lead to its API server.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), tls)
    with opener.open(request, timeout=60) as answer:
        return str(answer.read(), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
