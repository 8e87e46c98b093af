"""Checks the whole chain of an image again: registry entry, manifests, layers, files, the Hub, and what is signed.

Nothing that a registry, an annotation or an attachment says is believed where it can be computed. An image is whole
only if every byte that a container would see was read, or is named by a statement that is signed with the key given,
and if making the image again from commit, files and base gives this very image. What could not be proved is said.
"""

from collections.abc import Iterator

from modelcar.attestation.documents import Documents, read_documents
from modelcar.attestation.signer import Checker
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository
from modelcar.steps.verify.cut_files import prove_cut_files
from modelcar.steps.verify.found import FoundImage, read_image
from modelcar.steps.verify.layers import Contents, read_layers, trust_layers
from modelcar.steps.verify.origin import Origin, find_base, find_origin
from modelcar.steps.verify.recomputed import recompute
from modelcar.steps.verify.result import Link, Verification, broken, not_checked, not_proved, proved


def verify(
    source: str,
    *,
    key: Checker | None = None,
    model_registry: str = "",
    registered_name: str = "",
    offline: bool = False,
    quick: bool = False,
    allow_base_models: bool = False,
) -> Verification:
    """Checks the chain of an image from the Model Registry's entry to the Hub.

    Args:
        source: The image.
        key: Whose signatures it must have: a key's or an identity's; None checks none.
        model_registry: The Model Registry whose entry must name the image; empty for none.
        registered_name: The registered model's name there; empty for the model's id.
        offline: Holds the files against the statement that is signed with the key, instead of asking the Hub.
        quick: Reads no layer, and takes the word of the statement that is signed with the key.
        allow_base_models: Takes a base image that has files in /models, which are served with the model.

    Returns:
        Every link with what came of it. A broken link is no error of this function's.

    Raises:
        RegistryError: The image cannot be read at all.
        ModelRegistryError: The Model Registry cannot be asked.
    """
    reference = Reference.parse(source)
    with Repository(reference) as repository:
        top = repository.manifest(reference.version)
        done = Verification(reference.at(top.digest))
        image, link = read_image(repository, top)
        done.add([link])
        if image is None:
            return done
        if model_registry:
            done.add([_check_entry(image, model_registry, registered_name)])
        origin, links = find_origin(image, key, offline=offline, quick=quick)
        base, link = find_base(image, offline=offline)
        if quick:
            contents = trust_layers(image, base, origin)
        else:
            contents = read_layers(image, base, origin, allow_base_models=allow_base_models)
        contents = prove_cut_files(image, image.model_layers(base), origin.resharded, contents)
        again = recompute(image, base, origin, contents)
        documents = read_documents(repository, top.digest, key, again.contents)
        done.add([*links, *_check_provenance(documents, origin, key), link, *contents.links])
        done.add([*again.links, *_check_inventory(documents), *_check_model_signature(documents, contents, key)])
        done.add([_check_signature(documents, key)])
        return done


def _check_entry(image: FoundImage, url: str, name: str) -> Link:
    from modelcar.model_registry import VERSION_DIGITS, registered_uri

    entry = f"{name or image.model}, version {image.commit[:VERSION_DIGITS]}"
    uri = registered_uri(url, name or image.model, image.commit)
    if not uri:
        return broken("registry entry", f"there is none for {entry}")
    if uri.rpartition("@")[2] != image.top.digest:
        return broken("registry entry", f"{entry} names another image: {uri}")
    return proved("registry entry", f"{entry} names {uri}")


def _check_provenance(documents: Documents, origin: Origin, key: Checker | None) -> Iterator[Link]:
    verdict = documents.provenance
    if verdict.problem:
        yield broken("provenance", verdict.problem)
    elif key is not None and not verdict.found:
        yield broken("provenance", "there is none")
    elif key is not None and not verdict.counted:
        yield broken("provenance", f"it is not signed {key.words}")
    elif key is not None and not verdict.is_right:
        yield not_proved("provenance", f"signed {key.words}; it could not be held against the image")
    elif key is not None:
        yield proved("provenance", f"signed {key.words}, and it says what this image is made of")
    elif not origin.by_hub:
        there = "it is not known who wrote it" if origin.statement else "nothing says where it comes from"
        yield not_proved("provenance", f"{there}, and the Hub was not asked; give the key that signed it (--key)")
    elif verdict.is_right:
        yield proved("provenance", "it says what this image is made of; whether it is signed was not checked")
    else:
        yield not_checked("provenance", "there is none")


def _check_inventory(documents: Documents) -> Iterator[Link]:
    verdict = documents.inventory
    if verdict.problem:
        yield broken("inventory", verdict.problem)
    elif verdict.is_right:
        yield proved("inventory", "it lists what is in the layers")


def _check_model_signature(documents: Documents, contents: Contents, key: Checker | None) -> Iterator[Link]:
    verdict = documents.model
    if verdict.problem:
        yield broken("model signature", verdict.problem)
    elif key is not None and verdict.is_right:
        read = "" if contents.hashes else "; small files, published by git's hash, were not compared"
        yield proved("model signature", f"OpenSSF's, made {key.words}, of the files that were published{read}")


def _check_signature(documents: Documents, key: Checker | None) -> Link:
    verdict = documents.signature
    if key is None:
        there = "there is one" if verdict.found else "there is none"
        return not_checked("signature", f"{there}; no key was given to check it with")
    if verdict.is_right:
        return proved("signature", f"made {key.words}, of this image")
    return broken("signature", verdict.problem or "there is none")
