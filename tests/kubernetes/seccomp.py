"""Seccomp profiles that the nodes offer to pods: clusters with and without user namespaces for ordinary containers."""

from typing import Any

_EPERM, _ENOSYS = 1, 38
_CLONE_NEWUSER = 0x10000000

USER_NAMESPACES_ALLOWED: dict[str, Any] = {"defaultAction": "SCMP_ACT_ALLOW"}

USER_NAMESPACES_FORBIDDEN: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"],
    "syscalls": [
        {
            "names": ["unshare", "clone"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": _EPERM,
            "args": [
                {"index": 0, "value": _CLONE_NEWUSER, "valueTwo": _CLONE_NEWUSER, "op": "SCMP_CMP_MASKED_EQ"},
            ],
        },
        # Its flags are in memory, where a filter cannot look; C libraries then fall back to clone.
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
    ],
}

PROFILES = {
    "user-namespaces-allowed": USER_NAMESPACES_ALLOWED,
    "user-namespaces-forbidden": USER_NAMESPACES_FORBIDDEN,
}
"""By the name to give as `localhostProfile`, with `.json` after it."""
