"""The cluster's network: one bridge between this host and its machines, routes to the pods, no address translation.

The host gets one network device and one route, both gone with the control machine. Pods reach servers of this host at
its address on the bridge.
"""

import contextlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.kubernetes import cgroups
from tests.kubernetes.machine import Machine, MachineError

_NUMBERS = range(200, 250)


@dataclass(frozen=True)
class Network:
    """Addresses below 10.<number>.

    Attributes:
        number: Which of this host's test clusters it is.
    """

    number: int

    @property
    def device(self) -> str:
        """The one network device that this host gets."""
        return f"modelcar{self.number}"

    @property
    def owner(self) -> str:
        """The folder of the control machine that has it; empty if none has."""
        # Even when its file is open the device may go, as it does some time after its machine.
        with contextlib.suppress(OSError):
            return Path("/sys/class/net", self.device, "ifalias").read_text().strip()
        return ""

    @property
    def everything(self) -> str:
        """The range that holds all others."""
        return f"10.{self.number}.0.0/16"

    @property
    def host(self) -> str:
        """This host, as pods and machines see it."""
        return f"10.{self.number}.0.1"

    @property
    def control(self) -> str:
        """The control machine, with the API server."""
        return f"10.{self.number}.0.2"

    @property
    def services(self) -> str:
        """The range of the services' addresses."""
        return f"10.{self.number}.255.0/24"

    @property
    def api_service(self) -> str:
        """The address of the service `kubernetes`: always the first of the range."""
        return f"10.{self.number}.255.1"

    def node(self, index: int) -> str:
        """A node's address, counted from 1."""
        return f"10.{self.number}.0.{10 + index}"

    def pods(self, index: int) -> str:
        """The range of a node's pods."""
        return f"10.{self.number}.{index}.0/24"


def connect_host(control: Machine) -> Network:
    """Makes the bridge in the control machine and connects this host with it.

    Raises:
        MachineError: All numbers are taken.
    """
    for number in _NUMBERS:
        with contextlib.suppress(MachineError):
            network = Network(number)
            # The kernel lets only one of several clusters that start at once have the name.
            _host("ip", "link", "add", network.device, "type", "veth", "peer", "host", "netns", str(control.pid))
            break
    else:
        raise MachineError(f"no network is free: {_NUMBERS.stop - _NUMBERS.start} test clusters are running")
    _host("ip", "link", "set", network.device, "alias", str(control.folder))
    # Left by a cluster that was killed.
    cgroups.remove(cgroups.root_of(number))
    control.run("ip", "link", "add", "bridge", "type", "bridge")
    control.run("ip", "address", "add", f"{network.control}/24", "dev", "bridge")
    # Without kube-proxy, the one service that pods need is an address of the machine that serves it.
    control.run("ip", "address", "add", f"{network.api_service}/32", "dev", "lo")
    _up(control, "host", "bridge")
    _host("ip", "address", "add", f"{network.host}/24", "dev", network.device)
    _host("ip", "link", "set", network.device, "up")
    _host("ip", "route", "add", network.everything, "via", network.control, "dev", network.device)
    control.run("ip", "link", "set", "host", "master", "bridge")
    control.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    return network


def disconnect_host(control: Machine, network: Network) -> None:
    """Takes the device and the control groups, which are named after the network, from this host.

    Args:
        control: The control machine; its nodes have been shut down, and it may have been killed.
        network: Its network, or another cluster's by now, which is left alone.
    """
    if network.owner in ("", str(control.folder)):
        cgroups.remove(cgroups.root_of(network.number))
    if network.owner == str(control.folder):
        # It would go with the machine, but only some time after it, and so may be gone now.
        with contextlib.suppress(MachineError):
            _host("ip", "link", "delete", network.device)


def connect_node(node: Machine, index: int, control: Machine, network: Network) -> None:
    """Connects a node's machine with the bridge.

    Args:
        node: The machine.
        index: Which of the nodes it is, counted from 1.
        control: The machine with the bridge.
        network: The addresses.
    """
    port = f"node{index}"
    peer = ["type", "veth", "peer", "name", "eth0", "netns", str(node.pid)]
    _host("nsenter", f"--target={control.pid}", "--net", "ip", "link", "add", port, *peer)
    _up(control, port)
    control.run("ip", "link", "set", port, "master", "bridge")
    control.run("ip", "route", "add", network.pods(index), "via", network.node(index))
    node.run("ip", "address", "add", f"{network.node(index)}/24", "dev", "eth0")
    _up(node, "eth0")
    node.run("ip", "route", "add", "default", "via", network.control)
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=1")


def _up(machine: Machine, *devices: str) -> None:
    for device in devices:
        machine.run("ip", "link", "set", device, "up")


def _host(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MachineError(f"{' '.join(command)} failed: {done.stderr.strip()}")
