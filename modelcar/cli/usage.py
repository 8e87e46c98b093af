"""Errors in a command line, or in a preset, which stands for a part of one."""

from modelcar.errors import ModelcarError


class UsageError(ModelcarError):
    """A command that means nothing as it was typed; the command ends with 2, as for an option that does not exist."""


class PresetError(UsageError):
    """A preset that cannot be used; it names parameters as the file does."""


EXIT_CODE = 2


class ShownError(ModelcarError):
    """A failure that the command's JSON tells already."""
