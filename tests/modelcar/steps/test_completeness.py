"""Weights that are of use only together: which of them an image lacks."""

import pytest

from modelcar.hub.facts import Facts
from modelcar.steps.verify.completeness import missing_weights
from tests.modelcar.hub.test_choice import KNOWN, SHAPES, choose_listed, published

PIPELINE = Facts(documents={"model_index.json": {"unet": ["diffusers", "UNet"], "vae": ["diffusers", "Vae"]}})
MODULES = Facts(documents={"modules.json": [{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}]})
NAMED = Facts(documents={"model.safetensors.index.json": {"weight_map": {"a": "x.safetensors", "b": "y.safetensors"}}})
OUTSIDE = Facts(external={"onnx/model.onnx": frozenset({"onnx/weights"})})


@pytest.mark.parametrize(
    ("paths", "taken", "missing", "facts"),
    [
        ("model-00001-of-000002.safetensors model-00002-of-000002.safetensors", 1, 1, Facts()),
        ("pytorch_model-1-of-2.bin pytorch_model-2-of-2.bin", 1, 1, Facts()),
        ("consolidated.00.pth consolidated.01.pth", 1, 1, Facts()),
        ("a-Q4_K_M-00001-of-00002.gguf a-Q4_K_M-00002-of-00002.gguf a-Q8_0.gguf", 1, 1, Facts()),
        ("x.safetensors y.safetensors model.safetensors.index.json", 1, 2, NAMED),
        ("x.safetensors y.safetensors model.safetensors.index.json", 2, 1, NAMED),
        ("onnx/model.onnx onnx/weights", 1, 1, OUTSIDE),
        ("openvino_model.xml openvino_model.bin", 1, 1, Facts()),
        ("unet/model.safetensors vae/model.safetensors vae/model.fp16.safetensors", 1, 2, PIPELINE),
        ("unet/model.safetensors vae/model.fp16.safetensors vae/model.safetensors", 2, 0, PIPELINE),
        ("whole.safetensors unet/model.safetensors vae/model.safetensors", 1, 0, PIPELINE),
        ("model.safetensors 2_Dense/model.safetensors", 1, 1, MODULES),
        ("onnx/model.onnx model.safetensors 2_Dense/model.safetensors", 1, 0, MODULES),
        ("model.safetensors pytorch_model.bin", 1, 0, Facts()),
        ("a-Q4_K_M.gguf a-Q8_0.gguf", 1, 0, Facts()),
        ("a-Q4_K_M.gguf a-Q8_0.gguf config.json", 0, 2, Facts()),
        ("a.dat b.dat", 1, 0, Facts()),
    ],
)
def test_what_is_missing_is_named(paths: str, taken: int, missing: int, facts: Facts) -> None:
    """Of the paths the first are taken, and those behind them are missing."""
    every = paths.split()
    files = published(dict.fromkeys(every, 9e6))

    assert missing_weights(every[:taken], files, facts) == sorted(every[taken : taken + missing])


def test_nothing_that_the_usual_choice_leaves_out_is_missing() -> None:
    missing = {}
    for name in (*KNOWN, *SHAPES):
        choice, files, facts = choose_listed(name)
        if not choice.problems:
            missing[name] = missing_weights({file.path for file in choice.taken}, files, facts)

    assert len(missing) > 300
    assert {name: paths for name, paths in missing.items() if paths} == {}
