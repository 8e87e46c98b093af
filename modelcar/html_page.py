"""Web pages out of our Markdown, for dashboards that show HTML in an iframe and Markdown as raw text.

OpenShift AI opens an artifact of type HTML in an iframe: up to 3.5 as it is, from 3.6 on with `sandbox="allow-scripts"`
(odh-dashboard, ArtifactVisualization.tsx). So a page is one file: it loads nothing, runs nothing, and follows the
reader's light or dark scheme. What is to be copied is selected as a whole by one click, which needs no script.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The page's own Content-Security-Policy: even a name that became markup could fetch and run nothing."""

COPY_HINT = "To copy: click into it, which selects all, then Ctrl+C (⌘C)"

# Blue and orange are told apart by everybody; the dashes of a line, in print as well.
STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --text: #1b1b1b; --faint: #5c6166; --line: #d2d2d2; --band: #f3f4f6;
  --claim: #0066b3; --node: #c2410c; --bad: #b1380b; --link: #0066b3; }
@media (prefers-color-scheme: dark) { :root { --page: #1b1d21; --text: #ececec; --faint: #a8adb3; --line: #43474d;
  --band: #25282d; --claim: #63b3f5; --node: #ff9d5c; --bad: #ff9d5c; --link: #63b3f5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 14px/1.5 "Red Hat Text", "Segoe UI", Roboto, Helvetica, Arial, sans-serif; overflow-wrap: break-word; }
main { max-width: 1100px; padding: clamp(10px, 3vw, 28px); }
h1 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 .5em; } h2 { font-size: 1.1rem; margin: 1.6em 0 .5em; }
h3 { font-size: 1rem; margin: 1.3em 0 .4em; } p, ul, ol { margin: 0 0 .8em; } a { color: var(--link); }
.wide { overflow-x: auto; margin: 0 0 1em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 14px 4px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word; }
td:first-child { overflow-wrap: anywhere; min-width: 8em; }
th { color: var(--faint); font-weight: normal; }
.figure { text-align: right; } td.figure { white-space: nowrap; }
.facts { width: 100%; } .facts th { width: 8.5em; } .facts td { overflow-wrap: anywhere; }
code { font: .92em/1.45 "Red Hat Mono", ui-monospace, Menlo, Consolas, monospace; background: var(--band);
  padding: 0 .25em; border-radius: 3px; overflow-wrap: anywhere; -webkit-user-select: all; user-select: all; }
figure { margin: 0 0 1em; } figcaption { color: var(--faint); font-size: .88em; margin: 0 0 .3em; }
pre { margin: 0; padding: 10px 12px; overflow-x: auto; background: var(--band); border: 1px solid var(--line);
  border-radius: 4px; -webkit-user-select: all; user-select: all; cursor: copy; }
pre code { padding: 0; background: none; overflow-wrap: normal; }
pre:focus-visible, .wide:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--text); font-size: 12px; } svg .faint { fill: var(--faint); }
.grid { stroke: var(--line); stroke-width: 1; } .zero { stroke: var(--faint); stroke-width: 1; }
.band { fill: var(--band); }
.claim, .node { fill: none; stroke-width: 2; stroke-linejoin: round; }
.claim { stroke: var(--claim); } .node { stroke: var(--node); stroke-dasharray: 6 3; }
svg .failed { fill: var(--bad); font-weight: bold; }
.on-phones { display: none; }
@media (max-width: 600px) { .on-phones { display: block; } .on-screens { display: none; }
  th, td { padding-right: 9px; } td:first-child { min-width: 5.5em; } }
@media print { pre { white-space: pre-wrap; } }
"""


@dataclass(frozen=True)
class Picture:
    """A picture within a page.

    Attributes:
        svg: Its drawing, one for screens and perhaps another for phones; elements with classes of STYLE.
        caption: What it shows, a sentence.
    """

    svg: str
    caption: str


Part = str | Picture
"""Some Markdown, or a picture."""


def page(title: str, parts: Iterable[Part]) -> str:
    """Writes a whole HTML page.

    Args:
        title: What it is about, plain text.
        parts: Markdown and pictures, one below the other. HTML within the Markdown is shown as text.

    Returns:
        The page: valid HTML that needs nothing else.
    """
    body = "\n".join(_picture(part) if isinstance(part, Picture) else _rendered(part) for part in parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def markdown(parts: Iterable[Part]) -> str:
    """Writes the same as Markdown, which has no pictures."""
    return "\n\n".join(part for part in parts if isinstance(part, str)) + "\n"


def _picture(picture: Picture) -> str:
    return f"<figure>\n<figcaption>{escape(picture.caption)}</figcaption>\n{picture.svg}\n</figure>"


def _rendered(text: str) -> str:
    parser = _parser()
    environment: dict[str, Any] = {}
    tokens = parser.parse(text, environment)
    return str(parser.renderer.render(_as_facts(tokens), parser.options, environment)).strip()


def _parser() -> "MarkdownIt":
    """A parser for what modelcar.markdown writes; images, which would be loaded, are no part of that."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "html_block", "html_inline"])
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    parser.add_render_rule("th_open", _cell_open)
    parser.add_render_rule("td_open", _cell_open)
    parser.add_render_rule("fence", _fence)
    parser.add_render_rule("link_open", _link_open)
    return parser


def _as_facts(tokens: "Sequence[Token]") -> "list[Token]":
    """Drops heads that are empty: such a table has names in its first column."""
    kept: list[Any] = []
    table: Any = None
    start, is_facts, is_first = 0, False, False
    for token in tokens:
        kept.append(token)
        if token.type == "table_open":
            table, start, is_facts = token, len(kept), False
        elif token.type == "thead_close" and table is not None:
            is_facts = not any(one.content for one in kept[start:])
            if is_facts:
                del kept[start:]
                table.attrSet("class", "facts")
        elif token.type == "tr_open":
            is_first = is_facts
        elif is_first and token.type in ("td_open", "td_close"):
            token.tag = "th"
            is_first = token.type == "td_open"
            if is_first:
                token.attrSet("scope", "row")
    return kept


def _table_open(renderer: Any, tokens: "Sequence[Token]", index: int, *_: Any) -> str:
    kind = tokens[index].attrGet("class")
    named = f' class="{kind}"' if kind else ""
    return f'<div class="wide" tabindex="0"><table{named}>\n'


def _cell_open(renderer: Any, tokens: "Sequence[Token]", index: int, *_: Any) -> str:
    """Aligns figures by a class: the parser's style attributes are what stricter policies refuse."""
    token = tokens[index]
    is_figure = "right" in str(token.attrGet("style") or "")
    scope = ' scope="row"' if token.attrGet("scope") else ' scope="col"' if token.tag == "th" else ""
    kind = ' class="figure"' if is_figure else ""
    return f"<{token.tag}{scope}{kind}>"


def _fence(renderer: Any, tokens: "Sequence[Token]", index: int, *_: Any) -> str:
    block = f'<pre tabindex="0"><code>{escape(tokens[index].content, quote=False)}</code></pre>'
    return f"<figure><figcaption>{COPY_HINT}</figcaption>\n{block}</figure>\n"


def _link_open(renderer: Any, tokens: "Sequence[Token]", index: int, options: Any, *_: Any) -> str:
    tokens[index].attrSet("target", "_blank")
    tokens[index].attrSet("rel", "noopener noreferrer")
    return str(renderer.renderToken(tokens, index, options, {}))
