"""The demonstration behind `make demo`: a model goes the whole way on real parts, all on this machine.

A Hub of our own, two registries (one with a password, one with TLS and tokens), Kubeflow's Model Registry on
PostgreSQL, buildah, skopeo. The model is a small real Llama, shaped like the repositories whose builds were evicted:
shards, and the same weights again in one file.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import requests
from rich.console import Console

from tests.parts.hub import Hub
from tests.parts.model_registry import model_registry
from tests.parts.models import tiny_llama
from tests.parts.registries import Registry, auth_file, registry_with_basic_auth, registry_with_token_auth

MODEL = "example/tiny-llama"
PUBLISHED = datetime(2026, 11, 1, tzinfo=UTC)
"""The same commit each time; so the image's digest is the same on every machine."""

console = Console(highlight=False, soft_wrap=True)


def main() -> None:
    """Starts the parts, runs the pipeline twice, shows what came out, and stops the parts."""
    with tempfile.TemporaryDirectory(prefix="modelcar-demo-") as place, ExitStack() as parts:
        folder = Path(place)
        for name in ("target", "mirror", "registry", "claim"):
            (folder / name).mkdir()
        _say("starting a Hub, two registries and the Model Registry (built on first use, which takes a minute)")
        hub = parts.enter_context(Hub(folder / "hub"))
        hub.publish(MODEL, tiny_llama(folder / "model"), date=PUBLISHED)
        target = parts.enter_context(registry_with_basic_auth(folder / "target"))
        mirror = parts.enter_context(registry_with_token_auth(folder / "mirror"))
        entries = parts.enter_context(model_registry(folder / "registry"))
        os.environ["HF_ENDPOINT"] = hub.url
        os.environ["REGISTRY_AUTH_FILE"] = str(auth_file(folder / "auth.json", target, mirror))
        os.environ["SSL_CERT_FILE"] = str(mirror.ca_file)

        command = ["modelcar", "run", "--model", MODEL, "--target", f"{target.host}/team/tiny-llama:1.0"]
        command += ["--mirror", f"{mirror.host}/models/tiny-llama:1.0", "--model-registry", entries.url]
        command += ["--claim", str(folder / "claim")]
        _say("the pipeline, for the first time")
        _run(command)
        _say("and again: nothing is moved that need not be")
        _run(command)

        _say("the image in the mirror, as skopeo sees it")
        _inspect(mirror)
        _say("its entry, as the Model Registry's REST API gives it")
        artifacts = requests.get(f"{entries.url}/api/model_registry/v1alpha3/model_artifacts", timeout=600).json()
        console.print_json(
            data=[{key: item[key] for key in ("name", "uri", "modelFormatName")} for item in artifacts["items"]]
        )


def _say(what: str) -> None:
    console.print(f"\n[bold]» {what}[/bold]")


def _run(command: list[str]) -> None:
    console.print("$ " + " ".join(command))
    subprocess.run([Path(sys.executable).with_name(command[0]), *command[1:]], check=True)


def _inspect(mirror: Registry) -> None:
    image = f"docker://{mirror.host}/models/tiny-llama:1.0"
    shape = "{{.Digest}}\n{{range $key, $value := .Labels}}{{$key}}: {{$value}}\n{{end}}{{range .Layers}}{{.}}\n{{end}}"
    assert mirror.ca_file is not None
    subprocess.run(["skopeo", "inspect", "--cert-dir", mirror.ca_file.parent, "--format", shape, image], check=True)


if __name__ == "__main__":
    main()
