"""Models in a registry: an image with files in /models, or an artifact whose layers are files."""

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from modelcar.errors import SourceError
from modelcar.hub.paths import safe_path
from modelcar.oci import spec
from modelcar.oci.reference import Reference
from modelcar.oci.registry import Repository, Stored
from modelcar.progress import Progress
from modelcar.sources.layers import Entry, Layer
from modelcar.sources.shelf import name_of

MODELS = "models"
"""The folder of a modelcar that KServe serves."""

PATH_IN_MODEL, UNPACK = "org.cncf.model.filepath", "io.deis.oras.content.unpack"
"""Annotations of ModelPack's and of oras's layers."""

PARALLEL_LAYERS = 4

_CONFIGS = (spec.CONFIG, "application/vnd.docker.container.image.v1+json")
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_MAX_LINKS = 16
_SHA256 = "sha256:"


@dataclass(frozen=True)
class _Place:
    """Place of a file.

    Attributes:
        layer: The layer that it is in.
        start: Where it begins there, unpacked.
        size: Its size in bytes.
        sha256: Of its bytes, where that is known; else empty.
    """

    layer: Layer
    start: int
    size: int
    sha256: str = ""


class ImageShelf:
    """An image of a model, of whichever maker, or an artifact whose layers are its files.

    Files of an artifact have their hashes in its manifest, and need not be read to be listed. Logins are those for
    images, from where podman and docker keep them, and in a pod from the mounted Secrets.

    Args:
        uri: oci://registry/repository:tag, or with a digest.

    Raises:
        UnsafeNameError: It is no such address.
    """

    def __init__(self, uri: str) -> None:
        self._reference = Reference.parse(uri)
        self._repository = Repository(self._reference)
        *above, name = self._reference.repository.split("/")
        self.model = f"{name_of(above[-1] if above else self._reference.registry)}/{name_of(name)}"

    @cached_property
    def uri(self) -> str:
        """The image, pinned to the digest that it has now."""
        return f"oci://{self._reference.at(self._top.digest)}"

    @cached_property
    def _top(self) -> Stored:
        return self._repository.manifest(self._reference.version)

    def sizes(self) -> Mapping[str, int]:
        """Returns the files' sizes by their paths.

        Raises:
            SourceError: It is packed in a way that is not read here, or holds no files of a model.
            RegistryError: It cannot be read.
        """
        return {path: place.size for path, place in self._places.items()}

    def hashes(self) -> Mapping[str, str]:
        """Returns the hashes that the manifest names, and those that came of reading what is compressed."""
        return {path: place.sha256 for path, place in self._places.items() if place.sha256}

    def read(self, path: str, start: int, end: int) -> Iterator[bytes]:
        """Gives the bytes of a file from an offset to before another."""
        place = self._places[path]
        return place.layer.read(place.start + start, place.start + min(end, place.size))

    def close(self) -> None:
        """Ends all reads."""
        self._repository.close(for_good=False)

    @cached_property
    def _places(self) -> dict[str, _Place]:
        manifest = self._manifest()
        is_image = manifest.config.media_type in _CONFIGS and manifest.artifact_type is None
        places = self._of_image(manifest) if is_image else self._of_artifact(manifest)
        if not places:
            where = f"in /{MODELS} of" if is_image else "in"
            raise SourceError(f"there are no files {where} {self._reference}", "Name an image that KServe could serve")
        return _without_single_folder({safe_path(path): place for path, place in places.items()})

    def _manifest(self) -> spec.Manifest:
        if not self._top.is_index:
            return self._top.manifest()
        entries = [one for one in self._top.index().manifests if one.media_type in spec.MANIFESTS]
        # Beside the images there may be what BuildKit attests of them, for no platform. A model's files are the same
        # for each.
        known = [one for one in entries if one.platform is None or one.platform.os != "unknown"]
        if not known:
            raise SourceError(f"{self._reference} names no image", "Name one of its manifests by its digest")
        return self._repository.manifest(known[0].digest).manifest()

    def _of_image(self, manifest: spec.Manifest) -> dict[str, _Place]:
        found: dict[str, tuple[Layer, Entry]] = {}
        for layer in self._examined(manifest.layers, _is_models):
            _lay_over(found, layer)
        inside = {path: one for path, one in found.items() if _is_models(path)}
        return {path.removeprefix(f"{MODELS}/"): _place(*_followed(path, one, found)) for path, one in inside.items()}

    def _examined(self, layers: Sequence[spec.Descriptor], is_wanted: Callable[[str], bool]) -> list[Layer]:
        """Reads layers once, several at the same time."""
        found = [Layer(self._repository, descriptor) for descriptor in layers]
        total = sum(descriptor.size for descriptor in layers)
        with Progress("hash", total) as progress, ThreadPoolExecutor(PARALLEL_LAYERS) as pool:
            list(pool.map(lambda layer: layer.examine(is_wanted, progress.advance), found))
        return found

    def _of_artifact(self, manifest: spec.Manifest) -> dict[str, _Place]:
        packed = [one for one in manifest.layers if _is_packed(one)]
        places: dict[str, _Place] = {}
        for examined in self._examined(packed, lambda path: True):
            found: dict[str, tuple[Layer, Entry]] = {}
            _lay_over(found, examined)
            places |= {path: _place(*_followed(path, one, found)) for path, one in found.items()}
        for descriptor in manifest.layers:
            if descriptor in packed or descriptor.media_type == spec.EMPTY:
                continue
            layer, said = Layer(self._repository, descriptor), descriptor.annotations or {}
            path = said.get(PATH_IN_MODEL) or said.get(spec.TITLE, "")
            if not path:
                raise SourceError(
                    f"a layer of {self._reference} has no name ({descriptor.digest}, {descriptor.media_type})",
                    "Push it with oras or a tool of ModelPack, which name the files",
                )
            known = descriptor.digest.removeprefix(_SHA256) if descriptor.digest.startswith(_SHA256) else ""
            places[path.removeprefix("./").removeprefix(f"{MODELS}/")] = _Place(layer, 0, descriptor.size, known)
        return places


