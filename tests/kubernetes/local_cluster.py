"""The whole cluster, kept in one folder: whoever has the folder can use, change and stop it."""

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kubernetes import client, config

from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.file_systems import FileSystems
from tests.kubernetes.image import IMAGE, TINY_IMAGE, write_archive
from tests.kubernetes.machine import Machine, MachineError
from tests.kubernetes.network import Network, connect_host, disconnect_host
from tests.kubernetes.node import Disk, Node
from tests.kubernetes.programs.build import programs

NODES = {
    # Evicts early, for the kubelet looks only every 10 s: the disk must not be full before it has seen it filling up.
    "small": Disk(3 << 30, evicts_below="1536Mi"),
    "large": Disk(16 << 30, evicts_below="10%"),
}
"""The nodes and the disks that hold their images, containers and emptyDirs."""

_RECORD = "cluster.json"
_READY_SECONDS = 600.0


class LocalCluster:
    """A cluster on this machine.

    Attributes:
        folder: Holds all its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.control = self._machine("control")

    @classmethod
    def of(cls, kubeconfig: Path) -> "LocalCluster | None":
        """The cluster whose administrator's login a file is; None if it is another cluster's."""
        folder = kubeconfig.resolve().parent.parent
        return cls(folder) if (folder / _RECORD).exists() else None

    @property
    def is_up(self) -> bool:
        """Whether it has been started and not stopped."""
        return (self.folder / _RECORD).exists() and self.control.is_up

    @property
    def kubeconfig(self) -> Path:
        """The administrator's login."""
        return self.plane.kubeconfig("admin")

    @property
    def host(self) -> str:
        """This machine's address as pods see it, for servers that tests start."""
        return self.network.host

    @property
    def image(self) -> str:
        """The image with Python, buildah and our code."""
        return IMAGE

    @property
    def network(self) -> Network:
        """The cluster's addresses."""
        return Network(json.loads((self.folder / _RECORD).read_text())["network"])

    @property
    def plane(self) -> ControlPlane:
        """The API server and what goes with it."""
        return ControlPlane(self.control, self.folder / "control-plane", self.network)

    @property
    def nodes(self) -> dict[str, Node]:
        """The nodes by name."""
        return {name: self._node(name, index) for index, name in enumerate(NODES, start=1)}

    @property
    def api(self) -> Any:
        """A client with the administrator's login."""
        settings: Any = client.Configuration()
        config.load_kube_config(str(self.kubeconfig), client_configuration=settings)
        return client.ApiClient(settings)

    def up(self, *, tied_to: int | None = None, say: Callable[[str], None] = print) -> None:
        """Starts everything but the pods' images, and returns when the nodes are ready.

        Args:
            tied_to: A pipe's end for reading; see Machine.boot.
            say: Is told what is being done.

        Raises:
            MachineError: It cannot be started; the folder with the logs is left.
        """
        if os.geteuid() != 0:
            raise MachineError("a cluster on this machine takes root: become root, or name a cluster with KUBECONFIG")
        self._link_programs()
        try:
            say("starting the control plane")
            self._start_control_plane(tied_to)
            for node in self.nodes.values():
                say(f"starting the node {node.name}")
                self._start_node(node, tied_to)
            self.wait_for_nodes()
        except BaseException:
            self.down(keep_logs=True)
            raise

    def down(self, *, keep_logs: bool = False) -> None:
        """Stops everything and removes what is left: control groups and the folder.

        Args:
            keep_logs: Leave the folder, to look for a failure's cause.

        Raises:
            MachineError: The folder is none of a cluster's.
        """
        if not self._programs.exists():
            raise MachineError(f"there is no cluster in {self.folder}")
        for name in NODES:
            self._machine(name).shut_down()
        if (self.folder / _RECORD).exists():
            disconnect_host(self.control, self.network)
        self.control.shut_down()
        if not keep_logs:
            shutil.rmtree(self.folder)

    def make_claim(self, namespace: str, name: str, size: int) -> None:
        """Makes a claim that is bound at once, with a file system of its own, which can thus be full.

        Args:
            namespace: The claim's namespace.
            name: The claim's name.
            size: Bytes of the file system.
        """
        volume = f"{namespace}-{name}"
        place = self._file_systems.make(volume, size)
        core = client.CoreV1Api(self.api)
        core.create_persistent_volume(_volume(volume, size, place, namespace, name))
        core.create_namespaced_persistent_volume_claim(namespace, _claim(name, size, volume))

    def remove_claim(self, namespace: str, name: str) -> None:
        """Removes a claim that `make_claim` made, with its volume; its pods have ended."""
        core = client.CoreV1Api(self.api)
        with contextlib.suppress(client.ApiException):
            core.delete_namespaced_persistent_volume_claim(name, namespace)
        core.delete_persistent_volume(f"{namespace}-{name}")
        self._file_systems.remove(f"{namespace}-{name}")

    def look_into(self, volume: str) -> Path:
        """A claim's file system as this host sees it.

        Args:
            volume: The claim's namespace and name, with a hyphen between them.
        """
        return self._file_systems.seen_from_host(volume)

    def wait_for_nodes(self) -> None:
        """Returns when all nodes are ready, and none is short of disk.

        Raises:
            MachineError: They are not, after a long while.
        """
        core = client.CoreV1Api(self.api)
        deadline = time.monotonic() + _READY_SECONDS
        while sum(_is_ready(node) for node in core.list_node().items if node.metadata.name in NODES) < len(NODES):
            if time.monotonic() > deadline:
                raise MachineError(f"a node is not ready: see the logs in {self.folder / 'machines'}")
            time.sleep(0.2)

    def load_images(self) -> None:
        """Puts the images into all nodes, with the code as it is now."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place, ThreadPoolExecutor() as threads:
            archive = write_archive(Path(place, "images.tar"))
            list(threads.map(lambda node: node.load(archive), self.nodes.values()))

    def bring_images_back(self) -> None:
        """Puts the images into nodes that lost them, so that a test does not depend on those before it."""
        # As long as a node is short of disk, its kubelet removes them again.
        self.wait_for_nodes()
        if any(node.lacks(IMAGE, TINY_IMAGE) for node in self.nodes.values()):
            self.load_images()

    @property
    def _file_systems(self) -> FileSystems:
        return FileSystems(self.control, self.folder / "claims")

    @property
    def _programs(self) -> Path:
        return self.folder / "programs"

    def _link_programs(self) -> None:
        if self.folder.exists():
            raise MachineError(
                f"{self.folder} exists: stop what is there (python -m tests.kubernetes down), or take another"
            )
        self._programs.mkdir(parents=True)
        for folder in programs():
            for program in folder.iterdir():
                (self._programs / program.name).symlink_to(program)

    def _start_control_plane(self, tied_to: int | None) -> None:
        self.control.boot(tied_to)
        self._file_systems.set_up()
        network = connect_host(self.control)
        (self.folder / _RECORD).write_text(json.dumps({"network": network.number}))
        self.plane.set_up(list(NODES))
        self.plane.start()

    def _start_node(self, node: Node, tied_to: int | None) -> None:
        node.machine.boot(tied_to, inside=self.control)
        node.set_up(NODES[node.name], self.plane)
        node.start_containerd()
        node.start_kubelet()

    def _node(self, name: str, index: int) -> Node:
        return Node(name, index, self._machine(name), self.folder / "nodes" / name)

    def _machine(self, name: str) -> Machine:
        return Machine(name, self.folder / "machines" / name, self._programs)


def _is_ready(node: Any) -> bool:
    states = {condition.type: condition.status for condition in node.status.conditions or ()}
    return states.get("Ready") == "True" and states.get("DiskPressure") != "True"


def _volume(name: str, size: int, place: Path, namespace: str, claim: str) -> Any:
    return {
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": str(size)},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": namespace, "name": claim},
            "hostPath": {"path": str(place), "type": "Directory"},
        },
    }


def _claim(name: str, size: int, volume: str) -> Any:
    return {
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "volumeName": volume,
            "resources": {"requests": {"storage": str(size)}},
        },
    }
