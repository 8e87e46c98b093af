"""The failure that this project is made against, and that it does not happen to our build on the very same node."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.pods import CLAIM_PATH, pod
from tests.kubernetes.scripts import BUILD, DOWNLOAD
from tests.kubernetes.stats import watching_disk
from tests.kubernetes.waiting import until
from tests.parts.hub import Hub
from tests.parts.models import tiny_llama
from tests.parts.registries import BasicAuthRegistry

MODEL = "example/large-llama"
SHARDS, SHARD_BYTES = 16, 11_500_000
"""A plain build keeps eight and a half times as much: more than the small node may use, and less than it has."""

NODE_BYTES_ALLOWED = 16 << 20
COUNTED_BYTES = 1 << 20
"""The kubelet tells what a pod used only if it has counted it before it evicts it, so the build begins after that."""

HELD_BYTES = 1 << 30
"""Free bytes at which the build is held: half a GiB below the small node's threshold, and far from a full disk."""

# With vfs, as the request's last attempt had it: each layer holds all that is below it once more, and stays until the
# container ends. A large model's build takes minutes, in which the kubelet looks. This one takes seconds, and so it
# waits for the kubelet: until it is counted, and where it has taken enough of the disk to be evicted, but not all. The
# kubelet first removes what no pod uses, such as images, and evicts none if that is enough: then the build goes on.
PLAIN_BUILD = """
import os, pathlib, signal, subprocess, sys, time

directory, image, counted_bytes, held_bytes, signal_file = sys.argv[1:]
os.chdir(directory)
copies = [f"COPY {file} /models/" for file in sorted(pathlib.Path().glob("*.safetensors"))]
pathlib.Path("/tmp/Containerfile").write_text("\\n".join(["FROM scratch", *copies]))
pathlib.Path("/tmp/counted").write_bytes(bytes(int(counted_bytes)))
while not os.path.exists(signal_file):
    time.sleep(0.2)
buildah = ["buildah", "--storage-driver", "vfs"]
how = ["--layers", "--isolation", "chroot", "--format", "oci", "-f", "/tmp/Containerfile"]
build = subprocess.Popen([*buildah, "bud", *how, "-t", image, "."])
while build.poll() is None:
    disk = os.statvfs("/")
    is_held = disk.f_bavail * disk.f_frsize < int(held_bytes)
    build.send_signal(signal.SIGSTOP if is_held else signal.SIGCONT)
    time.sleep(0.1)
if build.returncode:
    sys.exit(build.returncode)
login = ["--authfile", "/var/run/secrets/modelcar/registry/.dockerconfigjson"]
subprocess.run([*buildah, "push", *login, image], check=True)
time.sleep(600)
"""


@pytest.fixture
def downloaded(
    namespace: Namespace, local_cluster: LocalCluster, pod_hub: Hub, pod_registry: BasicAuthRegistry, tmp_path: Path
) -> Iterator[str]:
    """Give the directory of a model on the claim `models`, downloaded by a pod."""
    namespace.login("registry", pod_registry)
    folder = tiny_llama(tmp_path / "model", shards=SHARDS, bytes_per_shard=SHARD_BYTES, consolidated=False)
    pod_hub.publish(MODEL, folder)
    with namespace.claim("models", 2 * SHARDS * SHARD_BYTES):
        command = ["python3", "-c", DOWNLOAD, MODEL, CLAIM_PATH]
        env = {"HF_ENDPOINT": pod_hub.url}
        manifest = pod("download", command, local_cluster.image, node="large", claim="models", env=env)
        yield namespace.run(manifest).splitlines()[-1]


def test_a_plain_build_is_evicted_from_the_small_node(
    downloaded: str, namespace: Namespace, local_cluster: LocalCluster, pod_registry: BasicAuthRegistry
) -> None:
    image = f"{pod_registry.host}/team/plain:1"
    arguments = [downloaded, image, str(COUNTED_BYTES), str(HELD_BYTES), f"{CLAIM_PATH}/counted"]
    manifest = pod(
        "plain",
        ["python3", "-c", PLAIN_BUILD, *arguments],
        local_cluster.image,
        node="small",
        user=0,
        privileged=True,
        claim="models",
        logins=["registry"],
    )
    namespace.create(manifest)

    with watching_disk(local_cluster.api, "small", namespace.name, "plain") as peak:
        until(lambda: peak.used_bytes >= COUNTED_BYTES, lambda: namespace.told("plain"))
        (local_cluster.look_into(f"{namespace.name}-models") / "counted").touch()
        status = namespace.finished("plain").status

    assert status.phase == "Failed", namespace.told("plain")
    assert status.reason == "Evicted", namespace.told("plain")
    assert status.message.startswith("The node was low on resource: ephemeral-storage. Threshold quantity: ")
    assert "Container main was using " in status.message
    assert "request is 0, has larger consumption of ephemeral-storage." in status.message
    assert peak.used_bytes > SHARDS * SHARD_BYTES


def test_our_build_of_the_same_model_leaves_the_same_node_alone(
    downloaded: str, namespace: Namespace, local_cluster: LocalCluster, pod_registry: BasicAuthRegistry
) -> None:
    command = ["python3", "-c", BUILD, downloaded, f"{pod_registry.host}/team/ours:1", "buildah"]
    manifest = pod("ours", command, local_cluster.image, node="small", claim="models", logins=["registry"])
    namespace.create(manifest)

    with watching_disk(local_cluster.api, "small", namespace.name, "ours") as peak:
        status = namespace.finished("ours").status

    assert status.phase == "Succeeded", namespace.told("ours")
    assert namespace.log("ours").splitlines()[-1].startswith(f"{pod_registry.host}/team/ours@sha256:")
    assert peak.looks >= 2
    assert 0 < peak.used_bytes < NODE_BYTES_ALLOWED
