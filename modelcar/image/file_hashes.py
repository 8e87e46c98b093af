"""The SHA-256 of each of a model's files, also of those of which the Hub publishes git's object id alone."""

from collections.abc import Mapping

from modelcar.errors import WrongBytesError
from modelcar.image import recipe
from modelcar.image.model_image import ModelImage, describe_layer
from modelcar.image.read_back import read_layer
from modelcar.oci.registry import Repository
from modelcar.progress import silent


def file_hashes(repository: Repository, image: ModelImage, digests: Mapping[str, str]) -> dict[str, str]:
    """Reads what is not published out of the layers that hold it: small files, for large ones are published by it.

    Args:
        repository: Where the layers are.
        image: The image.
        digests: The digests of its layers, by their keys.

    Returns:
        The hashes, by the files' places in /models.

    Raises:
        WrongBytesError: A layer is not what its files make.
        RegistryError: The registry is unreachable or refused.
    """
    snapshot = image.proved
    hashes = {file.place: file.sha256 for file in snapshot.files if file.sha256}
    for layer, key in zip(image.layers, image.keys, strict=True):
        if all(recipe.published(entry, snapshot).sha256 for entry in layer.entries):
            continue
        read = read_layer(repository, describe_layer(layer, key, digests[key]), snapshot.by_path, silent)
        if not read.is_right:
            problem = read.problem or read.file_problems[0]
            raise WrongBytesError(f"{repository.reference.registry} gives back {digests[key]} altered: {problem}")
        hashes.update(read.hashes)
    return hashes
