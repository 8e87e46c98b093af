"""The model card in an image, whatever its author wrote."""

import shutil
from pathlib import Path

import pytest

from modelcar.image.model_card import MAX_README_CHARS, ModelCard, read_model_card
from modelcar.oci.registry import Repository
from tests.parts.hub import Hub
from tests.parts.registries import Registry
from tests.parts.steps import stream


def card_of(readme: bytes, hub: Hub, model: Path, registry: Registry, folder: Path) -> ModelCard:
    """The card of an image that was streamed with a README."""
    whole = Path(shutil.copytree(model, folder / "model"))
    (whole / "README.md").write_bytes(readme)
    hub.publish("example/with-card", whole)
    image = stream("example/with-card", f"{registry.host}/{folder.name[:20].strip('-_').lower()}:1").image
    with Repository(image) as repository:
        stored = repository.manifest(image.digest)
        manifest = repository.manifest(stored.index().manifests[0].digest).manifest()
        return read_model_card(repository, manifest.layers, stored.annotations())


@pytest.mark.parametrize(
    ("readme", "text", "language", "tasks"),
    [
        (b"# Only text", "# Only text", (), ()),
        (b"", "", (), ()),
        (b"---\nlanguage: en\npipeline_tag: fill-mask\n---\nText", "Text", ("en",), ("fill-mask",)),
        (b"---\r\nlanguage: [en, de, en]\r\n---\r\nText\r\n", "Text", ("en", "de"), ()),
        (b"---\nlanguage: [no, 3, {a: b}, '  ']\n---\nText", "Text", (), ()),
        (b"---\nlanguage: {en: 1}\n---\nText", "Text", (), ()),
        (b"---\n: : : [\n---\nText", "Text", (), ()),
        (b"---\n- a list\n---\nText", "Text", (), ()),
        (b"---\nunfinished: yes\n", "---\nunfinished: yes", (), ()),
        (b'---\nlanguage: "a\\x1b[31m"\n---\n\xff\xfe\x00Text', "\N{REPLACEMENT CHARACTER}" * 2 + "Text", (), ()),
    ],
)
def test_card_is_read_as_far_as_it_goes(
    readme: bytes,
    text: str,
    language: tuple[str, ...],
    tasks: tuple[str, ...],
    hub: Hub,
    model: Path,
    plain_registry: Registry,
    tmp_path: Path,
) -> None:
    card = card_of(readme, hub, model, plain_registry, tmp_path)

    assert (card.readme, card.language, card.tasks) == (text, language, tasks)
    assert card.provider == "example"


def test_long_readme_is_cut(hub: Hub, model: Path, plain_registry: Registry, tmp_path: Path) -> None:
    card = card_of(b"word " * 50_000, hub, model, plain_registry, tmp_path)

    assert len(card.readme) < MAX_README_CHARS + 100
    assert card.readme.endswith("*The rest is in the image.*\n")


def test_readme_without_end_is_left_out(hub: Hub, model: Path, plain_registry: Registry, tmp_path: Path) -> None:
    assert card_of(b"word " * 300_000, hub, model, plain_registry, tmp_path).readme == ""
