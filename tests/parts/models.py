"""Made-up models whose files are those of real ones."""

import math
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.parts.model_files import write_json, write_model_files
from tests.parts.weights import Tensor, random_chunks, write_safetensors

HEADS = 4
VOCABULARY = 288
LAYERS_PER_SHARD = 8
INDEX = "model.safetensors.index.json"
MISTRAL_NAMES = {
    "model.": "",
    "lm_head": "output",
    "embed_tokens": "tok_embeddings",
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}
ODD_NAMES = (
    "notes with spaces.txt",
    "modèle-模型.txt",
    "-leading-dash.txt",
    "100% #1 & more?.txt",
    "deep/er folder/-x/+plus.txt",
)


def tiny_llama(
    folder: Path, *, shards: int = 4, bytes_per_shard: int = 1_500_000, consolidated: bool = True, seed: int = 0
) -> Path:
    """Write a Llama with random weights.

    Args:
        folder: Where to, made when missing.
        shards: The number of safetensors files.
        bytes_per_shard: About how large each of them is.
        consolidated: Whether the same weights come once more in one file, under Mistral's names.
        seed: What the weights follow from.

    Returns:
        The folder.
    """
    plan = _Llama.of_size(shards, bytes_per_shard)
    _write_llama(folder, plan, shards, seed=seed, sparse=False)
    if consolidated:
        write_safetensors(folder / "consolidated.safetensors", [*map(_mistral, plan.tensors())], seed=seed)
        write_json(folder / "params.json", plan.params())
    return folder


def sparse_model(folder: Path, shards: int, bytes_per_shard: int) -> Path:
    """Write a Llama of any size that takes no room: its weights are holes, which read as zeros."""
    _write_llama(folder, _Llama.of_size(shards, bytes_per_shard), shards, seed=0, sparse=True)
    return folder


def variants(folder: Path, *kinds: str, size: int = 300_000, seed: int = 0) -> list[str]:
    """Add the same model in other formats, as real repositories have it, and files of odd names.

    Args:
        folder: A model's folder.
        kinds: Which of `VARIANTS`; by default all.
        size: The bytes of each weights file.
        seed: What the weights follow from.

    Returns:
        The paths that were written.
    """
    return [path for kind in kinds or VARIANTS for path in VARIANTS[kind](folder, size, seed)]


