"""Another account than the tests' own, as which a pod of the restricted profile runs."""

import os
import subprocess
from functools import cache

# As Kubernetes runs a pod of the restricted profile, and with a user that /etc/passwd does not know.
RESTRICTED = "setpriv --reuid 1000700000 --regid 0 --clear-groups --bounding-set -all --inh-caps -all --no-new-privs"
_READS_ALL = "-dac_override,-dac_read_search"
WITHOUT_RIGHTS = (
    ("setpriv", f"--bounding-set={_READS_ALL}", f"--inh-caps={_READS_ALL}", "--") if os.geteuid() == 0 else ()
)
"""Start of a command that may read and enter what its account may, and no more, be that root's."""

CLOSED = "another account cannot enter this folder, such as one in root's home"


@cache
def may_enter() -> bool:
    """Tell whether that account can reach the project's files."""
    return subprocess.run([*RESTRICTED.split(), "test", "-r", __file__], check=False).returncode == 0
