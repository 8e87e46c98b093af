"""etcd, the API server, the controllers and the scheduler."""

import secrets
import time
from pathlib import Path

import requests
import yaml

from tests.kubernetes.machine import Machine, MachineError
from tests.kubernetes.network import Network
from tests.parts.certificates import CertificateAuthority

START_SECONDS = 600.0
SILENT_NODE_SECONDS = 20
"""How long a node may be silent before it counts as lost: half the default, and still enough on a busy machine."""

_TOLERATED_SECONDS = 5
"""How long pods then stay bound to it; by default they do for five minutes."""

_ETCD = "http://127.0.0.1:2379"
_USERS = {
    "admin": ("kubernetes-admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
}


class ControlPlane:
    """The programs that make the cluster, all on one machine.

    Attributes:
        machine: Where they run.
        folder: Holds what they are set up with.
        network: The cluster's addresses.
    """

    def __init__(self, machine: Machine, folder: Path, network: Network) -> None:
        self.machine = machine
        self.folder = folder
        self.network = network

    @property
    def url(self) -> str:
        """The API server."""
        return f"https://{self.network.control}"

    def kubeconfig(self, user: str) -> Path:
        """The file with which a user logs in."""
        return self.folder / f"{user}.kubeconfig"

    def set_up(self, nodes: list[str]) -> None:
        """Makes the keys, and everybody's login.

        Args:
            nodes: The nodes' names, for their kubelets log in as well.
        """
        self.folder.mkdir(parents=True)
        authority = CertificateAuthority(self.folder)
        addresses = [self.network.control, self.network.api_service]
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        authority.issue("api-server", hosts=[*addresses, *names])
        authority.issue("service-accounts")
        users = _USERS | {node: (f"system:node:{node}", "system:nodes") for node in nodes}
        lines = []
        for login, (name, groups) in users.items():
            token = secrets.token_urlsafe()
            lines.append(f'{token},{name},{name},"{groups}"\n')
            self._write_kubeconfig(login, token, authority.cert_file)
        self._tokens.touch(mode=0o600)
        self._tokens.write_text("".join(lines))

    def start(self) -> None:
        """Starts all programs, and waits until the API server is ready."""
        urls = [f"--listen-client-urls={_ETCD}", f"--advertise-client-urls={_ETCD}"]
        data = [f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn"]
        # The package of etcd's program is named so.
        self.machine.start("etcd", ["server", *urls, *data])
        self.start_api_server()
        self._start_client(
            "controller-manager",
            f"--root-ca-file={self._authority}",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={self._key('service-accounts')}",
            f"--node-monitor-grace-period={SILENT_NODE_SECONDS}s",
            "--node-monitor-period=2s",
            # One node in ten seconds else: a test makes 500 that never were there, and who is lost then waits its turn.
            "--node-eviction-rate=100",
            "--secondary-node-eviction-rate=100",
        )
        self._start_client("scheduler")

    def start_api_server(self) -> None:
        """Starts the API server, and waits until it is ready.

        Raises:
            MachineError: It ended, or was not ready in time; with its log.
        """
        command = [
            "kube-apiserver",
            f"--etcd-servers={_ETCD}",
            f"--advertise-address={self.network.control}",
            "--secure-port=443",
            f"--service-cluster-ip-range={self.network.services}",
            f"--tls-cert-file={self.folder / 'api-server.crt'}",
            f"--tls-private-key-file={self._key('api-server')}",
            f"--token-auth-file={self._tokens}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            # What checks tokens from outside, as Fulcio does, asks the issuer for its keys.
            f"--service-account-issuer=https://{self.network.control}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder / 'service-accounts.crt'}",
            f"--service-account-signing-key-file={self._key('service-accounts')}",
            "--allow-privileged",
            f"--default-not-ready-toleration-seconds={_TOLERATED_SECONDS}",
            f"--default-unreachable-toleration-seconds={_TOLERATED_SECONDS}",
            "--kubelet-preferred-address-types=InternalIP",
        ]
        self.machine.start("api-server", command)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if time.monotonic() > deadline or not self.machine.is_running("api-server"):
                raise MachineError(
                    f"the API server is not ready:\n{self.machine.log('api-server').read_text()[-5000:]}"
                )
            time.sleep(0.1)

    def stop_api_server(self) -> None:
        """Stops the API server; the others wait for it."""
        # It would wait a minute for its clients to end their watches.
        self.machine.stop("api-server", seconds=1)

    @property
    def _authority(self) -> Path:
        return self.folder / "certs.d" / "ca.crt"

    @property
    def _tokens(self) -> Path:
        return self.folder / "tokens.csv"

    def _key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def _start_client(self, name: str, *options: str) -> None:
        self.machine.start(
            name, [f"kube-{name}", f"--kubeconfig={self.kubeconfig(name)}", "--leader-elect=false", *options]
        )

    def _write_kubeconfig(self, user: str, token: str, authority: Path) -> None:
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "test", "cluster": {"server": self.url, "certificate-authority": str(authority)}},
            ],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        self.kubeconfig(user).touch(mode=0o600)
        self.kubeconfig(user).write_text(yaml.safe_dump(content))

    def _is_ready(self) -> bool:
        login = yaml.safe_load(self.kubeconfig("admin").read_text())
        with requests.Session() as session:
            # The way leads through no proxy, whatever the environment says.
            session.trust_env = False
            session.headers["Authorization"] = f"Bearer {login['users'][0]['user']['token']}"
            try:
                return session.get(f"{self.url}/readyz", verify=str(self._authority), timeout=2).ok
            except requests.RequestException:
                return False
