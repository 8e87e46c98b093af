"""Errors in a command line, or in a preset or a setting, which stand for a part of one."""

from modelcar.errors import ModelcarError


class UsageError(ModelcarError):
    """A command that means nothing as it was typed; the command ends with 2, as for an option that does not exist."""


class FileError(UsageError):
    """A file of the user's that cannot be used; what it names stays as it is written there, and is no option."""


class PresetError(FileError):
    """A preset that cannot be used."""


class SettingError(FileError):
    """A setting that is none, or whose file cannot be used."""


EXIT_CODE = 2


class ShownError(ModelcarError):
    """A failure that the command's JSON tells already."""
