"""The choice of how our code reaches the pods of a compiled pipeline."""

import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

import modelcar
from modelcar.bootstrap.command import DISTRIBUTION, Bootstrapped
from modelcar.errors import BuildError
from modelcar.user_input import is_web_address

_EXAMPLE = f"Write --package {DISTRIBUTION}=={modelcar.__version__}"


@dataclass(frozen=True)
class Delivery:
    """Delivery of our code to the pods: in the steps' commands, unless an image or a package has it.

    Attributes:
        image: An image with everything in it (Containerfile), for clusters that reach no package index.
        package: A published package, `modelcar-pipelines==VERSION`.
        index_url: The package index for that and for all other packages; empty for the one that pip takes.
        python_image: An image with Python and pip that the steps run in; empty for each component's own.
    """

    image: str = ""
    package: str = ""
    index_url: str = ""
    python_image: str = ""

    def __post_init__(self) -> None:
        """Refuses what does not go together.

        Raises:
            BuildError: An image was named and a package as well, the package is no pinned one of ours, or the index has
                no address, or one with a password.
        """
        others = {"--package": self.package, "--index-url": self.index_url, "--python-image": self.python_image}
        given = [option for option, value in others.items() if value]
        if self.image and given:
            raise BuildError(
                f"--image and {' and '.join(given)} do not go together", "The image of --image has all of it already"
            )
        if self.index_url and not is_web_address(self.index_url):
            raise BuildError(
                f"{self.index_url!r} is not the address of a package index", "Write --index-url https://host/simple"
            )
        if urlsplit(self.index_url).password:
            raise BuildError(
                "the address of the package index holds a password, which everybody could read in the pipeline",
                "Leave it out, and let the cluster's proxy of the index log in",
            )
        if self.package and self._version != modelcar.__version__:
            print(
                f"{self.package} is not the version that compiles, {modelcar.__version__}: their steps may differ",
                file=sys.stderr,
            )

    def apply(self, container: dict[str, Any]) -> None:
        """Changes the container of a step, as kfp compiled it, if it is one of ours."""
        step = Bootstrapped.parse(container.get("command", []))
        if step is None:
            return
        if self.image:
            # As the shell of a step without an image does (modelcar.bootstrap.command).
            container.update(image=self.image, command=["env", "PYTHONSAFEPATH=1", *step.command])
            return
        lines = [f"--index-url {self.index_url}"] if self.index_url else []
        lines += [step.requirements]
        if self.package:
            lines.append(f"{DISTRIBUTION}=={self._version}")
            step = step._replace(archive="", version=self._version)
        container["command"] = step._replace(requirements="\n".join(lines)).whole()
        if self.python_image:
            container["image"] = self.python_image

    @property
    def _version(self) -> str:
        try:
            wanted = Requirement(self.package)
        except InvalidRequirement:
            raise BuildError(f"{self.package!r} names no package", _EXAMPLE) from None
        pins = [one.version for one in wanted.specifier if one.operator == "==" and not one.version.endswith("*")]
        if canonicalize_name(wanted.name) != DISTRIBUTION or len(pins) != 1 or wanted.url or wanted.marker:
            raise BuildError(f"{self.package!r} is not one version of {DISTRIBUTION}", _EXAMPLE)
        return pins[0]


EMBEDDED = Delivery()
"""Delivery in the steps' commands."""
