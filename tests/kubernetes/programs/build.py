"""The cluster's programs, built from Go modules that are pinned beside this file."""

import re
from pathlib import Path

from tests.parts.go_programs import go_programs

_SOURCE = Path(__file__).parent
_VERSION = "k8s.io/component-base/version"


def programs() -> list[Path]:
    """Builds the programs unless the cache has them, which takes some ten minutes on two cores.

    Returns:
        The folders that hold them: one for each set whose dependencies agree with each other.

    Raises:
        BuildError: There is no Go that is new enough, or Go failed.
    """
    kubernetes = _SOURCE / "kubernetes"
    return [
        go_programs("kubernetes", kubernetes, link=f"-s -w {_versions(kubernetes / 'go.mod')}"),
        go_programs("containerd", _SOURCE / "containerd"),
        # Debian's cannot map the ids of mounts, without which no pod gets a user namespace of its own.
        go_programs("runc", _SOURCE / "runc", flags=["-tags=seccomp"], cgo=True),
    ]


def kubectl_program() -> Path:
    """Builds kubectl unless the cache has it: Debian's is too old for the manifests.

    Returns:
        The program.

    Raises:
        BuildError: There is no Go that is new enough, or Go failed.
    """
    kubectl = _SOURCE / "kubectl"
    return go_programs("kubectl", kubectl, link=f"-s -w {_versions(kubectl / 'go.mod')}") / "kubectl"


def _versions(module: Path) -> str:
    # Kubernetes' programs say what version they are, and compare each other's: only the linker can tell them.
    found = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\S+)", module.read_text())
    assert found
    named = {"gitVersion": found[1], "gitMajor": found[2], "gitMinor": found[3]}
    return " ".join(f"-X {_VERSION}.{name}={value}" for name, value in named.items())
