"""The cluster's own certificate authorities, for a pod that Kubeflow's launcher does not start.

From release 2.15 on the launcher joins them to those of the step's image, in a temporary file that it names to the
step's process alone (backend/src/v2/component/launcher_v2.go). Another pod has the mounted ones, and has to join them
to its own image's.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

MOUNTED = PurePosixPath("/kfp/certs/ca.crt")
"""Place where Kubeflow Pipelines mounts them from release 2.15 on."""

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

# Where Debian's, Red Hat's and Alpine's images have theirs; $0 is the file with the cluster's.
_JOIN = """\
joined=$(mktemp)
for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
  if [ -r "$file" ]; then { cat "$file"; echo; } > "$joined"; break; fi
done
cat "$0" >> "$joined"
export SSL_CERT_FILE="$joined" REQUESTS_CA_BUNDLE="$joined"
exec "$@"
"""


def mounted_authorities(paths: Iterable[str]) -> dict[str, str]:
    """This process's variables that name certificates which another pod has as well.

    Args:
        paths: What is mounted there from the same volumes as here.
    """
    named = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    folders = tuple(paths)
    return {name: file for name, file in named.items() if any(PurePosixPath(file).is_relative_to(f) for f in folders)}


def trust_cluster_authorities(command: Sequence[str], paths: Iterable[str]) -> list[str]:
    """A command that trusts the cluster's authorities besides its image's own, if the launcher saw to that here.

    Args:
        command: What is run.
        paths: What is mounted in its pod from the same volumes as here.
    """
    folders = tuple(paths)
    by_launcher = "SSL_CERT_FILE" in os.environ and "SSL_CERT_FILE" not in mounted_authorities(folders)
    if by_launcher and str(MOUNTED.parent) in folders:
        return ["sh", "-ec", _JOIN, str(MOUNTED), *command]
    return list(command)
