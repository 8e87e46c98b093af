"""The browser of the tests: what it tells of frames that have a process of their own, and its clicks."""

import html
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.browser import Page, browser_page

REFUSES = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser_page(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.mark.parametrize("sandbox", ["", "sandbox", "sandbox=allow-scripts"])
def test_what_a_frame_shows_and_refuses_is_told(sandbox: str, browser: Page, tmp_path: Path) -> None:
    inner = html.escape(f"{REFUSES}<p>within</p><img src='http://127.0.0.1:1/picture'>")
    file = tmp_path / "page.html"
    file.write_text(f'<!doctype html><p id="outside">outside</p><iframe {sandbox} srcdoc="{inner}"></iframe>')
    browser.messages.clear()
    browser.open(file.as_uri())

    assert browser.wait_for_frame("within") == "within"
    assert browser.wait_for("document.body.innerText").strip() == "outside"
    assert [message for message in browser.messages if "127.0.0.1:1/picture" in message]
    assert browser.screenshot("#outside").startswith(b"\x89PNG")


def test_a_click_that_a_page_loses_is_made_again(browser: Page, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    script = "clicks = 0; function clicked() { if (++clicks > 1) document.body.innerHTML = '<p>taken</p>' }"
    file.write_text(f"<!doctype html><script>{script}</script><button onclick='clicked()'>Take it</button>")
    browser.open(file.as_uri())

    browser.click_until("document.querySelector('p') !== null", "button", "Take it")

    assert browser.evaluate("clicks") == 2
