"""Pages for dashboards, in a real browser: within their iframes, without scripts, network or room."""

import html
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar import markdown
from modelcar.html_page import COPY_HINT, Picture, page
from modelcar.html_page import markdown as as_markdown
from modelcar.steps.preflight.page import web_page
from modelcar.steps.preflight.preflight import preflight
from modelcar.steps.preflight.request import RunRequest
from modelcar.steps.report.page import EndedRun, Found, write
from tests.modelcar.steps.test_report import FAILED, RECORDS, RUN
from tests.parts.browser import Page, browser_page
from tests.parts.html_tags import Tags
from tests.parts.hub import Hub
from tests.parts.registries import Registry

COMMAND = "oc label node worker-1 ai-build-node=true\noc get nodes"
LONG = "model-00001-of-00191-" + "x" * 150 + ".safetensors"
PARTS = [
    "# example/model",
    markdown.table(("", ""), [("image", f"quay.io/team/model@sha256:{'a' * 64}"), ("commit", "c0ffee")]),
    markdown.code(COMMAND),
    markdown.table(("file", "size:", ""), [(LONG, "4.9 GB", ""), ("config.json", "2 kB", "a note")]),
    Picture('<svg viewBox="0 0 10 10" class="on-screens"><rect class="band"></rect></svg>', "What was in use."),
]
DASHBOARD_POLICY = "default-src 'self'; frame-src 'self' http://127.0.0.1:*; style-src 'self' 'unsafe-inline'"
"""Stricter than what odh-dashboard sends with its own pages; the frame's page is of another host and has its own."""

BLANK_BYTES = 5000
"""Of a picture: more than one without a word on it takes."""

PAINT_SECONDS = 120
"""Ends a wait that a page which looks otherwise would make endless."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser_page(tmp_path_factory.mktemp("browser")) as page:
        yield page


@contextmanager
def served(content: str, policy: str = "") -> Iterator[tuple[str, list[str]]]:
    """Gives the address of a page, and what was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            if policy:
                self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/page", asked
        server.shutdown()


def test_page_holds_what_the_markdown_holds() -> None:
    shown = page("A <title>", PARTS)
    texts = Tags(shown).texts

    assert shown.startswith("<!DOCTYPE html>")
    assert {"A <title>", "example/model", "image", "c0ffee", LONG, "4.9 GB", "a note", COPY_HINT} <= set(texts)
    assert f"{COMMAND}\n" in texts
    assert "What was in use." in texts
    assert as_markdown(PARTS) == "\n\n".join(str(part) for part in PARTS[:-1]) + "\n"


def test_table_without_heads_is_one_of_names_and_values() -> None:
    shown = page("", [PARTS[1], PARTS[3]])

    assert '<th scope="row">image</th>\n<td>quay.io/team' in shown
    assert shown.count("<thead>") == 1
    assert '<th scope="col" class="figure">size</th>' in shown
    assert '<td class="figure">4.9 GB</td>' in shown


def test_page_loads_and_runs_nothing() -> None:
    found = Tags(page("t", PARTS))

    assert {"script", "link", "img", "iframe", "object", "embed", "image", "use", "base", "form"}.isdisjoint(found.tags)
    assert [key for key, _ in found.attributes if key.startswith("on") or key in ("src", "href", "style")] == []
    assert "url(" not in page("t", PARTS)
    assert "@import" not in page("t", PARTS)


@given(
    st.text(), st.sampled_from(["{}", "# {}", "**{}**", "[x]({})", "![x]({})", "<{}>", "| {} |\n|---|\n| {} |", "`{}`"])
)
def test_whatever_stands_in_the_markdown_nothing_of_it_runs(words: str, shape: str) -> None:
    hostile = "<script>alert(1)</script><img src=//h/x onerror=a()> javascript:alert(1) " + words
    found = Tags(page(hostile, [shape.replace("{}", hostile), shape.replace("{}", words)]))

    assert {"script", "img", "iframe", "object"}.isdisjoint(found.tags)
    assert [value for key, value in found.attributes if key == "href" and str(value).startswith("javascript")] == []
    assert [key for key, _ in found.attributes if key.startswith("on")] == []


