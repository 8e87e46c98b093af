"""A node: a machine with a disk of a given size, containerd and a kubelet."""

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.kubernetes import cgroups
from tests.kubernetes.control_plane import SILENT_NODE_SECONDS, ControlPlane
from tests.kubernetes.file_systems import make_ext4
from tests.kubernetes.machine import Machine
from tests.kubernetes.network import connect_node
from tests.kubernetes.seccomp import PROFILES

_SOCKET = "/run/containerd/containerd.sock"
_STATS_SECONDS = 6
"""Seconds between two looks at what the disks hold; the defaults, 60 and 10, are too long for builds of seconds. Each
time containerd looks through the files of all containers that there were: at 2 s that took a fifth of the processor."""

SANDBOX_IMAGE = "localhost/tiny:test"


@dataclass(frozen=True)
class Disk:
    """A node's file system.

    Attributes:
        size: Bytes.
        evicts_below: When the kubelet evicts pods: what is free then, as a quantity or in percent.
    """

    size: int
    evicts_below: str


class Node:
    """A node of the cluster.

    Attributes:
        name: Its name in the cluster.
        index: Which of the nodes it is, counted from 1.
        machine: Where its programs run.
        folder: Holds its disk and what its programs are set up with.
    """

    def __init__(self, name: str, index: int, machine: Machine, folder: Path) -> None:
        self.name = name
        self.index = index
        self.machine = machine
        self.folder = folder

    def set_up(self, disk: Disk, plane: ControlPlane) -> None:
        """Makes the disk, the network and the programs' configuration.

        Args:
            disk: What holds images, containers, their logs and emptyDirs.
            plane: The cluster to join.
        """
        (self.folder / "cni").mkdir(parents=True)
        self._registries.mkdir()
        self._mount_disk(disk.size)
        connect_node(self.machine, self.index, plane.machine, plane.network)
        cgroups.create(self._cgroup(plane))
        (self.folder / "containerd.toml").write_text(
            _containerd(self.machine.programs, self.folder / "cni", self._registries)
        )
        (self.folder / "cni" / "pods.conflist").write_text(json.dumps(_cni(plane.network.pods(self.index))))
        (self.folder / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(self._cgroup(plane), disk.evicts_below)))
        profiles = self.machine.root / "var/lib/kubelet/seccomp"
        profiles.mkdir(parents=True)
        for name, profile in PROFILES.items():
            (profiles / f"{name}.json").write_text(json.dumps(profile))
        kubelet = [
            "kubelet",
            f"--config={self.folder / 'kubelet.yaml'}",
            f"--kubeconfig={plane.kubeconfig(self.name)}",
            f"--hostname-override={self.name}",
            f"--node-ip={plane.network.node(self.index)}",
        ]
        (self.folder / "kubelet.json").write_text(json.dumps(kubelet))

    def start_containerd(self) -> None:
        """Starts containerd, and waits until it answers."""
        self.machine.start("containerd", ["containerd", "--config", str(self.folder / "containerd.toml")])
        self.machine.run("timeout", "60", "sh", "-c", f"until ctr --address {_SOCKET} version; do sleep 0.1; done")

    def start_kubelet(self) -> None:
        """Starts the kubelet, which makes the node ready, or ready again."""
        self.machine.start("kubelet", json.loads((self.folder / "kubelet.json").read_text()))

    def stop_kubelet(self) -> None:
        """Stops the kubelet: the node is lost to the cluster, its containers go on."""
        self.machine.stop("kubelet")

    def lacks(self, *images: str) -> list[str]:
        """Tells which images are not there: after an eviction for want of disk, even pinned ones may be gone."""
        said = self.machine.run("ctr", "--address", _SOCKET, "--namespace", "k8s.io", "images", "list", "--quiet")
        return [image for image in images if image not in said.split()]

    def load(self, archive: Path) -> None:
        """Puts the images of an archive into the node, pinned: the kubelet is not to remove them to get room."""
        ctr = ["ctr", "--address", _SOCKET, "--namespace", "k8s.io", "images"]
        said = self.machine.run(*ctr, "import", "--digests=false", "--local", str(archive))
        names = [line.split()[0] for line in said.splitlines() if line.startswith("localhost/")]
        for name in names:
            self.machine.run(*ctr, "label", name, "io.cri-containerd.pinned=pinned")

    def trust(self, host: str, authority: Path) -> None:
        """Has containerd trust a registry, for pulls from now on.

        Args:
            host: The registry's host and port.
            authority: The certificate of who signed its own.
        """
        folder = self._registries / host
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "hosts.toml").write_text(f'server = "https://{host}"\n[host."https://{host}"]\nca = "{authority}"\n')

    @property
    def _registries(self) -> Path:
        return self.folder / "registries"

    def _mount_disk(self, size: int) -> None:
        image = self.folder / "disk.img"
        make_ext4(image, size)
        # The kubelet's and containerd's folders; nothing of this host's own is written, or even visible.
        self.machine.run("mount", "-o", "loop,discard", str(image), "/var/lib")
        self.machine.run("mkdir", "/var/lib/log")
        self.machine.run("mount", "--bind", "/var/lib/log", "/var/log")
        self.machine.run("mount", "-t", "tmpfs", "tmpfs", "/run")

    def _cgroup(self, plane: ControlPlane) -> str:
        return f"{cgroups.root_of(plane.network.number)}/{self.name}"


def _cni(pods: str) -> object:
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/cni",
    }
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": ipam}]}


def _containerd(plugins: Path, networks: Path, registries: Path) -> str:
    return f"""\
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
address = "{_SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"

[plugins."io.containerd.cri.v1.images"]
stats_collect_period = {_STATS_SECONDS}

[plugins."io.containerd.cri.v1.images".registry]
config_path = "{registries}"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{SANDBOX_IMAGE}"

[plugins."io.containerd.cri.v1.runtime"]
# Without CAP_SYS_RESOURCE nobody's score can be lowered, as happens where this machine is a container itself.
restrict_oom_score_adj = true
disable_apparmor = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{plugins}"]
conf_dir = "{networks}"
"""


def _kubelet(cgroup: str, evicts_below: str) -> object:
    return {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        # Its network holds this cluster and nothing else.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        "resolvConf": "",
        "seccompDefault": True,
        "evictionHard": {"nodefs.available": evicts_below, "memory.available": "100Mi"},
        # A node recovers as soon as it has room again: the next test needs it.
        "evictionPressureTransitionPeriod": "5s",
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "volumeStatsAggPeriod": f"{_STATS_SECONDS}s",
        "nodeStatusUpdateFrequency": "2s",
        # It is renewed four times as often.
        "nodeLeaseDurationSeconds": SILENT_NODE_SECONDS,
    }
