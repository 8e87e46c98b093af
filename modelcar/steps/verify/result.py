"""The outcome of a verification: the links of the hash chain, and whether each holds."""

from dataclasses import dataclass, field
from enum import StrEnum

from modelcar.oci.reference import Reference


class State(StrEnum):
    """What came of checking a link."""

    PROVED = "proved"
    BROKEN = "broken"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Link:
    """A link of the chain.

    Attributes:
        name: What was checked.
        state: What came of it.
        detail: What was found.
    """

    name: str
    state: State
    detail: str


@dataclass
class Verification:
    """What came of checking an image.

    Attributes:
        image: The image, pinned to its digest.
        links: The links, from the registry's entry to the Hub.
    """

    image: Reference
    links: list[Link] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether no link is broken."""
        return all(link.state is not State.BROKEN for link in self.links)

    def note(self, name: str, detail: str, *, proved: bool) -> None:
        """Notes a link that was checked."""
        self.links.append(Link(name, State.PROVED if proved else State.BROKEN, detail))

    def pass_over(self, name: str, detail: str) -> None:
        """Notes a link that was not checked, and why."""
        self.links.append(Link(name, State.NOT_CHECKED, detail))
