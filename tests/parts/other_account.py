"""Another account than the tests' own, as which a pod of the restricted profile runs."""

import subprocess
from functools import cache

# As Kubernetes runs a pod of the restricted profile, and with a user that /etc/passwd does not know.
RESTRICTED = "setpriv --reuid 1000700000 --regid 0 --clear-groups --bounding-set -all --inh-caps -all --no-new-privs"
CLOSED = "another account cannot enter this folder, such as one in root's home"


@cache
def may_enter() -> bool:
    """Tell whether that account can reach the project's files."""
    return subprocess.run([*RESTRICTED.split(), "test", "-r", __file__], check=False).returncode == 0
