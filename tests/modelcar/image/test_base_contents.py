"""What KServe will find in a base image, as the plan tells it."""

import subprocess
from pathlib import Path

import pytest

from modelcar.image.base_contents import BaseContents, examine_base
from modelcar.image.base_image import open_base_image
from modelcar.steps.preflight import checks
from modelcar.steps.preflight.request import RunRequest
from tests.kubernetes.image import Image, write_images
from tests.parts.base_images import push_base_image
from tests.parts.forged import Member, tar_of
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import plan


def push(registry: Registry, folder: Path, name: str, *names: str) -> str:
    archive = write_images(folder / f"{name}.tar", Image("base:1", [tar_of(*map(Member, names))]))
    target = f"{registry.host}/bases/{name}:1"
    command = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci-archive:{archive}"]
    subprocess.run([*command, f"docker://{target}"], check=True, capture_output=True)
    return target


def test_default_base_has_a_shell_and_no_entry_point() -> None:
    assert examine_base(open_base_image("")) == BaseContents(has_shell=True)


@pytest.mark.parametrize("names", [("bin/sh",), ("./usr/bin/sh", "etc/passwd")])
def test_shell_is_found_where_distributions_have_it(
    names: tuple[str, ...], plain_registry: Registry, tmp_path: Path
) -> None:
    base = push(plain_registry, tmp_path, f"shell-{len(names)}", *names)

    assert examine_base(open_base_image(base)) == BaseContents(has_shell=True)


def test_plan_warns_of_a_base_without_a_shell(plain_registry: Registry, hub: Hub, model: Path, tmp_path: Path) -> None:
    hub.publish("example/tiny-llama", model)
    without = push(plain_registry, tmp_path, "without", "usr/bin/serve")
    kserves = push_base_image(plain_registry, "bases/kserve:1", tmp_path)

    run = RunRequest(model="example/tiny-llama")
    for base in (without, kserves):
        planned = plan("example/tiny-llama", f"{plain_registry.host}/a/b:1", base_image=base)
        (found,) = checks.check_base(run, planned, None)

        assert found.verdict == "warning"
        assert found.what.startswith(f"{base} has no shell")
        assert "oci+native://" in found.what
    planned = plan("example/tiny-llama", f"{plain_registry.host}/a/b:1")
    assert list(checks.check_base(run, planned, None)) == []