@dataclass(frozen=True)
class _Llama:
    hidden: int
    layers: int

    @classmethod
    def of_size(cls, shards: int, bytes_per_shard: int) -> "_Llama":
        # A layer has ten matrices' worth of hidden x hidden numbers, of two bytes each.
        hidden = max(round(math.sqrt(bytes_per_shard / (20 * LAYERS_PER_SHARD)) / 16) * 16, 16)
        both_ends = 2 * 2 * VOCABULARY * hidden
        layers = round((shards * bytes_per_shard - both_ends) / (20 * hidden**2))
        return cls(hidden, max(layers, shards))

    def tensors(self) -> list[Tensor]:
        found = [Tensor("model.embed_tokens.weight", (VOCABULARY, self.hidden))]
        for layer in range(self.layers):
            found += [Tensor(f"model.layers.{layer}.{name}.weight", shape) for name, shape in self._layer()]
        found.append(Tensor("model.norm.weight", (self.hidden,)))
        return [*found, Tensor("lm_head.weight", (VOCABULARY, self.hidden))]

    def _layer(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        wide = 2 * self.hidden
        for letter in "qkvo":
            yield f"self_attn.{letter}_proj", (self.hidden, self.hidden)
        yield "mlp.gate_proj", (wide, self.hidden)
        yield "mlp.up_proj", (wide, self.hidden)
        yield "mlp.down_proj", (self.hidden, wide)
        yield "input_layernorm", (self.hidden,)
        yield "post_attention_layernorm", (self.hidden,)

    def config(self) -> dict[str, Any]:
        return {
            "architectures": ["LlamaForCausalLM"],
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": 2 * self.hidden,
            "max_position_embeddings": 2048,
            "model_type": "llama",
            "num_attention_heads": HEADS,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": HEADS,
            "rms_norm_eps": 1e-05,
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "vocab_size": VOCABULARY,
        }

    def params(self) -> dict[str, Any]:
        width = {"dim": self.hidden, "hidden_dim": 2 * self.hidden, "head_dim": self.hidden // HEADS}
        heads = {"n_layers": self.layers, "n_heads": HEADS, "n_kv_heads": HEADS}
        return {**width, **heads, "norm_eps": 1e-05, "vocab_size": VOCABULARY}


def _write_llama(folder: Path, plan: _Llama, shards: int, *, seed: int, sparse: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_model_files(folder, plan.config(), {"bos_token_id": 1, "eos_token_id": 2, "do_sample": True})
    weight_map: dict[str, str] = {}
    for number, tensors in enumerate(_even(plan.tensors(), shards), start=1):
        name = f"model-{number:05}-of-{shards:05}.safetensors"
        write_safetensors(folder / name, tensors, seed=seed, sparse=sparse)
        weight_map |= {tensor.name: name for tensor in tensors}
    total = sum(tensor.size for tensor in plan.tensors())
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _even(tensors: list[Tensor], shards: int) -> list[list[Tensor]]:
    found: list[list[Tensor]] = [[] for _ in range(shards)]
    total = sum(tensor.size for tensor in tensors)
    before = 0
    for tensor in tensors:
        middle = before + tensor.size // 2
        found[middle * shards // total].append(tensor)
        before += tensor.size
    return found


def _mistral(tensor: Tensor) -> Tensor:
    name = tensor.name
    for llama, mistral in MISTRAL_NAMES.items():
        name = name.replace(llama, mistral)
    return Tensor(name, tensor.shape, source=tensor.name)


def _pytorch(folder: Path, size: int, seed: int) -> list[str]:
    names = [f"pytorch_model-{number:05}-of-00002.bin" for number in (1, 2)]
    for name in names:
        _torch_archive(folder / name, size, seed)
    index_name = "pytorch_model.bin.index.json"
    weight_map = {"model.embed_tokens.weight": names[0], "lm_head.weight": names[1]}
    write_json(folder / index_name, {"metadata": {"total_size": 2 * size}, "weight_map": weight_map})
    return [*names, index_name]


def _original(folder: Path, size: int, seed: int) -> list[str]:
    (folder / "original").mkdir(exist_ok=True)
    _torch_archive(folder / "original/consolidated.00.pth", size, seed)
    write_json(folder / "original/params.json", _Llama(64, 8).params())
    _weights_file(folder / "original/tokenizer.model", b"\n\x0e\n\x05<unk>", 4096, seed)
    return [f"original/{name}" for name in ("consolidated.00.pth", "params.json", "tokenizer.model")]


def _flax(folder: Path, size: int, seed: int) -> list[str]:
    return [_weights_file(folder / "flax_model.msgpack", b"\x81\xa5model\xc6", size, seed)]


def _tensorflow(folder: Path, size: int, seed: int) -> list[str]:
    return [_weights_file(folder / "tf_model.h5", b"\x89HDF\r\n\x1a\n", size, seed)]


def _onnx(folder: Path, size: int, seed: int) -> list[str]:
    (folder / "onnx").mkdir(exist_ok=True)
    name = _weights_file(folder / "onnx/model.onnx", b"\x08\x08\x12\x07pytorch", size, seed)
    return [f"onnx/{name}"]


def _odd(folder: Path, size: int, seed: int) -> list[str]:
    for name in ODD_NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n")
    return list(ODD_NAMES)


VARIANTS: dict[str, Callable[[Path, int, int], list[str]]] = {
    "pytorch": _pytorch,
    "original": _original,
    "flax": _flax,
    "tensorflow": _tensorflow,
    "onnx": _onnx,
    "odd": _odd,
}


def _weights_file(path: Path, magic: bytes, size: int, seed: int) -> str:
    with path.open("wb") as file:
        file.write(magic)
        file.writelines(random_chunks(seed, path.name, size - len(magic)))
    return path.name


def _torch_archive(path: Path, size: int, seed: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(_entry("archive/data.pkl"), b"\x80\x02}q\x00.")
        with archive.open(_entry("archive/data/0"), "w", force_zip64=True) as data:
            for piece in random_chunks(seed, path.name, size):
                data.write(piece)


def _entry(name: str) -> zipfile.ZipInfo:
    # The time of writing would make the same weights another file each time.
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
