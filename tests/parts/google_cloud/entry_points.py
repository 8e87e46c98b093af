"""Entry points of serving images: Google's and Hugging Face's own where a checkout has them, else as they behave.

The published scripts are not part of this project: MODELCAR_TEST_VERTEX_ENTRY names Google's gcs_download_launcher.sh
in a checkout of GoogleCloudPlatform/vertex-ai-samples, MODELCAR_TEST_HUGGING_FACE a checkout of
huggingface/Google-Cloud-Containers.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_LAUNCHER = """
if [[ $AIP_STORAGE_URI == gs://* ]]; then
  folder=$LOCAL_MODEL_DIR/${AIP_STORAGE_URI#gs://}
  gcloud storage cp -r "$AIP_STORAGE_URI/*" "$folder"
  for word in "$@"; do [[ $word == --model=* ]] && word=--model=$folder; words+=("$word"); done
  set -- "${words[@]}"
fi
exec "$@"
"""
_HUGGING_FACE = """
if [[ $AIP_STORAGE_URI == gs://* ]]; then
  gcloud storage cp "$AIP_STORAGE_URI/*" /tmp/model --recursive
  export VARIABLE=/tmp/model
fi
exec SERVER "$@"
"""


@dataclass(frozen=True)
class EntryPoint:
    """An entry point as an image has it.

    Attributes:
        image: The image, as Google's registry names it.
        words: The entry point.
        script: The script's path in the image's working directory.
        server: The program that it starts.
        variable: The variable that tells the server where the model is; empty where --model does.
        published: The script's path in a checkout.
    """

    image: str
    words: tuple[str, ...]
    script: str
    server: str
    variable: str = ""
    published: str = ""

    def write(self, folder: Path) -> None:
        """Writes the script into an image's working directory."""
        own = _LAUNCHER if not self.variable else _HUGGING_FACE
        content = "#!/bin/bash" + own.replace("SERVER", self.server).replace("VARIABLE", self.variable)
        checkout = os.environ.get("MODELCAR_TEST_HUGGING_FACE", "")
        file = Path(checkout, self.published) if checkout and self.published else None
        if not self.published and (named := os.environ.get("MODELCAR_TEST_VERTEX_ENTRY")):
            file = Path(named)
        script = folder / self.script
        script.write_text(file.read_text() if file else content)
        script.chmod(0o755)


_GOOGLE = "us-docker.pkg.dev/vertex-ai/vertex-vision-model-garden-dockers"
_RELEASE = "us-docker.pkg.dev/deeplearning-platform-release"
_ENTRY = ("./entrypoint.sh",)

ENTRY_POINTS = {
    "vLLM": EntryPoint(
        f"{_GOOGLE}/pytorch-vllm-serve:20251205_0916_RC01",
        ("./gcs_download_launcher.sh",),
        "gcs_download_launcher.sh",
        "python",
    ),
    "SGLang": EntryPoint(
        f"{_RELEASE}/vertex-model-garden/sglang-serve.cu124.0-4.ubuntu2204.py310:1",
        ("bash", "./gcs_download_launcher.sh"),
        "gcs_download_launcher.sh",
        "python",
    ),
    "TGI": EntryPoint(
        f"{_RELEASE}/gcr.io/huggingface-text-generation-inference-cu124.2-4.ubuntu2204.py311:1",
        _ENTRY,
        "entrypoint.sh",
        "text-generation-launcher",
        "MODEL_ID",
        "containers/tgi/gpu/3.0.1/entrypoint.sh",
    ),
    "TEI on GPUs": EntryPoint(
        f"{_RELEASE}/gcr.io/huggingface-text-embeddings-inference-cu122.1-6.ubuntu2204:1",
        _ENTRY,
        "entrypoint.sh",
        "text-embeddings-router-80",
        "MODEL_ID",
        "containers/tei/gpu/1.9.3/entrypoint.sh",
    ),
    "TEI on processors": EntryPoint(
        f"{_RELEASE}/gcr.io/huggingface-text-embeddings-inference-cpu.1-6:1",
        _ENTRY,
        "entrypoint.sh",
        "text-embeddings-router",
        "MODEL_ID",
        "containers/tei/cpu/1.9.3/entrypoint.sh",
    ),
    "Transformers": EntryPoint(
        f"{_RELEASE}/gcr.io/huggingface-pytorch-inference-cu121.2-3.transformers.4-48.ubuntu2204.py311:1",
        ("bash", "-c", "./entrypoint.sh"),
        "entrypoint.sh",
        "uvicorn",
        "HF_MODEL_DIR",
        "containers/pytorch/inference/gpu/2.3.1/transformers/4.48.0/py311/entrypoint.sh",
    ),
}
"""By their servers; the paths are those of the newest published script of each."""
