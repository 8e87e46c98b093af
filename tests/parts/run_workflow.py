"""A run's Workflow as the API server gives it to the pods of the run's steps, without a cluster."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelcar.bootstrap import unpack
from tests.parts.certificates import CertificateAuthority
from tests.parts.recorded_api import RecordedApi

_NAME = "model-to-registry-x7k2p"
_FOLDER = "/apis/argoproj.io/v1alpha1/namespaces/my-project/workflows"
_TOKEN = "the pod's token"


@dataclass(frozen=True)
class RunWorkflow:
    """What a pod of the run has of it.

    Attributes:
        name: The Workflow's name.
        account: The folder that is mounted as the service account's.
        environment: Variables that each pod has.
        api: The API server.
    """

    name: str
    account: Path
    environment: Mapping[str, str]
    api: RecordedApi

    @property
    def path(self) -> str:
        """Where the API server has the Workflow."""
        return f"{_FOLDER}/{self.name}"

    def command(self, command: list[str]) -> list[str]:
        """Returns a step's command as it runs where the account's folder is another one."""
        return [part.replace(str(unpack.ACCOUNT), str(self.account)) for part in command]


@contextmanager
def run_workflow(pipeline: Mapping[str, Any], folder: Path) -> Iterator[RunWorkflow]:
    """Serves the Workflow of a run of a compiled pipeline: the steps' containers are JSON within its JSON.

    Args:
        pipeline: The pipeline.
        folder: Takes the service account's files.
    """
    authority = CertificateAuthority(folder / "tls")
    account = folder / "account"
    account.mkdir()
    (account / "ca.crt").write_bytes(authority.cert_file.read_bytes())
    (account / "namespace").write_text("my-project")
    (account / "token").write_text(f"{_TOKEN}\n")
    containers = [each["container"] for each in pipeline["deploymentSpec"]["executors"].values()]
    parameters = [{"name": f"implementations-{n}", "value": json.dumps(one)} for n, one in enumerate(containers)]
    workflow = {"kind": "Workflow", "spec": {"arguments": {"parameters": parameters}}}
    with RecordedApi(authority.issue("kubernetes"), token=_TOKEN) as api:
        api.answers[f"{_FOLDER}/{_NAME}"] = 200, workflow
        environment = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(api.server_address[1]),
            "KFP_POD_NAME": f"{_NAME}-retry-system-container-impl-3140113243",
        }
        yield RunWorkflow(_NAME, account, environment, api)
