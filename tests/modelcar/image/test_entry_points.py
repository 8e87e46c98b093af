"""Entry points of serving images, started as Vertex AI starts them: which model their servers would serve."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from modelcar.image.entry_points import overrides_model
from modelcar.pipelines.model_to_vertex.pipeline import SERVING_ARGS, SERVING_CONTAINER, SERVING_IMAGE
from modelcar.steps.vertex_upload import describe
from tests.parts.google_cloud.entry_points import ENTRY_POINTS, EntryPoint

PINNED = f"europe-west4-docker.pkg.dev/my-project/models/x@sha256:{'0' * 64}"
PROGRAMS = {
    **dict.fromkeys((one.server for one in ENTRY_POINTS.values()), 'echo "served: $MODEL_ID$HF_MODEL_DIR $*"'),
    "gcloud": 'echo "downloaded: $*"',
    "gsutil": 'echo "downloaded: $*"',
    "nvidia-smi": "printf 'compute_cap\\n8.0\\n'",
    "ldconfig": "true",
}


@pytest.fixture(params=list(ENTRY_POINTS))
def entry(request: pytest.FixtureRequest, tmp_path: Path) -> EntryPoint:
    """Give each entry point, with its script in the working directory and programs that only say that they run."""
    (tmp_path / "bin").mkdir()
    for name, does in PROGRAMS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    found = ENTRY_POINTS[request.param]
    found.write(tmp_path)
    return found


def start(entry: EntryPoint, container: Mapping[str, Any], args: list[str], folder: Path) -> str:
    """Starts a container as Vertex AI does: its command, or else the image's entry point, then its arguments."""
    spec = describe("a/b", "c" * 40, PINNED, args, container).container.spec()
    # Some scripts look whether the folder is there, and this machine has no /models.
    (folder / "models").mkdir()
    environment = {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        **{one["name"]: one["value"].replace("/models", f"{folder}/models") for one in spec["env"]},
        "AIP_MODE": "PREDICTION",
        "AIP_HTTP_PORT": "8080",
        "AIP_STORAGE_URI": "gs://caip-tenant-1/1/artifacts",
        # Of Model Garden's images, by their Dockerfiles.
        "GCS_URI_ARG_KEY": "model",
        "LOCAL_MODEL_DIR": str(folder / "downloads"),
        "LOCAL_ARGS_FILE": str(folder / "args"),
    }
    command = [*(spec.get("command") or entry.words), *spec["args"]]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    return done.stdout + done.stderr


def arguments(entry: EntryPoint) -> list[str]:
    return ["--json-output"] if entry.variable else ["python", "-m", "server", "--model=/models"]


def test_published_entry_points_would_serve_another_folder(entry: EntryPoint, tmp_path: Path) -> None:
    said = start(entry, {}, arguments(entry), tmp_path)

    assert "downloaded: " in said
    served = [line for line in said.splitlines() if line.startswith("served: ")]
    assert "/models" not in " ".join(served)
    found = overrides_model(entry.image, {}, arguments(entry))
    assert found
    assert "serves a folder that it downloads, and not /models" in found[0]


@pytest.mark.parametrize("is_known", [True, False])
def test_the_remedy_has_the_model_in_the_image_served(entry: EntryPoint, is_known: bool, tmp_path: Path) -> None:
    """By the entry point that the image has, and where only its name is known."""
    words = entry.words if is_known else ()
    found = overrides_model(entry.image, {}, arguments(entry), words)
    assert found
    container = json.loads(found[1].removeprefix("Give serving_container "))
    args = ["--model=/models"] if "vllm.entrypoints.api_server" in container["command"] else arguments(entry)

    said = start(entry, container, args, tmp_path)

    assert "downloaded: " not in said
    served = next(line for line in said.splitlines() if line.startswith("served: "))
    assert "/models" in served
    assert overrides_model(entry.image, container, args, words) is None


def test_the_default_server_serves_the_model_in_the_image(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text('#!/bin/sh\necho "served: $*"\n')
    (tmp_path / "bin" / "python").chmod(0o755)

    said = start(ENTRY_POINTS["vLLM"], SERVING_CONTAINER, SERVING_ARGS, tmp_path)

    assert said.startswith("served: -m vllm.entrypoints.api_server ")
    assert "--model=/models" in said.split()
    assert overrides_model(SERVING_IMAGE, SERVING_CONTAINER, SERVING_ARGS) is None


@pytest.mark.parametrize(
    ("image", "entry_point"),
    [
        ("europe-west4-docker.pkg.dev/my-project/copies/pytorch-vllm-serve:1", ()),
        ("europe-west4-docker.pkg.dev/my-project/copies/vllm:1", ("bash", "/opt/gcs_download_launcher.sh")),
        ("europe-west4-docker.pkg.dev/my-project/huggingface-text-embeddings-inference-cpu.1-6:1", ()),
    ],
)
def test_copies_of_such_images_are_known_too(image: str, entry_point: tuple[str, ...]) -> None:
    found = overrides_model(image, {}, [], entry_point)

    assert found
    assert "serves a folder that it downloads" in found[0]


@pytest.mark.parametrize(
    ("image", "container", "entry_point"),
    [
        ("docker.io/vllm/vllm-openai:v0.11.0", {}, ("python3", "-m", "vllm.entrypoints.openai.api_server")),
        ("docker.io/vllm/vllm-openai:v0.11.0", {}, ()),
        (SERVING_IMAGE, {}, ("python", "-m", "vllm.entrypoints.api_server")),
        (SERVING_IMAGE, {"command": ["vllm", "serve"]}, ("./gcs_download_launcher.sh",)),
    ],
)
def test_what_serves_the_image_is_not_warned_of(
    image: str, container: dict[str, Any], entry_point: tuple[str, ...]
) -> None:
    assert overrides_model(image, container, ["--model=/models"], entry_point) is None


def test_a_command_that_is_the_script_is_warned_of_like_the_entry_point() -> None:
    found = overrides_model(SERVING_IMAGE, {"command": ["./gcs_download_launcher.sh"]}, ["--model=/models"])

    assert found
    assert "serves a folder" in found[0]


@pytest.mark.parametrize(
    ("container", "args", "says"),
    [
        ({"command": ["text-generation-launcher"]}, [], "takes MODEL_ID for its model, which does not say /models"),
        ({"command": ["text-generation-launcher"]}, ["--model-id=/models"], ""),
        ({"command": ["text-generation-launcher"]}, ["--model-id", "/models"], ""),
        (SERVING_CONTAINER, SERVING_ARGS, "has no vLLM, which serving_container starts"),
    ],
)
def test_a_server_of_hugging_face_is_told_where_the_model_is(
    container: dict[str, Any], args: list[str], says: str
) -> None:
    found = overrides_model(ENTRY_POINTS["TGI"].image, container, args)

    assert (says in found[0]) if found else says == ""
    assert not found or '"env": [{"name": "MODEL_ID", "value": "/models"}]' in found[1]
