"""The command line on a person's laptop, with a login to the test cluster and a model to submit."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.kubernetes.kfp.backend import Backend
from tests.kubernetes.kfp.runs import Run
from tests.kubernetes.kfp.surroundings import Surroundings
from tests.parts.command import Done, modelcar

PROGRAM = str(Path(sys.executable).with_name("modelcar"))
MODEL = "example/submitted"
DONE = "whole"
"""A target that may hold the model already: a run then ends after its first step, and a test in a third of the time."""


@dataclass(frozen=True)
class Laptop:
    """A login to the cluster, and the address of the pipelines' API."""

    backend: Backend
    servers: Surroundings

    def words(self, command: str, *more: str, name: str = "") -> list[str]:
        """A command to this backend; with a name, of a model and a target of that name."""
        own = [more[0]] if command == "schedule" else []
        words = [command, *own, "--server", self.backend.url]
        if name:
            words += ["--for", self.backend.compiled_for, "--image", self.backend.cluster.image]
            words += ["--model", MODEL, "--target", f"{self.servers.target.host}/{name}/model:1"]
        # They come last, as of an option that is there twice the last counts.
        return [*words, *more[len(own) :]]

    def run(self, command: str, *more: str, name: str = "") -> Done:
        """Runs it."""
        return modelcar(*self.words(command, *more, name=name))

    def submitted(self, name: str, *more: str) -> str:
        """The id of a run that was started and left alone."""
        done = self.run("submit", "--no-wait", "--json", *more, name=name)
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["id"])

    def of(self, run_id: str) -> Run:
        """The run, as the stock client knows it."""
        return Run(self.backend, run_id)
