"""A tiny model of each class: made by its own library, streamed into a registry, mounted, and loaded from there.

The libraries are large, and live in an environment of their own, whose Python `MODELCAR_MODELS_PYTHON` names. A test is
skipped where its library is not installed there.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts.hub import Hub
from tests.parts.mounted_image import mounted
from tests.parts.registries import Registry
from tests.parts.steps import stream

PYTHON = os.environ.get("MODELCAR_MODELS_PYTHON", sys.executable)

SKLEARN = """
from sklearn.linear_model import LogisticRegression
model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
"""
ONNX = """
import onnx, numpy
from onnx import TensorProto, helper, numpy_helper
weights = numpy_helper.from_array(numpy.eye(300, dtype=numpy.float32), "w")
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 300])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 300])], [weights],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
"""
OPENVINO = """
import numpy, openvino
from openvino import opset13 as ops
x = ops.parameter([1, 300], numpy.float32, name="x")
model = openvino.Model([ops.matmul(x, ops.constant(numpy.eye(300, dtype=numpy.float32)), False, False)], [x], "tiny")
"""
TRANSFORMERS = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM
config = LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                     num_key_value_heads=4, vocab_size=128)
model = LlamaForCausalLM(config)
"""
GGUF = """
import gguf, numpy
writer = gguf.GGUFWriter("tiny-{name}.gguf", "llama")
writer.add_context_length(128)
writer.add_tensor("token_embd.weight", numpy.ones((32, 64), dtype=numpy.float32))
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
"""


@dataclass(frozen=True)
class Tiny:
    """A model and how it is made and loaded.

    Attributes:
        libraries: What has to be installed.
        make: Python that writes the model into the current folder.
        load: Python that loads it from the current folder, and ends badly if it cannot.
        taken: What must be in the image.
        allow_pickle: What may be a pickle.
        variant: Which alternative is taken.
    """

    libraries: tuple[str, ...]
    make: str
    load: str
    taken: tuple[str, ...]
    allow_pickle: tuple[str, ...] = ()
    variant: str = ""


MODELS = {
    "sklearn, joblib": Tiny(
        ("sklearn", "joblib"),
        SKLEARN + 'import joblib; joblib.dump(model, "model.joblib")',
        'import joblib; assert list(joblib.load("model.joblib").predict([[0.0], [3.0]])) == [0, 1]',
        ("model.joblib",),
        allow_pickle=("model.joblib",),
    ),
    "sklearn, skops beside a pickle": Tiny(
        ("sklearn", "skops", "joblib"),
        SKLEARN + 'import joblib, skops.io; joblib.dump(model, "model.pkl"); skops.io.dump(model, "model.skops")',
        'import skops.io; assert list(skops.io.load("model.skops").predict([[3.0]])) == [1]',
        ("model.skops",),
    ),
    "lightgbm": Tiny(
        ("lightgbm",),
        "import lightgbm, numpy; x = numpy.arange(200.0).reshape(100, 2); "
        "lightgbm.train({'verbose': -1}, lightgbm.Dataset(x, x[:, 0])).save_model('lightgbm_model.txt')",
        "import lightgbm; assert lightgbm.Booster(model_file='lightgbm_model.txt').num_trees() > 0",
        ("lightgbm_model.txt",),
    ),
    "ONNX with external data": Tiny(
        ("onnx", "onnxruntime"),
        ONNX
        + 'onnx.save(model, "model.onnx", save_as_external_data=True, location="model.onnx_data", size_threshold=0)',
        "import numpy, onnxruntime; session = onnxruntime.InferenceSession('model.onnx'); "
        "assert session.run(None, {'x': numpy.ones((1, 300), dtype=numpy.float32)})[0].sum() == 300",
        ("model.onnx", "model.onnx_data"),
    ),
    "OpenVINO": Tiny(
        ("openvino",),
        OPENVINO + 'openvino.save_model(model, "openvino_model.xml", compress_to_fp16=False)',
        "import numpy, openvino; compiled = openvino.compile_model('openvino_model.xml', 'CPU'); "
        "assert compiled([numpy.ones((1, 300), dtype=numpy.float32)])[0].sum() == 300",
        ("openvino_model.bin", "openvino_model.xml"),
    ),
    "GGUF, one type of two": Tiny(
        ("gguf",),
        GGUF.format(name="Q8_0") + GGUF.format(name="F32"),
        "import gguf; assert gguf.GGUFReader('tiny-F32.gguf').tensors[0].name == 'token_embd.weight'",
        ("tiny-F32.gguf",),
        variant="f32",
    ),
    "transformers, in shards and in pickles": Tiny(
        ("torch", "transformers"),
        TRANSFORMERS
        + 'model.save_pretrained(".", max_shard_size="100KB"); torch.save(model.state_dict(), "pytorch_model.bin")',
        'from transformers import AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained(".")',
        ("config.json", "model.safetensors.index.json"),
    ),
}


def run(program: str, folder: Path) -> None:
    done = subprocess.run([PYTHON, "-c", program], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", MODELS)
def test_image_is_loaded_by_the_library_that_serves_it(
    name: str, hub: Hub, plain_registry: Registry, tmp_path: Path
) -> None:
    tiny = MODELS[name]
    for library in tiny.libraries:
        if subprocess.run([PYTHON, "-c", f"import {library}"], capture_output=True).returncode:
            pytest.skip(f"{library} is not installed in {PYTHON}: make test-models")
    made = tmp_path / "made"
    made.mkdir()
    run(tiny.make, made)
    hub.publish("org/tiny", made)

    done = stream(
        "org/tiny",
        f"{plain_registry.host}/libraries/{len(name)}:1",
        allow_pickle=tiny.allow_pickle,
        variant=tiny.variant,
    )

    models = mounted(done.image, tmp_path)
    assert set(tiny.taken) <= {path.relative_to(models).as_posix() for path in models.rglob("*")}
    run(tiny.load, models)
