"""What turns runs into pods, schedules into runs, and tells the API server what became of them."""

from pathlib import Path

from tests.kubernetes.kfp import api_server
from tests.kubernetes.kfp.image import IMAGE
from tests.kubernetes.machine import Machine

WORKFLOWS = "workflow-controller"
SCHEDULES = "ml-pipeline-scheduledworkflow"
PERSISTENCE = "ml-pipeline-persistenceagent"
CONFIGURATION = "workflow-controller-configmap"


def start(machine: Machine, programs: Path, kubeconfig: Path, namespace: str) -> None:
    """Starts all three.

    Args:
        machine: Where they run, with the API server.
        programs: The folder with the backend's programs.
        kubeconfig: Their login to the cluster.
        namespace: The project that they serve.
    """
    _start(
        machine,
        WORKFLOWS,
        {"KUBECONFIG": kubeconfig, "LEADER_ELECTION_DISABLE": "true", "DEFAULT_REQUEUE_TIME": "1s"},
        [
            str(programs / "workflow-controller"),
            "--namespaced",
            f"--namespace={namespace}",
            f"--configmap={CONFIGURATION}",
            f"--executor-image={IMAGE}",
        ],
    )
    server = ["--mlPipelineAPIServerName=127.0.0.1", f"--mlPipelineServiceGRPCPort={api_server.GRPC_PORT}"]
    login = [f"--kubeconfig={kubeconfig}", f"--namespace={namespace}", "--clientQPS=50", "--clientBurst=100"]
    _start(
        machine,
        SCHEDULES,
        {"KUBECONFIG": kubeconfig, "CRON_SCHEDULE_TIMEZONE": "UTC"},
        [str(programs / "scheduledworkflow"), *login, *server],
    )
    _start(
        machine,
        PERSISTENCE,
        {"KUBECONFIG": kubeconfig},
        [str(programs / "persistence"), *login, *server, f"--mlPipelineServiceHttpPort={api_server.HTTP_PORT}"],
    )


def _start(machine: Machine, name: str, variables: dict[str, object], command: list[str]) -> None:
    machine.start(name, ["env", *(f"{key}={value}" for key, value in variables.items()), *command])