def _is_models(path: str) -> bool:
    return path.startswith(f"{MODELS}/")


def _is_packed(layer: spec.Descriptor) -> bool:
    """Tells whether a layer of an artifact is a folder, and no file."""
    unpack = (layer.annotations or {}).get(UNPACK) == "true"
    return unpack or layer.media_type.endswith((".tar", ".tar+gzip", ".tar.gzip"))


def _place(layer: Layer, entry: Entry) -> _Place:
    return _Place(layer, entry.offset, entry.size, entry.sha256)


def _lay_over(found: dict[str, tuple[Layer, Entry]], layer: Layer) -> None:
    """Lays a layer over those below it; its whiteouts remove what they hold."""
    for entry in layer.entries:
        folder, _, name = entry.path.rpartition("/")
        if name.startswith(_WHITEOUT):
            gone = folder if name == _OPAQUE else posixpath.join(folder, name.removeprefix(_WHITEOUT))
            for path in [path for path in found if path == gone or path.startswith(f"{gone}/" if gone else "")]:
                del found[path]
    for entry in layer.entries:
        if not posixpath.basename(entry.path).startswith(_WHITEOUT):
            found[entry.path] = (layer, entry)


def _followed(path: str, one: tuple[Layer, Entry], found: Mapping[str, tuple[Layer, Entry]]) -> tuple[Layer, Entry]:
    """Follows links to the file that they lead to."""
    at = path
    for _ in range(_MAX_LINKS):
        entry = one[1]
        if not entry.link:
            return one
        start = posixpath.dirname(at) if entry.is_symbolic and not entry.link.startswith("/") else ""
        at = posixpath.normpath(posixpath.join(start, entry.link.lstrip("/") if not start else entry.link)).lstrip("/")
        if at not in found:
            break
        one = found[at]
    raise SourceError(f"/{path} is a link to {one[1].link}, where there is no file", "Put the file itself in its place")


def _without_single_folder(places: dict[str, _Place]) -> dict[str, _Place]:
    """Takes off the folder that all files are in, such as that of a version, or of what oras packed."""
    while all("/" in path for path in places):
        tops = {path.partition("/")[0] for path in places}
        if len(tops) > 1:
            return places
        places = {path.partition("/")[2]: place for path, place in places.items()}
    return places
