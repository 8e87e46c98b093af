"""The image of the pipelines: built twice from a base, held against itself, and tried as OpenShift would run it.

    make image BASE=registry.example/python-with-apt-or-dnf:3.11

Takes some minutes, a package index and the base's package server. $BUILDAH may have options, such as `--root`.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
TAGS = ("localhost/modelcar:once", "localhost/modelcar:twice")
ANY_USER = "1000890000:0"
"""As OpenShift chooses them: a user that no file of the image knows, in group 0."""

LIST = "from importlib.metadata import distributions as d; print(*(f'{x.name}=={x.version}' for x in d()), sep='\\n')"
TRIES = (
    "test ! -w / && test ! -w /opt/modelcar",
    # Nobody gets another's rights by it, and nobody alters it.
    'test -z "$(find /opt/modelcar ! -type l -perm /6002)"',
    "modelcar -V",
    "modelcar compile --output /tmp/compiled",
    "python3 -c 'import modelcar.steps.stream, modelcar.steps.build, modelcar.steps.preflight.preflight'",
    "buildah --version",
)


def main() -> None:
    """Builds twice, compares, and runs."""
    if len(sys.argv) != 2:
        sys.exit("name a base image with Python 3.11 and dnf or apt: make image BASE=…")
    for tag in TAGS:
        build(tag, sys.argv[1])
    once, twice = (digest_of(tag) for tag in TAGS)
    if once != twice:
        sys.exit(f"error: the same files gave {once} and {twice}")
    print(f"{once}, twice")
    print(f"{size_of(TAGS[0])}, of which the base has {size_of(sys.argv[1])}")
    compare_packages(try_as_any_user(TAGS[0]))
    print(
        "its packages are those of requirements/runtime.txt, which `make audit` asks about, and nothing that installs"
    )
    print(f"it runs as {ANY_USER} with a root that may not be written")


def build(tag: str, base: str) -> None:
    """Builds the image, with no layer of an earlier build."""
    options = shlex.split(os.environ.get("BUILD_OPTIONS", ""))
    buildah(
        "bud", "--no-cache", "--timestamp", "0", "--build-arg", f"BASE={base}", *options, "-t", tag, str(REPOSITORY)
    )


def digest_of(tag: str) -> str:
    """Returns the digest of an image's manifest."""
    return buildah("images", "--format", "{{.Digest}}", tag).split()[0]


def size_of(tag: str) -> str:
    """Returns the size of an image's layers, unpacked."""
    return buildah("images", "--format", "{{.Size}}", tag).strip()


def compare_packages(listed: str) -> None:
    """Holds the packages of the image against the locked ones."""
    lock = (REPOSITORY / "requirements" / "runtime.txt").read_text()
    wanted = {name(one) for one in re.findall(r"^([\w.-]+==[^\s;]+)", lock, re.MULTILINE)}
    found = {name(one) for one in listed.split() if "==" in one}
    missing, other = wanted - found, {one for one in found - wanted if not one.startswith("modelcar-pipelines==")}
    if missing - {one for one in missing if one.startswith(("setuptools==", "pip=="))} or other:
        sys.exit(f"error: it lacks {sorted(missing)}, and has {sorted(other)} besides")


def name(pinned: str) -> str:
    """Returns a package and its version as the index writes them."""
    return re.sub(r"[-_.]+", "-", pinned.partition("==")[0]).lower() + "==" + pinned.partition("==")[2]


def try_as_any_user(tag: str) -> str:
    """Runs what steps run, as any user, on a root that may not be written; gives what it says."""
    container = buildah("from", "--pull-never", tag).strip()
    try:
        place = shlex.quote(buildah("mount", container).strip())
        tries = " && ".join([*TRIES, f"python3 -c {shlex.quote(LIST)}"])
        inside = f"env -i PATH=/opt/modelcar/bin:/usr/bin:/bin HOME=/tmp sh -c {shlex.quote(f'cd /tmp && {tries}')}"
        mounts = (
            f"mount --bind {place} {place}",
            f"mount -o remount,bind,ro {place}",
            f"mount -t tmpfs tmpfs {place}/tmp -o mode=1777",
            f"mount --bind /proc {place}/proc",
            f"mount --bind /dev {place}/dev",
            f"chroot --userspec={ANY_USER} {place} {inside}",
        )
        # A mount namespace of its own: nothing is left mounted.
        command = ["unshare", "-m", "sh", "-ec", "\n".join(mounts)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    finally:
        buildah("rm", container)


def buildah(*arguments: str) -> str:
    """Runs buildah to its end."""
    command = [*shlex.split(os.environ.get("BUILDAH", "buildah")), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
