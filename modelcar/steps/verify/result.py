"""The outcome of a verification: the links of the hash chain, and whether each holds."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from modelcar.errors import on_one_line
from modelcar.oci.reference import Reference

MAX_DETAIL_CHARS = 2000
"""Length of what a link says. Annotations and names are in it, which may be of any length."""

ESSENTIAL = ("image", "base image", "layers", "files", "recipe")
"""The links without which nothing is whole, whatever the others say."""


class State(StrEnum):
    """Result of checking a link: proved, broken, not proved though it must be, or not asked for."""

    PROVED = "proved"
    BROKEN = "broken"
    NOT_PROVED = "not proved"
    NOT_CHECKED = "not checked"


class Outcome(StrEnum):
    """Result of checking an image, in one word."""

    WHOLE = "whole"
    BROKEN = "broken"
    NOT_PROVED = "not proved"


EXIT_CODES = {Outcome.WHOLE: 0, Outcome.BROKEN: 1, Outcome.NOT_PROVED: 3}


@dataclass(frozen=True)
class Link:
    """A link of the chain.

    Attributes:
        name: What was checked.
        state: What came of it.
        detail: What was found, on one line, without what would command a terminal.
    """

    name: str
    state: State
    detail: str

    def __post_init__(self) -> None:
        """Cleans what was found: others wrote the names and annotations in it."""
        short = self.detail if len(self.detail) <= MAX_DETAIL_CHARS else f"{self.detail[:MAX_DETAIL_CHARS]}…"
        object.__setattr__(self, "detail", on_one_line(short))


def proved(name: str, detail: str) -> Link:
    """Returns a link that holds."""
    return Link(name, State.PROVED, detail)


def broken(name: str, detail: str) -> Link:
    """Returns a link that does not hold."""
    return Link(name, State.BROKEN, detail)


def not_proved(name: str, detail: str) -> Link:
    """Returns a link of which it could not be told whether it holds, and why."""
    return Link(name, State.NOT_PROVED, detail)


def not_checked(name: str, detail: str) -> Link:
    """Returns a link that nobody asked to check."""
    return Link(name, State.NOT_CHECKED, detail)


@dataclass
class Verification:
    """Result of checking an image.

    Attributes:
        image: The image, pinned to its digest.
        links: The links, from the registry's entry to the Hub.
    """

    image: Reference
    links: list[Link] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        """Whole only if every link that must be proved is."""
        if any(link.state is State.BROKEN for link in self.links):
            return Outcome.BROKEN
        is_proved = {link.name for link in self.links if link.state is State.PROVED} >= set(ESSENTIAL)
        if not is_proved or any(link.state is State.NOT_PROVED for link in self.links):
            return Outcome.NOT_PROVED
        return Outcome.WHOLE

    @property
    def is_whole(self) -> bool:
        """Tells whether all is proved that must be."""
        return self.outcome is Outcome.WHOLE

    def add(self, links: Iterable[Link]) -> None:
        """Adds links."""
        self.links.extend(links)
