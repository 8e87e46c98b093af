"""The whole backend: databases, servers and controllers on the control machine, driver and launcher in pods."""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kubernetes import client, utils

from tests.kubernetes.kfp import admission, api_server, controllers, database, metadata, object_store, objects
from tests.kubernetes.kfp.image import IMAGE, write_archive
from tests.kubernetes.kfp.programs import pipelines_programs
from tests.kubernetes.local_cluster import LocalCluster
from tests.kubernetes.namespace import Namespace

PROJECT = "modelcar"
"""The namespace that it serves, of the name that manifests/ have."""

_PROCESSES = (
    controllers.PERSISTENCE,
    controllers.SCHEDULES,
    controllers.WORKFLOWS,
    "ml-pipeline",
    "metadata",
    "object-store",
    "mariadb",
)
_TOKENS = Path("run", "secrets", "kubeflow", "tokens")
_TOKEN_SECONDS = 86400


class Backend:
    """Kubeflow Pipelines on a cluster of this machine, for one project, without users.

    Attributes:
        cluster: The cluster.
        namespace: The project, where all runs have their pods.
    """

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.namespace = Namespace(PROJECT, cluster)
        self._machine = cluster.control
        self._folder = cluster.folder / "kfp"

    @property
    def url(self) -> str:
        """The API, for clients on this host and in pods."""
        return f"http://{objects.addresses(self.cluster.network)['ml-pipeline']}:{api_server.HTTP_PORT}"

    @property
    def compiled_for(self) -> str:
        """What pipelines are compiled for (`modelcar compile --for`): the pinned release has no dsl.TaskConfig yet."""
        return "rhoai-2.25"

    @property
    def is_up(self) -> bool:
        """Whether it was started and not stopped."""
        return self._folder.exists()

    def up(self, say: Callable[[str], None] = print) -> None:
        """Starts everything, and returns when the API answers.

        Args:
            say: Is told what is being done.

        Raises:
            MachineError: Something did not start.
            BuildError: The programs cannot be built here.
        """
        programs = pipelines_programs()
        self._folder.mkdir()
        say("starting Kubeflow Pipelines")
        # For files at fixed places, which this host and the nodes do not see.
        self._machine.run("mount", "-t", "tmpfs", "tmpfs", "/run")
        with ThreadPoolExecutor() as threads:
            loaded = threads.submit(self._load_image)
            stored = threads.submit(database.start, self._machine, self._folder / "database")
            object_store.start(self._machine, self._folder / "objects")
            metadata.start(self._machine, self._folder / "metadata")
            self._create_objects()
            self._take_addresses()
            self._write_token()
            stored.result()
            kubeconfig = self.cluster.kubeconfig
            api_server.start(self._machine, programs, self._folder / "api-server", kubeconfig, PROJECT, objects.ACCOUNT)
            api_server.wait(self._machine, self.url)
            controllers.start(self._machine, programs, kubeconfig, PROJECT)
            loaded.result()

    def down(self) -> None:
        """Stops everything, and removes it from the cluster, with the project and all runs."""
        for name in _PROCESSES:
            self._machine.stop(name, seconds=2)
        self._delete_objects()
        for address in objects.addresses(self.cluster.network).values():
            self._machine.run("ip", "address", "delete", f"{address}/32", "dev", "lo")
        self._machine.run("umount", "/run")
        shutil.rmtree(self._folder)

    def trust(self, *authorities: Path) -> None:
        """Lets the steps of all runs trust certificates of these authorities, and of no others.

        Args:
            authorities: Files with their certificates.
        """
        bundle = "".join(file.read_text() for file in authorities)
        body = {"metadata": {"name": api_server.TRUSTED}, "data": {api_server.TRUSTED_KEY: bundle}}
        self.namespace.core.replace_namespaced_config_map(api_server.TRUSTED, PROJECT, body)

    def admit(self, *, seccomp: str = "user-namespaces-allowed", variables: Mapping[str, str]) -> None:
        """Says what becomes of the pods of all runs from now on.

        Args:
            seccomp: The nodes' profile that they get (tests.kubernetes.seccomp).
            variables: Environment variables of each step.
        """
        services = objects.addresses(self.cluster.network)
        admission.admit(self.cluster.api, PROJECT, seccomp=seccomp, services=services, variables=variables)

    def bring_image_back(self) -> None:
        """Puts driver and launcher into nodes that lost them while an earlier test filled their disks."""
        if any(node.lacks(IMAGE) for node in self.cluster.nodes.values()):
            self._load_image()

    def client(self) -> Any:
        """The stock client."""
        import kfp

        return kfp.Client(host=self.url, namespace=PROJECT)

    def _load_image(self) -> None:
        with tempfile.TemporaryDirectory(dir=self._folder) as place:
            archive = write_archive(Path(place, "images.tar"))
            for node in self.cluster.nodes.values():
                node.load(archive)

    def _create_objects(self) -> None:
        api = self.cluster.api
        for definition in objects.custom_resource_definitions():
            utils.create_from_dict(api, definition)
        namespace = {"metadata": {"name": PROJECT}}
        client.CoreV1Api(api).create_namespace(namespace)
        self.namespace.create(*objects.project_objects(self.cluster.network))

    def _delete_objects(self) -> None:
        api = self.cluster.api
        admission.forget(api)
        extensions = client.ApiextensionsV1Api(api)
        core = client.CoreV1Api(api)
        for definition in objects.custom_resource_definitions():
            extensions.delete_custom_resource_definition(definition["metadata"]["name"])
        self.namespace.remove_pods()
        core.delete_namespace(PROJECT)
        while any(each.metadata.name == PROJECT for each in core.list_namespace().items):
            time.sleep(0.2)

    def _take_addresses(self) -> None:
        # As with the API server's: without kube-proxy, a service is where its address is.
        for address in objects.addresses(self.cluster.network).values():
            self._machine.run("ip", "address", "add", f"{address}/32", "dev", "lo")

    def _write_token(self) -> None:
        """Writes the token that the persistence agent reads at a fixed place."""
        tokens = self._machine.root / _TOKENS
        tokens.mkdir(parents=True)
        request = {"spec": {"audiences": ["pipelines.kubeflow.org"], "expirationSeconds": _TOKEN_SECONDS}}
        answer = self.namespace.core.create_namespaced_service_account_token(objects.ACCOUNT, PROJECT, request)
        (tokens / "persistenceagent-sa-token").write_text(answer.status.token)
