"""Kubeflow Pipelines' API server."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import requests

from tests.kubernetes.kfp import database, object_store
from tests.kubernetes.kfp.image import IMAGE
from tests.kubernetes.machine import Machine, MachineError

HTTP_PORT, GRPC_PORT = 8888, 8887
START_SECONDS = 600.0
TRUSTED, TRUSTED_KEY = "trusted-authorities", "ca.crt"
"""The ConfigMap with the certificates that runs' steps trust, and its key."""


def start(machine: Machine, programs: Path, folder: Path, kubeconfig: Path, namespace: str, account: str) -> None:
    """Starts the server.

    Args:
        machine: Where it runs, with database and object store.
        programs: The folder with the backend's programs.
        folder: Holds its configuration.
        kubeconfig: Its login to the cluster.
        namespace: The project that it serves.
        account: The service account of the runs' pods.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(_configuration(account)))
    variables = {
        "KUBECONFIG": kubeconfig,
        "POD_NAMESPACE": namespace,
        "V2_DRIVER_IMAGE": IMAGE,
        "V2_LAUNCHER_IMAGE": IMAGE,
        "CABUNDLE_CONFIGMAP_NAME": TRUSTED,
        "CABUNDLE_KEY_NAME": TRUSTED_KEY,
        # The same for releases before 2.15.
        "EXECUTOR_CABUNDLE_CONFIGMAP_NAME": TRUSTED,
        "EXECUTOR_CABUNDLE_CONFIGMAP_KEY": TRUSTED_KEY,
        # As OpenShift AI has it (data-science-pipelines-operator), and the policy of manifests/cluster knows it.
        "EXECUTOR_CABUNDLE_MOUNTPATH": "/dsp-custom-certs",
        # Required, though nothing of v2 asks there.
        "ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_HOST": "127.0.0.1",
        "ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_PORT": "9",
    }
    machine.start(
        "ml-pipeline",
        [
            "env",
            *(f"{name}={value}" for name, value in variables.items()),
            str(programs / "apiserver"),
            f"-config={folder}",
            "-logtostderr",
        ],
    )


def wait(machine: Machine, url: str, programs: Sequence[str] = ("ml-pipeline",)) -> None:
    """Returns when the server answers, there or through what stands before it.

    Args:
        machine: The machine that it runs on.
        url: Where it is asked.
        programs: The programs that answer.

    Raises:
        MachineError: One of them ended, or there was no answer in time; with their logs.
    """
    deadline = time.monotonic() + START_SECONDS
    with requests.Session() as session:
        session.trust_env = False
        while True:
            try:
                if session.get(f"{url}/apis/v2beta1/healthz", timeout=2).ok:
                    return
            except requests.RequestException:
                pass
            if time.monotonic() > deadline or not all(machine.is_running(program) for program in programs):
                logs = "\n".join(machine.log(program).read_text()[-5000:] for program in programs)
                raise MachineError(f"no answer of {' and '.join(programs)} at {url}:\n{logs}")
            time.sleep(0.1)


def _configuration(account: str) -> object:
    return {
        "DBDriverName": "mysql",
        "DBConfig": {
            "MySQLConfig": {
                "Host": "127.0.0.1",
                "Port": str(database.PORT),
                "User": "root",
                "Password": "",
                "DBName": "mlpipeline",
                "GroupConcatMaxLen": "4194304",
            },
            "ConMaxLifeTime": "120s",
        },
        "ObjectStoreConfig": {
            "Host": "127.0.0.1",
            "Port": str(object_store.PORT),
            "Region": object_store.REGION,
            "Secure": "false",
            "AccessKey": object_store.ACCESS_KEY,
            "SecretAccessKey": object_store.SECRET_KEY,
            "BucketName": object_store.BUCKET,
            "PipelinePath": "pipelines",
        },
        "ARCHIVE_CONFIG_LOG_FILE_NAME": "main.log",
        "ARCHIVE_CONFIG_LOG_PATH_PREFIX": "/artifacts",
        "InitConnectionTimeout": f"{START_SECONDS:.0f}s",
        "DEFAULTPIPELINERUNNERSERVICEACCOUNT": account,
        "CacheEnabled": "true",
        "CRON_SCHEDULE_TIMEZONE": "UTC",
        # The defaults, 5 and 10 requests a second, are for a cluster that others use as well.
        "ClientQPS": 50,
        "ClientBurst": 100,
    }
