"""A model of 80 GB of which there is nothing but what the Hub publishes: whoever reads its weights finds none."""

from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from modelcar.attestation.attach import attach
from modelcar.attestation.contents import Contents
from modelcar.attestation.keys import SigningKey
from modelcar.hub.client import Hub as HubClient
from modelcar.hub.selection import Selection
from modelcar.image import layout
from modelcar.image.base_image import open_base_image
from modelcar.image.file_hashes import file_hashes
from modelcar.image.model_image import ModelImage
from modelcar.oci.registry import Repository
from modelcar.oci.tar_writer import Layer
from tests.parts.hub import Hub
from tests.parts.hub_store import Absent, Source

SHARDS, SHARD_BYTES = 17, 4_800_000_000
SMALL = {"config.json": '{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}', "tokenizer_config.json": "{}"}


def publish(hub: Hub, model: str) -> None:
    """Publishes it."""
    weights: dict[str, Source] = {
        f"model-{number:05}-of-{SHARDS:05}.safetensors": Absent(SHARD_BYTES, sha256(b"%d" % number).hexdigest())
        for number in range(1, SHARDS + 1)
    }
    hub.publish(model, {**weights, **SMALL})


@dataclass(frozen=True)
class HugeImage:
    """Its image, as a run has it that has sent the layers.

    Attributes:
        image: The image.
        digests: The digests of its layers; those of weights are made up.
    """

    image: ModelImage
    digests: dict[str, str]

    @classmethod
    def of(cls, model: str, repository: Repository) -> "HugeImage":
        """Makes it; the layers of small files are sent."""
        hub = HubClient()
        snapshot = Selection(model).resolve(hub).snapshot
        layers = tuple(layout.part(snapshot, hub.readers(snapshot)))
        image = ModelImage(snapshot, layers, open_base_image(""))
        digests = {key: _digest(layer, key, repository) for layer, key in zip(layers, image.keys, strict=True)}
        return cls(image, digests)

    def sign(self, repository: Repository, key: SigningKey) -> str:
        """Signs it as a run does at its end; gives its digest."""
        written = self.image.assemble(self.digests)
        base = self.image.base
        contents = Contents(
            self.image.snapshot, base.name, base.digest, self.image.recipe, self.image.layer_of(self.digests)
        )
        attach(repository, written.images, contents, partial(file_hashes, repository, self.image, self.digests), key)
        return written.top.digest


def _digest(layer: Layer, key: str, repository: Repository) -> str:
    if layer.size > SHARD_BYTES:
        return f"sha256:{sha256(key.encode()).hexdigest()}"
    content = b"".join(piece.data for piece in layer.pieces())
    repository.put_small_blob(content)
    return f"sha256:{sha256(content).hexdigest()}"
