"""Image references: `registry/repository:tag` or `registry/repository@sha256:…`."""

import re
from dataclasses import dataclass, replace

from modelcar.errors import UnsafeNameError

# The grammar of https://github.com/distribution/reference, with the registry always required: a short name such as
# `ubuntu` means another image on every machine.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = (
    r"(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])"
)
_REFERENCE = re.compile(
    rf"(?P<registry>{_HOST}(?::[0-9]{{1,5}})?)/(?P<repository>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?"
)
_SCHEME = re.compile(r"(?:docker|oci|https?)://")
_MAX_REPOSITORY_CHARS = 255
_DOCKER_HUB = ("docker.io", "index.docker.io")
_SHAPE = "Write it as registry/repository:tag, for example quay.io/my-team/my-model:1.0"


@dataclass(frozen=True)
class Reference:
    """Place of an image: a repository in a registry, and a tag, a digest or both.

    Attributes:
        registry: Host and, if any, port: `quay.io`, `registry.example:5000`.
        repository: Path within the registry, in lower case.
        tag: A movable name, or empty.
        digest: `sha256:` and 64 hex digits (or `sha512:` and 128), or empty.
    """

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Reads a reference; `docker://` and `oci://` before it are allowed. Without tag and digest, `latest` is meant.

        Docker's own names are read as docker reads them: `docker.io/alpine` is `docker.io/library/alpine`.

        Raises:
            UnsafeNameError: The text is no reference, or names no registry.
        """
        match = _REFERENCE.fullmatch(_SCHEME.sub("", text.strip(), count=1))
        if match is None or not _names_a_registry(match["registry"]):
            raise UnsafeNameError(f"{text!r} is not an image reference", _reason(text))
        registry, repository = _normalized(match["registry"], match["repository"])
        if len(repository) > _MAX_REPOSITORY_CHARS:
            raise UnsafeNameError(f"the repository of {text!r} is longer than {_MAX_REPOSITORY_CHARS} characters")
        tag = match["tag"] or ("" if match["digest"] else "latest")
        return cls(registry, repository, tag, match["digest"] or "")

    @classmethod
    def parse_target(cls, text: str) -> "Reference":
        """Reads a reference under which an image is to be written.

        Raises:
            UnsafeNameError: The text is no reference, or pins a digest: what is written decides that.
        """
        reference = cls.parse(text)
        if reference.digest:
            raise UnsafeNameError(f"{text!r} pins a digest, so nothing can be written there", _SHAPE)
        return reference

    @property
    def version(self) -> str:
        """The digest where there is one, else the tag: what the registry is asked for."""
        return self.digest or self.tag

    def at(self, digest: str) -> "Reference":
        """The same repository, pinned to a digest and without the tag."""
        return replace(self, tag="", digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def _normalized(registry: str, repository: str) -> tuple[str, str]:
    if registry.lower() not in _DOCKER_HUB:
        return registry, repository
    return "docker.io", repository if "/" in repository else f"library/{repository}"


def _names_a_registry(host: str) -> bool:
    return "." in host or ":" in host or host == "localhost"


def _reason(text: str) -> str:
    if text != text.lower() and _REFERENCE.fullmatch(_SCHEME.sub("", text.strip().lower(), count=1)):
        return "The repository must be in lower case"
    return _SHAPE
