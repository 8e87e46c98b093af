"""Our signatures as those who run images judge them: the policy.json of podman, skopeo and CRI-O, by skopeo itself."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from modelcar import pod
from modelcar.steps.mirror import mirror
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys
from tests.parts.skopeo import skopeo_program
from tests.parts.steps import stream

MODEL = "example/signed"

Admitted = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def admitted(tmp_path: Path) -> Admitted:
    """Give a function that copies an image where the policy demands the signature of a key, for some repository."""

    def copy(image: str, public_key: Path, signed_as: str = "") -> "subprocess.CompletedProcess[str]":
        scope = image.partition("@")[0]
        identity = {"type": "exactRepository", "dockerRepository": signed_as or scope}
        demanded = {"type": "sigstoreSigned", "keyPath": str(public_key), "signedIdentity": identity}
        policy, found = tmp_path / "policy.json", tmp_path / "registries.d"
        policy.write_text(json.dumps({"default": [{"type": "reject"}], "transports": {"docker": {scope: [demanded]}}}))
        found.mkdir(exist_ok=True)
        (found / "any.yaml").write_text(yaml.safe_dump({"default-docker": {"use-sigstore-attachments": True}}))
        command = [skopeo_program(), "--policy", policy, "--registries.d", found, "copy", "--src-tls-verify=false"]
        return subprocess.run(
            [*command, f"docker://{image}", f"dir:{tmp_path}/copy"],
            check=False,
            capture_output=True,
            text=True,
        )

    return copy


def test_an_image_and_its_mirror_are_admitted_by_our_key_and_by_no_other(
    hub: Hub,
    model: Path,
    plain_registry: Registry,
    admitted: Admitted,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    private, public = write_keys(tmp_path, "ours")
    _, foreign = write_keys(tmp_path, "foreign")
    hub.publish(MODEL, model)
    unsigned = stream(MODEL, f"{plain_registry.host}/policy/unsigned:1").image
    monkeypatch.setenv(pod.SIGNING_KEY, str(private))
    signed = stream(MODEL, f"{plain_registry.host}/policy/signed:1").image
    copied = mirror(str(signed), f"{plain_registry.host}/policy/mirror:1").image

    done = admitted(str(signed), public)
    # A signature names the repository that the image was made in, and goes to the mirror as it is.
    moved = admitted(str(copied), public, signed_as=f"{plain_registry.host}/policy/signed")

    assert done.returncode == 0, done.stderr
    assert moved.returncode == 0, moved.stderr
    assert "no signature exists" in admitted(str(unsigned), public).stderr
    assert "cryptographic signature verification failed" in admitted(str(signed), foreign).stderr
