"""The commands for a cluster that README and docs show, judged by a real API server. kubectl stands for oc."""

import shlex
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from kubernetes import client

from tests.kubernetes.conftest import AnyCluster
from tests.kubernetes.executors import ACCOUNT, applied, take_back
from tests.kubernetes.namespace import Namespace
from tests.kubernetes.programs.build import kubectl_program
from tests.test_docs import commands

COMMANDS = [shlex.split(command)[1:] for command in commands() if command.startswith("oc ")]
SECRETS = [words for words in COMMANDS if words[:2] == ["create", "secret"]]
QUESTIONS = [words for words in COMMANDS if words[:2] == ["auth", "can-i"]]
LABELS = [words for words in COMMANDS if words[0] == "label"]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def kubectl(cluster: AnyCluster, namespace: Namespace, tmp_path: Path) -> Run:
    """Give a function that runs a documented command in a project of this test."""
    places = {
        "modelcar": namespace.name,
        "system:serviceaccount:modelcar:pipeline-runner-dspa": f"system:serviceaccount:{namespace.name}:{ACCOUNT}",
        "system:serviceaccount:modelcar:modelcar-build": f"system:serviceaccount:{namespace.name}:modelcar-build",
        "system:serviceaccount:modelcar:modelcar-pipeline": f"system:serviceaccount:{namespace.name}:modelcar-pipeline",
        "<name>": client.CoreV1Api(cluster.api).list_node().items[0].metadata.name,
        "manifests/openshift": str(tmp_path / "manifests/openshift"),
    }

    def run(words: list[str], *more: str) -> "subprocess.CompletedProcess[str]":
        # The project's claim is called like the project.
        mine = [word if before == "pvc" else places.get(word, word) for before, word in pairwise(["", *words])]
        command = [
            kubectl_program(),
            f"--kubeconfig={cluster.kubeconfig}",
            *mine,
        ]
        return subprocess.run([*command, *more], cwd=tmp_path, check=False, capture_output=True, text=True)

    return run


@pytest.fixture
def granted(cluster: AnyCluster, namespace: Namespace, tmp_path: Path) -> Iterator[None]:
    """Apply the manifests, as the page for the platform team says."""
    applied("openshift", namespace, tmp_path / "manifests")
    yield
    take_back(namespace)


def test_all_kinds_of_commands_are_run_here() -> None:
    others = [words[:2] for words in COMMANDS if words not in (*SECRETS, *QUESTIONS, *LABELS)]
    # Of a forwarded port, tests/cli/test_command_login.py tells.
    kinds = [("apply", "-k"), ("delete", "-k"), ("get", "nodes"), ("get", "pvc"), ("port-forward", "-n")]
    assert sorted(map(tuple, others)) == kinds


def test_secrets_are_made(kubectl: Run, namespace: Namespace, tmp_path: Path) -> None:
    for words in SECRETS:
        # Commands before it write the files: `podman login`, which asks for a password, or cosign.
        for word in words:
            if word.startswith("--from-file="):
                (tmp_path / word.rpartition("=")[2]).write_text('{"auths": {}}')
        done = kubectl(words, "-n", namespace.name)
        assert done.returncode == 0, done.stderr
    assert len(SECRETS) > 1


@pytest.mark.usefixtures("granted")
def test_questions_have_the_answers_that_the_page_promises(kubectl: Run) -> None:
    for words in QUESTIONS:
        promised = "no" if words[-1].endswith(("modelcar-build", "modelcar-pipeline")) else "yes"
        # A warning goes to stderr where a resource has no namespace; behind the answer, where OpenShift's roles lack.
        assert kubectl(words).stdout.partition(" - ")[0].strip() == promised, words
    assert len(QUESTIONS) > 4


@pytest.mark.usefixtures("granted")
def test_what_was_granted_can_be_seen_and_taken_back(kubectl: Run) -> None:
    label, unlabel = LABELS
    assert kubectl(label).returncode == 0
    try:
        seen = kubectl(["get", "nodes", "-l", "ai-build-node=true", "-o", "name"]).stdout
        assert seen.startswith("node/")
        for words in COMMANDS:
            if words[0] == "get":
                done = kubectl(words)
                assert done.returncode == 0, done.stderr
                assert done.stdout, words
    finally:
        assert kubectl(unlabel).returncode == 0
    [delete] = [words for words in COMMANDS if words[0] == "delete"]
    done = kubectl(delete, "--dry-run=server")
    assert done.returncode == 0, done.stderr
    assert 'persistentvolumeclaim "modelcar" deleted' in done.stdout
