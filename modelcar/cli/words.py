"""Words of the command at hand: what a pipeline calls a parameter is an option here."""

import re
import shlex
from functools import cache
from typing import get_origin

from modelcar.cli.parameters import parameters

_VALUE = r"""\{[^}]*\}|\[[^]]*\]|"[^"]*"|[^\s,;`)]*[^\s,;:.`)]"""


def in_options(text: str) -> str:
    """Returns a sentence with the options of the command line in place of the pipelines' parameters.

    Example: `Choose if_exists=replace` becomes `Choose --if-exists replace`.
    """
    given, named = _patterns()
    return named.sub(lambda found: parameters()[found[1]].option, given.sub(_option, text))


def _option(found: re.Match[str]) -> str:
    parameter, value = parameters()[found[1]], found[2]
    if parameter.kind is bool:
        return parameter.option if value == "true" else f"--no-{parameter.option[2:]}"
    if get_origin(parameter.kind) in (list, dict) or " " in value:
        value = shlex.quote(value)
    return f"{parameter.option} {value}"


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    every = sorted(parameters(), key=len, reverse=True)
    # A name of one word is an ordinary word where nothing is given to it.
    long = [name for name in every if "_" in name]
    given = re.compile(rf"(?<![\w/.=?&-])({'|'.join(every)})=({_VALUE})")
    return given, re.compile(rf"(?<![\w/.={{\"'-])({'|'.join(long)})(?![\w/.=\"'-])")
