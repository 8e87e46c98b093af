"""LoRA adapters beside their model, in one image."""

import json
from pathlib import Path

import pytest

from modelcar.attestation.keys import PublicKey
from modelcar.errors import SelectionError
from modelcar.hub.selection import Selection
from modelcar.sources.opening import open_source
from modelcar.steps.verify.result import Outcome
from modelcar.steps.verify.verify import verify
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.signing_keys import write_keys
from tests.parts.steps import build, download, plan, stream
from tests.parts.weights import Tensor, write_safetensors

BASE = "example/tiny-llama"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """Give a LoRA adapter as PEFT saves it, after a training."""
    folder = tmp_path / "sql"
    (folder / "checkpoint-10").mkdir(parents=True)
    config = {"peft_type": "LORA", "r": 24, "base_model_name_or_path": BASE}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    write_safetensors(folder / "adapter_model.safetensors", [Tensor("lora_A.weight", (24, 64))], seed=1)
    (folder / "checkpoint-10" / "optimizer.pt").write_bytes(b"x" * 99)
    (folder / "README.md").write_text("# An adapter\n")
    return folder


@pytest.fixture
def published(hub: Hub, model: Path, adapter: Path) -> Hub:
    """Give a Hub that has the model, and the adapter as example/sql."""
    hub.publish(BASE, model)
    hub.publish("example/sql", adapter)
    return hub


def test_an_image_holds_the_model_and_the_adapter_in_a_folder(
    published: Hub, adapter: Path, plain_registry: Registry, tmp_path: Path
) -> None:
    streamed = stream(BASE, f"{plain_registry.host}/lora/streamed:1", adapters=["example/sql"])
    downloaded = download(BASE, tmp_path / "claim", adapters=["example/sql"])
    built = build(downloaded.directory, f"{plain_registry.host}/lora/built:1", builder="direct")
    assert built.image.digest == streamed.image.digest
    paths = {file.place for file in downloaded.snapshot.files}
    alone = {file.place for file in download(BASE, tmp_path / "alone").snapshot.files}
    added = {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    assert paths == alone | {f"lora-adapters/sql/{name}" for name in added}
    for name in added:
        there = downloaded.directory / "lora-adapters" / "sql" / name
        assert there.read_bytes() == (adapter / name).read_bytes()
    # The model's layers are those that it has without the adapter.
    without = stream(BASE, f"{plain_registry.host}/lora/streamed:2")
    assert without.commit != streamed.commit
    again = stream(BASE, f"{plain_registry.host}/lora/streamed:1", adapters=["example/sql"])
    assert again.unchanged


def test_the_server_is_told_of_them(published: Hub, hub: Hub, adapter: Path) -> None:
    hub.publish("other/maths", adapter)
    serving = plan(BASE, adapters=["example/sql", "other/maths"]).snapshot.serving
    assert serving is not None
    words = " ".join(serving.arguments)
    modules = "maths=/mnt/models/lora-adapters/maths sql=/mnt/models/lora-adapters/sql"
    assert f"--enable-lora --max-loras 2 --max-lora-rank 32 --lora-modules {modules}" in words
    assert (serving.runtime, serving.model_class, serving.limits) == ("vLLM", "transformers", ())
    versioned = plan(BASE, adapters=["example/sql"], model_layout="versioned").snapshot.serving
    assert versioned is not None
    assert "sql=/mnt/models/1/lora-adapters/sql" in versioned.arguments


def test_an_adapter_of_ones_own_goes_onto_a_published_model(published: Hub, adapter: Path) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "other/llama"}))
    serving = plan(BASE, adapters=[str(adapter)]).snapshot.serving
    assert serving is not None
    assert serving.limits[-1] == "The adapter sql says that it was made for other/llama."


def test_patterns_and_variants_are_of_the_model(published: Hub) -> None:
    for given in ({"include": ["consolidated*"]}, {"everything": True}):
        taken = {file.path for file in plan(BASE, adapters=["example/sql"], **given).choice.taken}
        assert "lora-adapters/sql/adapter_model.safetensors" in taken


def test_what_is_no_adapter_is_refused(published: Hub, hub: Hub, adapter: Path) -> None:
    hub.publish("other/sql", adapter)
    for adapters, says in (
        ([BASE], "is no LoRA adapter, but transformers"),
        (["example/sql", "other/sql"], "two adapters are called sql"),
    ):
        with pytest.raises(SelectionError, match=says):
            Selection(BASE, adapters=adapters).resolve(open_source(BASE, adapters=adapters))


def test_the_signed_list_proves_the_image(
    published: Hub, plain_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = write_keys(tmp_path, "ours")
    monkeypatch.setenv("MODELCAR_SIGNING_KEY", str(private))
    image = str(stream(BASE, f"{plain_registry.host}/lora/signed:1", adapters=["example/sql"]).image)
    found = verify(image, key=PublicKey.read(public))
    assert found.outcome is Outcome.WHOLE
    (link,) = [link for link in found.links if link.name == "source"]
    assert "example/tiny-llama@" in link.detail
    assert "example/sql@" in link.detail