@pytest.mark.parametrize("sandbox", [None, "allow-scripts", ""])
@pytest.mark.parametrize("policy", ["", DASHBOARD_POLICY])
def test_dashboards_frame_shows_the_page_and_asks_for_nothing_else(
    sandbox: str | None, policy: str, browser: Page
) -> None:
    """As the dashboard has it: no sandbox up to 3.5, allow-scripts from 3.6 on; and the strictest there is."""
    browser.requests.clear()
    browser.messages.clear()
    attribute = "" if sandbox is None else f'sandbox="{sandbox}"'
    with served(page("t", PARTS)) as (artifact, asked):
        frame = f'<iframe {attribute} src="{artifact}" title="Artifact details" width="600" height="400"></iframe>'
        with served(frame, policy) as (dashboard, _):
            browser.open(dashboard)
            loaded = [url for url in browser.requests if not url.endswith("favicon.ico")]

    assert asked == ["/page"]
    assert set(loaded) <= {dashboard, artifact}
    assert [message for message in browser.messages if "favicon" not in message] == []


@pytest.fixture
def artifact(request: pytest.FixtureRequest, hub: Hub, plain_registry: Registry, model: Path) -> str:
    """Give a page that a run leaves."""
    if request.param == "plan":
        hub.publish("example/shown", model)
        return web_page(
            preflight(RunRequest(model="example/shown", target=f"{plain_registry.host}/pages/shown:1", streaming=True))
        )
    if request.param == "report":
        return write(RUN, Found(RECORDS)).html
    return write(EndedRun("run-1", "FAILED", model="a/b"), Found(RECORDS[:2], [FAILED])).html


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("sandbox", ["allow-scripts", ""])
@pytest.mark.parametrize("artifact", ["plan", "report", "failure"], indirect=True)
def test_what_a_run_leaves_looks_in_the_dashboards_frame_as_it_does_alone(
    artifact: str, sandbox: str, dark: bool, browser: Page
) -> None:
    browser.requests.clear()
    browser.messages.clear()
    began = time.monotonic()
    with served(artifact) as (address, asked):
        attributes = f'sandbox="{sandbox}" title="Artifact details" style="position: fixed; inset: 0; border: 0"'
        frames = {
            "src": f'<iframe {attributes} width="600" height="800" src="{address}"></iframe>',
            # As Kubeflow's own page has it; the dashboard's policy is the artifact's as well then.
            "srcdoc": f'<iframe {attributes} width="600" height="800" srcdoc="{html.escape(artifact)}"></iframe>',
        }
        browser.open(address, 600, 800, dark=dark)
        alone = browser.screenshot()
        seen = {}
        for kind, frame in frames.items():
            dashboard = f'<!DOCTYPE html><meta name="color-scheme" content="light dark">{frame}'
            with served(dashboard, DASHBOARD_POLICY) as (place, _):
                browser.open(place, 600, 800, dark=dark)
                # A frame may be loaded before it is painted.
                while (shown := browser.screenshot()) != alone and time.monotonic() < began + PAINT_SECONDS:
                    time.sleep(0.1)
                seen[kind] = shown == alone

    assert seen == dict.fromkeys(frames, True)
    assert len(alone) > BLANK_BYTES
    assert set(asked) - {"/favicon.ico"} == {"/page"}
    assert {url for url in browser.requests if not url.startswith("http://127.0.0.1:")} <= {"about:srcdoc"}
    assert [message for message in browser.messages if "favicon" not in message] == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [300, 360, 768, 1400])
def test_page_fits_any_width_in_light_and_dark(width: int, dark: bool, browser: Page, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(page("t", PARTS))

    browser.open(file.as_uri(), width, 900, dark=dark, scripts=False)

    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.evaluate(overflow) == 0
    back, front = browser.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color].map("
        "colour => colour.match(/[0-9]+/g).map(Number).reduce((sum, part) => sum + part) / 3)"
    )
    assert (back < 60 and front > 200) if dark else (back > 200 and front < 60)
    assert browser.evaluate("getComputedStyle(document.querySelector('svg')).display") == (
        "none" if width <= 600 else "block"
    )


def test_click_selects_all_that_is_to_be_copied(browser: Page, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(page("t", PARTS))
    browser.open(file.as_uri(), scripts=False)
    x, y = browser.evaluate("(box => [box.x + 20, box.y + 20])(document.querySelector('pre').getBoundingClientRect())")

    browser.click(x, y)

    assert browser.evaluate("getSelection().toString()").strip() == COMMAND


def test_page_without_its_style_can_be_read(browser: Page) -> None:
    """Where whoever serves it forbids inline style."""
    with served(page("t", PARTS), "default-src 'none'") as (address, _):
        browser.open(address)
        text = browser.evaluate("document.querySelector('main').innerText")

    assert COMMAND in text
    assert html.unescape("c0ffee") in text
