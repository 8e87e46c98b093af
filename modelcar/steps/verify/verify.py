"""Checks the whole chain of an image again: registry entry, manifests, layers, files, the Hub, and what is signed.

Nothing that a registry, an annotation or an attachment says is believed where it can be computed.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pydantic import ValidationError

from modelcar.attestation.documents import Documents, read_documents
from modelcar.attestation.keys import PublicKey
from modelcar.errors import ModelcarError, RegistryError, WrongBytesError
from modelcar.hub.client import Hub
from modelcar.hub.snapshot import PublishedFile, Snapshot
from modelcar.image import annotations, recipe
from modelcar.image.base_image import open_base_image
from modelcar.oci import spec
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored
from modelcar.oci.tar_writer import Entry, Layer
from modelcar.progress import Progress
from modelcar.steps.verify.layers import ReadFile, is_models, read_layer
from modelcar.steps.verify.result import Verification

PARALLEL_LAYERS = 4


@dataclass(frozen=True)
class _Image:
    """An image as its registry has it."""

    repository: Repository
    top: Stored
    said: dict[str, str]
    manifests: list[spec.Manifest]

    @property
    def model(self) -> str:
        return self.said[annotations.MODEL]

    @property
    def commit(self) -> str:
        return self.said[spec.REVISION]

    @property
    def model_layers(self) -> list[spec.Descriptor]:
        return [layer for layer in self.manifests[0].layers if is_models(layer)]


def verify(
    source: str,
    *,
    key: PublicKey | None = None,
    model_registry: str = "",
    registered_name: str = "",
    offline: bool = False,
    quick: bool = False,
) -> Verification:
    """Checks the chain of an image from the Model Registry's entry to the Hub.

    Args:
        source: The image.
        key: Whose signatures it must have; None checks none.
        model_registry: The Model Registry whose entry must name the image; empty for none.
        registered_name: The registered model's name there; empty for the model's id.
        offline: Holds the files against the provenance statement instead of asking the Hub.
        quick: Takes the registry's word for the layers' bytes, of which none is read.

    Returns:
        Every link with what came of it. A broken link is no error of this function's.

    Raises:
        RegistryError: The image cannot be read at all.
        HubError: The Hub cannot be asked.
        ModelRegistryError: The Model Registry cannot be asked.
    """
    reference = Reference.parse(source)
    with Repository(reference) as repository:
        top = repository.manifest(reference.version)
        done = Verification(reference.at(top.digest))
        image = _read_image(repository, top, done)
        if image is None:
            return done
        if model_registry:
            _check_entry(image, model_registry, registered_name, done)
        documents = read_documents(repository, top.digest, key)
        published = _check_origin(image, documents, done, offline=offline)
        _check_base(image, done, offline=offline)
        _check_layers(image, published, documents, done, quick=quick)
        _check_signature(documents, done, asked=key is not None)
        return done


def _read_image(repository: Repository, top: Stored, done: Verification) -> _Image | None:
    said = top.annotations()
    if not {annotations.MODEL, annotations.RECIPE, spec.REVISION, spec.BASE_DIGEST, spec.BASE_NAME} <= said.keys():
        done.note("image", "it does not say which model it holds: no image of this project", proved=False)
        return None
    try:
        stored = [repository.manifest(one.digest) for one in top.index().manifests] if top.is_index else [top]
        manifests = [one.manifest() for one in stored]
        for manifest in manifests:
            config = spec.Config.model_validate_json(repository.small_blob(manifest.config.digest))
            _check_layering(manifest, config, manifests[0])
    except (WrongBytesError, RegistryError, ValidationError) as error:
        done.note("image", str(error), proved=False)
        return None
    platforms = f"{len(manifests)} platform{'s' * (len(manifests) > 1)}"
    done.note("image", f"{top.digest}, {platforms}, of {said[annotations.MODEL]}", proved=True)
    return _Image(repository, top, said, manifests)


def _check_layering(manifest: spec.Manifest, config: spec.Config, first: spec.Manifest) -> None:
    models = [layer for layer in manifest.layers if is_models(layer)]
    if not models or manifest.layers[-len(models) :] != models:
        raise WrongBytesError("there are layers above the model's own")
    if models != [layer for layer in first.layers if is_models(layer)]:
        raise WrongBytesError("its platforms hold different models")
    if config.rootfs.diff_ids[-len(models) :] != [layer.digest for layer in models]:
        raise WrongBytesError("its config names other layers than its manifest")


def _check_entry(image: _Image, url: str, name: str, done: Verification) -> None:
    from modelcar.model_registry import VERSION_DIGITS, registered_uri

    entry = f"{name or image.model}, version {image.commit[:VERSION_DIGITS]}"
    uri = registered_uri(url, name or image.model, image.commit)
    if not uri:
        done.note("registry entry", f"there is none for {entry}", proved=False)
    else:
        same = uri.rpartition("@")[2] == image.top.digest
        done.note("registry entry", f"{entry} names {'' if same else 'another image: '}{uri}", proved=same)


def _check_origin(image: _Image, documents: Documents, done: Verification, *, offline: bool) -> Snapshot | None:
    """What was published, by the Hub or, offline, by the provenance statement."""
    for problem in documents.problems:
        done.note("provenance", problem, proved=False)
    origin = documents.provenance
    published: Snapshot | None = None
    if not offline:
        published = Hub().snapshot(image.model, image.commit)
        done.note("Hub", f"{image.model} at commit {published.commit}", proved=published.commit == image.commit)
    if origin is None:
        if not documents.problems:
            missing = "nothing says where it comes from"
            if offline:
                done.note("provenance", f"{missing}, and offline nothing else does", proved=False)
            else:
                done.pass_over("provenance", f"{missing}; whether files were left out is not known")
        return published
    said = (origin.model, origin.commit, origin.recipe)
    if said != (image.model, image.commit, image.said[annotations.RECIPE]):
        done.note("provenance", f"it is of {origin.model} at {origin.commit}, by another recipe", proved=False)
    unknown = _differing(origin.files, published) if published else []
    for path in unknown:
        done.note("provenance", f"it names {path}, of which the Hub published no such bytes", proved=False)
    if not unknown and said[:2] == (image.model, image.commit):
        signed = "signed with this key" if documents.signed else "not signed, or not checked"
        done.note("provenance", f"{len(origin.files)} files, {signed}", proved=True)
    return published or _snapshot(image, origin.files)


def _snapshot(image: _Image, files: Sequence[PublishedFile]) -> Snapshot:
    return Snapshot.model_validate(
        {
            "model": image.model,
            "commit": image.commit,
            "created": image.said[spec.CREATED],
            "source": image.said.get(spec.SOURCE, ""),
            "files": tuple(files),
        }
    )


def _differing(files: Sequence[PublishedFile], published: Snapshot) -> list[str]:
    return [
        file.path
        for file in files
        if file.path not in published.by_path or published.by_path[file.path].identity != file.identity
    ]


def _check_base(image: _Image, done: Verification, *, offline: bool) -> None:
    name, digest = image.said[spec.BASE_NAME], image.said[spec.BASE_DIGEST]
    base = open_base_image("")
    if base.digest != digest:
        if offline:
            done.pass_over("base image", f"{name} at {digest}: offline only its layers' digests are checked")
            return
        reference = Reference.parse(name)
        try:
            base = open_base_image(str(reference.at(digest)))
        except ModelcarError as error:
            done.pass_over("base image", f"{name} at {digest}: {error}")
            return
    wanted = [[layer.digest for layer in variant.layers] for variant in base.variants]
    found = [[layer.digest for layer in one.layers if not is_models(layer)] for one in image.manifests]
    detail = f"{name} at {digest}" if found == wanted else f"its layers are not those of {name} at {digest}"
    done.note("base image", detail, proved=found == wanted)


def _check_layers(
    image: _Image, published: Snapshot | None, documents: Documents, done: Verification, *, quick: bool
) -> None:
    every = {layer.digest: layer for manifest in image.manifests for layer in manifest.layers}
    if quick:
        lacking = [digest for digest in every if not image.repository.has_blob(digest)]
        for digest in lacking:
            done.note("layer", f"{digest} is gone", proved=False)
        if not lacking:
            done.pass_over("layers", f"all {len(every)} are there; their bytes were not read")
        done.pass_over("files", "not read")
        return
    in_git = {file.path for file in published.files if not file.sha256} if published else set()
    total = sum(layer.size for layer in every.values())
    with Progress("verify", total) as progress, ThreadPoolExecutor(PARALLEL_LAYERS) as pool:
        reading = pool.map(lambda layer: read_layer(image.repository, layer, in_git, progress), every.values())
        contents = dict(zip(every, reading, strict=True))
    wrong = {digest: layer.problem for digest, layer in contents.items() if layer.problem}
    for digest, problem in wrong.items():
        done.note("layer", f"{digest}: {problem}", proved=False)
    if not wrong:
        done.note("layers", f"{len(every)}, {total} bytes, each with its digest", proved=True)
    if published is not None:
        files = [file for layer in image.model_layers for file in contents[layer.digest].files]
        _check_files(files, published, documents, done)
        if done.is_whole:
            _check_recipe(image, [contents[layer.digest].files for layer in image.model_layers], published, done)


def _check_files(files: Sequence[ReadFile], published: Snapshot, documents: Documents, done: Verification) -> None:
    wrong = 0
    seen: set[str] = set()
    for file in files:
        wanted = published.by_path.get(file.path)
        problem = ""
        if file.path in seen:
            problem = "it is there twice"
        elif wanted is None:
            problem = "nobody published a file of that name"
        elif not file.is_the(wanted):
            problem = f"it is sha256:{file.sha256}, and {wanted.identity} was published"
        if problem:
            wrong += 1
            done.note("file", f"{file.path}, in layer {file.layer}: {problem}", proved=False)
        seen.add(file.path)
    if documents.provenance:
        for path in sorted({file.path for file in documents.provenance.files} - seen):
            wrong += 1
            done.note("file", f"{path}: the provenance names it, and it is not there", proved=False)
    if not wrong:
        done.note("files", f"{len(files)}, each with the hash that was published", proved=True)
    listed = documents.inventory
    if listed is not None:
        hashes = {file.path: file.sha256 for file in files}
        same = listed.keys() == seen and all(not listed[path] or listed[path] == hashes[path] for path in seen)
        done.note("inventory", f"{len(listed)} files, {'those' if same else 'not those'} in the layers", proved=same)


def _check_recipe(
    image: _Image, contents: Sequence[Sequence[ReadFile]], published: Snapshot, done: Verification
) -> None:
    parts = [
        Layer(tuple(Entry(f"{recipe.MODELS}/{file.path}", _Nowhere(), file.size) for file in files))
        for files in contents
    ]
    same = recipe.recipe(parts, image.said[spec.BASE_DIGEST], published) == image.said[annotations.RECIPE]
    detail = "files, layers and base make it" if same else "the image's files, layers and base make another one"
    done.note("recipe", detail, proved=same)


class _Nowhere:
    """The source of a file whose bytes were read already."""

    def read(self, start: int = 0) -> Iterator[bytes]:
        return iter(())


def _check_signature(documents: Documents, done: Verification, *, asked: bool) -> None:
    if not asked:
        there = "there is one" if documents.signatures else "there is none"
        done.pass_over("signature", f"{there}; no key was given to check it with")
    elif documents.is_signed:
        done.note("signature", "made with this key, of this image", proved=True)
    elif documents.signatures:
        done.note("signature", documents.signature_problem, proved=False)
    else:
        done.note("signature", "there is none", proved=False)
