"""Errors in a command line, or in a preset or a setting, which stand for a part of one."""

from collections.abc import Iterator
from contextlib import contextmanager

from modelcar.errors import ModelcarError, UnsafeNameError


class UsageError(ModelcarError):
    """A command that means nothing as it was typed; the command ends with 2, as for an option that does not exist."""


class FileError(UsageError):
    """A file of the user's that cannot be used; what it names stays as it is written there, and is no option."""


class PresetError(FileError):
    """A preset that cannot be used."""


class SettingError(FileError):
    """A setting that is none, or whose file cannot be used."""


EXIT_CODE = 2

UNANSWERED = 3
"""Exit code of a command that answers a question, and could not find out; as of `verify` where something is not proved
(modelcar/steps/verify/result.py)."""


class UnansweredError(ModelcarError):
    """A failure that leaves a command's question open; the command ends with 3, for 1 is an answer."""


@contextmanager
def left_open(*answers: type[ModelcarError]) -> Iterator[None]:
    """Has what fails leave the command's question open, but for wrong usage.

    Args:
        answers: Failures that are an answer all the same.

    Raises:
        UnansweredError: Something failed.
    """
    told: tuple[type[ModelcarError], ...] = (UsageError, UnsafeNameError, *answers)
    try:
        yield
    except told:
        raise
    except ModelcarError as error:
        raise UnansweredError(error.what, error.remedy) from None


class ShownError(ModelcarError):
    """A failure that the command's JSON tells already."""
