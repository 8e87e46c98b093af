"""Hook of the documentation's site: links to what lies beside docs/ become names, for the site does not have it."""

import re

_OUTSIDE = re.compile(r"\[([^]]+)\]\(\.\./([^)#]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Returns a page with the names of files in place of links to what is outside of the site."""
    return _OUTSIDE.sub(lambda found: f"{found[1]} (`{found[2]}` in the repository)", markdown)
