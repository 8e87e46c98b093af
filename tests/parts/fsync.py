"""Programs that do not wait for the disk: what tests write need not outlive a power cut."""

import ctypes

_CALLS = (b"fsync", b"fdatasync", b"sync_file_range", b"syncfs")
_ALLOW, _ANSWER_0 = 0x7FFF0000, 0x00050000
_SET_NO_NEW_PRIVILEGES = 3
"""Names of seccomp.h: SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(0), SCMP_FLTATR_CTL_NNP."""


def skip_fsync() -> None:
    """Has the kernel answer fsync at once, for this process and all that it starts from now on.

    Registries, databases and etcd wait for the disk at each small write, which also takes a tenth of the processors.
    Root alone may do that and still start programs with more rights, such as the newuidmap that buildah needs. For
    others, and where there is no libseccomp, nothing changes.
    """
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))
    for call in _CALLS:
        number = library.seccomp_syscall_resolve_name(call)
        library.seccomp_rule_add(rules, ctypes.c_uint32(_ANSWER_0), number, 0)
    library.seccomp_attr_set(rules, _SET_NO_NEW_PRIVILEGES, ctypes.c_uint32(0))
    library.seccomp_load(rules)
    library.seccomp_release(rules)
