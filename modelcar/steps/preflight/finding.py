"""Finding of a check before a run: that it is well, that it may not be, or that the run cannot succeed."""

from dataclasses import dataclass
from typing import Literal

from modelcar.errors import ModelcarError

Verdict = Literal["ok", "warning", "refusal"]


@dataclass(frozen=True)
class Finding:
    """One result of one check.

    Attributes:
        about: What was checked, in a word or two.
        verdict: `ok`; `warning`: it could not be checked, or may go wrong; `refusal`: the run cannot succeed like this.
        what: What was found, a sentence.
        remedy: What to do about it, a sentence; empty where nothing has to be done.
        command: Commands to paste that do it, a line each; empty where there are none.
    """

    about: str
    verdict: Verdict
    what: str
    remedy: str = ""
    command: str = ""

    @classmethod
    def of(cls, about: str, error: ModelcarError, verdict: Verdict = "refusal") -> "Finding":
        """An error as a finding."""
        return cls(about, verdict, error.what, error.remedy)

    def __str__(self) -> str:
        command = self.command.replace("\n", " && ")
        remedy = ". ".join(filter(None, (self.remedy.rstrip("."), command and f"Run: {command}")))
        return str(ModelcarError(self.what, remedy))
