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
DIFFUSERS = """
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
torch.manual_seed(0)
unet = UNet2DModel(sample_size=8, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(32, 64),
                   down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"))
pipeline = DDPMPipeline(unet, DDPMScheduler(num_train_timesteps=10))
pipeline.save_pretrained(".")
pipeline.to(torch.float16).save_pretrained(".", variant="fp16")
torch.save(unet.state_dict(), "unet/diffusion_pytorch_model.bin")
"""
SENTENCES = """
import pathlib
from sentence_transformers import SentenceTransformer, models
from transformers import BertConfig, BertModel, BertTokenizerFast
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"]
pathlib.Path("../words.txt").write_text("\\n".join(words))
BertTokenizerFast("../words.txt").save_pretrained("../bert")
BertModel(BertConfig(vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                     intermediate_size=64)).save_pretrained("../bert")
bert = models.Transformer("../bert")
modules = [bert, models.Pooling(32), models.Dense(32, 16)]
SentenceTransformer(modules=modules, device="cpu").save_pretrained(".")
"""
BOOSTED = """
import numpy, xgboost
x = numpy.arange(200.0).reshape(100, 2)
model = xgboost.train({}, xgboost.DMatrix(x, x[:, 0]), num_boost_round=3)
"""
LLAMA_GGUF = """
import gguf, numpy
numbers = numpy.random.default_rng(0)
width, inner, words = 64, 256, [f"<{n}>" for n in range(300)]
writer = gguf.GGUFWriter("tiny-F32.gguf", "llama")
writer.add_context_length(128); writer.add_embedding_length(width); writer.add_block_count(3)
writer.add_feed_forward_length(inner); writer.add_head_count(4); writer.add_head_count_kv(4)
writer.add_layer_norm_rms_eps(1e-5); writer.add_rope_dimension_count(16); writer.add_vocab_size(len(words))
writer.add_file_type(0)
writer.add_tokenizer_model("llama"); writer.add_token_list(words); writer.add_token_scores([0.0] * len(words))
writer.add_token_types([2, 3, 3] + [1] * (len(words) - 3))
writer.add_unk_token_id(0); writer.add_bos_token_id(1); writer.add_eos_token_id(2)
shapes = {"token_embd": (len(words), width), "output": (len(words), width), "output_norm": (width,)}
for n in range(3):
    square, wide, narrow = (width, width), (inner, width), (width, inner)
    shapes |= {f"blk.{n}.{name}": shape for name, shape in {
        "attn_norm": (width,), "ffn_norm": (width,), "attn_q": square, "attn_k": square, "attn_v": square,
        "attn_output": square, "ffn_gate": wide, "ffn_up": wide, "ffn_down": narrow}.items()}
for name, shape in shapes.items():
    writer.add_tensor(f"{name}.weight", numbers.random(shape, dtype=numpy.float32))
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
"""
ASK_LLAMA = """
def say(path):
    import xllamacpp
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.n_ctx, settings.n_gpu_layers, settings.cpuparams.n_threads = path, 64, 0, 1
    server = xllamacpp.Server(settings)
    return server.handle_completions({"prompt": [1, 5, 7], "n_predict": 4, "temperature": 0})["choices"][0]["text"]
"""
NOTE_LLAMA = ASK_LLAMA + 'open("README.md", "w").write(say("tiny-F32.gguf"))'
HEAR_LLAMA = (
    ASK_LLAMA
    + 'import glob; said = say(sorted(glob.glob("*.gguf"))[0]); assert said and said == open("README.md").read(), said'
)
READ_PARTS = """
import glob, gguf
tensors = [one.name for path in glob.glob("*.gguf") for one in gguf.GGUFReader(path).tensors]
assert len(tensors) == len(set(tensors)) == 30, len(tensors)
"""
PEFT = """
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
config = LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                     num_key_value_heads=4, vocab_size=128)
base = LlamaForCausalLM(config)
"""
WORDS = """
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
words = {word: number for number, word in enumerate(["<unk>", "<s>", "</s>", *"abcdefghij"])}
tokenizer = Tokenizer(models.WordLevel(words, "<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
"""
CTRANSLATE2 = """
import ctranslate2, json, numpy
from ctranslate2.specs import TransformerDecoderModelSpec
numbers = numpy.random.default_rng(0)
spec = TransformerDecoderModelSpec.from_config(1, 2, pre_norm=True)
def number(shape):
    return numbers.random(shape, dtype=numpy.float32)
decoder = spec.decoder
decoder.embeddings.weight, decoder.projection.weight = number((13, 32)), number((13, 32))
decoder.position_encodings.encodings = number((64, 32))
decoder.layer_norm.gamma, decoder.layer_norm.beta = number(32), number(32)
for layer in decoder.layer:
    for norm in (layer.self_attention.layer_norm, layer.ffn.layer_norm):
        norm.gamma, norm.beta = number(32), number(32)
    for linear, shape in ((layer.self_attention.linear[0], (96, 32)), (layer.self_attention.linear[1], (32, 32)),
                          (layer.ffn.linear_0, (64, 32)), (layer.ffn.linear_1, (32, 64))):
        linear.weight, linear.bias = number(shape), number(shape[0])
spec.register_vocabulary(["<unk>", "<s>", "</s>", *"abcdefghij"])
spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = "<unk>", "<s>", "</s>"
spec.validate(); spec.optimize(); spec.save(".")
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
        left: What must not be in it.
        allow_pickle: What may be a pickle.
        variant: Which alternative is taken.
        max_layer_size: What is larger is cut into parts, in bytes; 0 for nothing.
        model_layout: Whether it lies in /models or in /models/1.
    """

    libraries: tuple[str, ...]
    make: str
    load: str
    taken: tuple[str, ...]
    left: tuple[str, ...] = ()
    allow_pickle: tuple[str, ...] = ()
    variant: str = ""
    max_layer_size: int = 0
    model_layout: str = "flat"


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
    "xgboost, as KServe wants it": Tiny(
        ("xgboost",),
        BOOSTED + 'model.save_model("model.json")',
        "import xgboost; assert xgboost.Booster(model_file='model.json').num_boosted_rounds() == 3",
        ("model.json",),
    ),
    "xgboost, binary": Tiny(
        ("xgboost",),
        BOOSTED + 'model.save_model("model.ubj")',
        "import xgboost; assert xgboost.Booster(model_file='model.ubj').num_boosted_rounds() == 3",
        ("model.ubj",),
    ),
    "lightgbm, as KServe wants it": Tiny(
        ("lightgbm",),
        "import lightgbm, numpy; x = numpy.arange(200.0).reshape(100, 2); "
        "lightgbm.train({'verbose': -1}, lightgbm.Dataset(x, x[:, 0])).save_model('model.bst')",
        "import lightgbm; assert lightgbm.Booster(model_file='model.bst').num_trees() > 0",
        ("model.bst",),
    ),
    "diffusers, without the fp16 variant and the pickle": Tiny(
        ("torch", "diffusers"),
        DIFFUSERS,
        "from diffusers import DDPMPipeline; pipeline = DDPMPipeline.from_pretrained('.'); "
        "assert len(pipeline(num_inference_steps=1, output_type='np').images) == 1",
        ("model_index.json", "unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json"),
        left=("unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors"),
    ),
    "diffusers, the fp16 variant": Tiny(
        ("torch", "diffusers"),
        DIFFUSERS,
        "from diffusers import DDPMPipeline; DDPMPipeline.from_pretrained('.', variant='fp16')",
        ("unet/diffusion_pytorch_model.fp16.safetensors",),
        left=("unet/diffusion_pytorch_model.safetensors",),
        variant="fp16",
    ),
    "diffusers, cut": Tiny(
        ("torch", "diffusers"),
        DIFFUSERS,
        "from diffusers import DDPMPipeline; DDPMPipeline.from_pretrained('.', low_cpu_mem_usage=False)",
        ("unet/diffusion_pytorch_model.safetensors.index.json",),
        left=("unet/diffusion_pytorch_model.safetensors",),
        max_layer_size=600_000,
    ),
    "sentence-transformers, with a module of its own": Tiny(
        ("torch", "sentence_transformers"),
        SENTENCES,
        "from sentence_transformers import SentenceTransformer; "
        "assert SentenceTransformer('.', device='cpu').encode(['a b c']).shape == (1, 16)",
        ("modules.json", "2_Dense/model.safetensors"),
    ),
    "GGUF, by llama.cpp": Tiny(("gguf", "xllamacpp"), LLAMA_GGUF + NOTE_LLAMA, HEAR_LLAMA, ("tiny-F32.gguf",)),
    "GGUF, cut, by llama.cpp": Tiny(
        ("gguf", "xllamacpp"),
        LLAMA_GGUF + NOTE_LLAMA,
        HEAR_LLAMA + READ_PARTS,
        ("tiny-F32-00001-of-00003.gguf", "tiny-F32-00003-of-00003.gguf"),
        left=("tiny-F32.gguf",),
        max_layer_size=500_000,
    ),
    "ONNX with external data": Tiny(
        ("onnx", "onnxruntime"),
        ONNX
        + 'onnx.save(model, "model.onnx", save_as_external_data=True, location="model.onnx_data", size_threshold=0)',
        "import numpy, onnxruntime; session = onnxruntime.InferenceSession('model.onnx'); "
        "assert session.run(None, {'x': numpy.ones((1, 300), dtype=numpy.float32)})[0].sum() == 300",
        ("model.onnx", "model.onnx_data"),
    ),
    "ONNX with external data that is called as pickles are": Tiny(
        ("onnx", "onnxruntime"),
        ONNX + 'onnx.save(model, "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)',
        "import numpy, onnxruntime; session = onnxruntime.InferenceSession('model.onnx'); "
        "assert session.run(None, {'x': numpy.ones((1, 300), dtype=numpy.float32)})[0].sum() == 300",
        ("model.onnx", "weights.bin"),
    ),
    "OpenVINO": Tiny(
        ("openvino",),
        OPENVINO + 'openvino.save_model(model, "openvino_model.xml", compress_to_fp16=False)',
        "import numpy, openvino; compiled = openvino.compile_model('openvino_model.xml', 'CPU'); "
        "assert compiled([numpy.ones((1, 300), dtype=numpy.float32)])[0].sum() == 300",
        ("openvino_model.bin", "openvino_model.xml"),
    ),
    "OpenVINO, below a version": Tiny(
        ("openvino",),
        OPENVINO + 'openvino.save_model(model, "openvino_model.xml", compress_to_fp16=False)',
        "import openvino; openvino.compile_model('1/openvino_model.xml', 'CPU')",
        ("1/openvino_model.bin", "1/openvino_model.xml"),
        model_layout="versioned",
    ),
    "GGUF, one type of two": Tiny(
        ("gguf",),
        GGUF.format(name="Q8_0") + GGUF.format(name="F32"),
        "import gguf; assert gguf.GGUFReader('tiny-F32.gguf').tensors[0].name == 'token_embd.weight'",
        ("tiny-F32.gguf",),
        variant="f32",
    ),
    "an adapter of PEFT, beside the states of its training": Tiny(
        ("torch", "transformers", "peft"),
        PEFT
        + """
model = get_peft_model(base, LoraConfig(target_modules=["q_proj", "v_proj"]))
for folder in (".", "last-checkpoint", "checkpoint-7"):
    model.save_pretrained(folder)
torch.save({}, "training_args.bin")
""",
        PEFT + 'assert PeftModel.from_pretrained(base, ".").peft_config["default"].r == 8',
        ("adapter_config.json", "adapter_model.safetensors"),
        left=("last-checkpoint/adapter_model.safetensors", "checkpoint-7", "training_args.bin"),
    ),
    "CTranslate2": Tiny(
        ("ctranslate2",),
        CTRANSLATE2,
        "import ctranslate2; found = ctranslate2.Generator('.', device='cpu').generate_batch([['<s>', 'a']], "
        "max_length=4, include_prompt_in_result=False); assert found[0].sequences[0]",
        ("model.bin", "vocabulary.json", "config.json"),
    ),
    "MLX, in 4 bits": Tiny(
        ("torch", "transformers", "mlx_lm"),
        TRANSFORMERS
        + WORDS
        + 'import mlx_lm; model.save_pretrained("../plain"); tokenizer.save_pretrained("../plain"); import os; '
        "made = os.getcwd(); os.rmdir(made); "
        'mlx_lm.convert("../plain", made, quantize=True, q_bits=4, q_group_size=32)',
        "import mlx_lm; model, tokenizer = mlx_lm.load('.'); "
        "assert mlx_lm.generate(model, tokenizer, prompt='a b', max_tokens=3) is not None",
        ("config.json", "model.safetensors", "tokenizer.json"),
    ),
    "timm, without the pickle": Tiny(
        ("torch", "timm"),
        "import timm, torch; from timm.models import save_for_hf; "
        "model = timm.create_model('resnet10t', num_classes=3); save_for_hf(model, '.', safe_serialization=True); "
        "torch.save(model.state_dict(), 'pytorch_model.bin')",
        "import timm; assert timm.create_model('local-dir:.', pretrained=True).num_classes == 3",
        ("config.json", "model.safetensors"),
        left=("pytorch_model.bin",),
    ),
    "transformers, in shards and in pickles": Tiny(
        ("torch", "transformers"),
        TRANSFORMERS
        + 'model.save_pretrained(".", max_shard_size="100KB"); torch.save(model.state_dict(), "pytorch_model.bin")',
        'from transformers import AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained(".")',
        ("config.json", "model.safetensors.index.json"),
        left=("pytorch_model.bin",),
    ),
    "transformers, cut": Tiny(
        ("torch", "transformers"),
        TRANSFORMERS + 'model.save_pretrained("."); total = sum(p.double().sum() for p in model.parameters()).item(); '
        'open("README.md", "w").write(str(total))',
        "from transformers import AutoModelForCausalLM; model = AutoModelForCausalLM.from_pretrained('.'); "
        "total = sum(p.double().sum() for p in model.parameters()).item(); "
        "assert abs(total - float(open('README.md').read())) < 1e-6",
        ("model.safetensors.index.json",),
        left=("model.safetensors",),
        max_layer_size=200_000,
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
        model_layout=tiny.model_layout,
        **({"reshard": True, "max_layer_size": tiny.max_layer_size} if tiny.max_layer_size else {}),
    )

    models = mounted(done.image, tmp_path)
    there = {path.relative_to(models).as_posix() for path in models.rglob("*")}
    assert set(tiny.taken) <= there
    assert not set(tiny.left) & there
    run(tiny.load, models)
