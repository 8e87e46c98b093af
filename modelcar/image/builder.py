"""The builders of an image, and whether buildah may work in this pod."""

import os
import shutil
import subprocess
from pathlib import Path

from modelcar.errors import BuildError

BUILDERS = ("auto", "buildah", "direct")

_SYS_ADMIN = 1 << 21
"""CAP_SYS_ADMIN in the kernel's masks of capabilities."""


INSIDE_A_NAMESPACE = ("unshare", "--map-root-user")
"""Command that makes a user the root of a user namespace of its own. buildah does that itself as well, but only for
users that /etc/passwd knows, and OpenShift's random ones are not always there."""


def is_there() -> bool:
    """Tells whether this machine has buildah."""
    return shutil.which("buildah") is not None


def may_run_here() -> bool:
    """Tells whether buildah may work in this pod: as a privileged root, or as the root of a user namespace of its own.

    Needs no buildah. Whether a user namespace may be made is for the node to say (its seccomp profile, SELinux and
    `user.max_user_namespaces`), so a child process tries it.
    """
    if is_privileged():
        return True
    try:
        return subprocess.run([*INSIDE_A_NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def is_privileged() -> bool:
    """Tells whether buildah takes us for root: without CAP_SYS_ADMIN it makes a user namespace as well."""
    if os.geteuid() != 0:
        return False
    status = Path("/proc/self/status").read_text().splitlines()
    effective = next(line.split()[1] for line in status if line.startswith("CapEff:"))
    return bool(int(effective, 16) & _SYS_ADMIN)


def uses_buildah(builder: str) -> bool:
    """Chooses the builder: tells whether buildah makes the layers when the build runs in this pod.

    Args:
        builder: `buildah`, `direct` or `auto`: buildah where this image has it and the node lets it work.

    Raises:
        BuildError: There is no such builder.
    """
    if builder not in BUILDERS:
        raise BuildError(f"there is no builder {builder!r}", f"Choose one of {', '.join(BUILDERS)}")
    return builder == "buildah" or (builder == "auto" and is_there() and may_run_here())
