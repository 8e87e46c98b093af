"""A browser without a window, driven over its DevTools protocol (https://chromedevtools.github.io/devtools-protocol)."""

import base64
import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import requests
import websocket

from tests.parts.process import running

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-sync",
)
_DOMAINS = ("Network", "Runtime", "Log")
"""Domains of the protocol of which a page tells, and each frame that has a process of its own."""

_START_SECONDS = 120.0
_PATIENCE_SECONDS = 600.0
_STILL_SECONDS, _TAKEN_SECONDS = 0.1, 5.0


class Page:
    """A page in a browser.

    Args:
        socket: The DevTools connection to it.

    Attributes:
        requests: The URLs that it asked for, those of its frames included.
        messages: What it and its frames complained of, such as violations of a Content-Security-Policy.
    """

    def __init__(self, socket: websocket.WebSocket) -> None:
        self.requests: list[str] = []
        self.messages: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._seen: set[str] = set()
        # The documents' own contexts for scripts: their session ("" for the page's own) and their name.
        self._documents: list[tuple[str, str]] = []
        for domain in ("Page", *_DOMAINS):
            self._call(f"{domain}.enable")
        self._attach("")

    def open(self, url: str, width: int = 1200, height: int = 900, *, dark: bool = False, scripts: bool = True) -> None:
        """Opens an address and waits until all of it is loaded.

        Args:
            url: The address.
            width: CSS pixels.
            height: CSS pixels.
            dark: Whether the reader prefers dark pages.
            scripts: Whether scripts may run.
        """
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self._seen.discard("Page.loadEventFired")
        self._call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._seen:
            self._receive()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """Asks for the value of a JavaScript expression again and again, until it is true, and returns it."""
        return self._wait(lambda: self.evaluate(expression), expression)

    def wait_for_frame(self, words: str) -> str:
        """Waits until a frame of the page shows these words, and returns all that it shows."""

        def shown() -> str:
            return next((text for text in self.frame_texts() if words in text), "")

        return str(self._wait(shown, f"a frame that shows {words!r}"))

    def frame_texts(self) -> list[str]:
        """Returns what each frame of the page shows."""
        # An answer comes after all that was told before it, such as which frames there are.
        self.evaluate("0")
        texts = []
        for session, name in self._documents[:]:
            asked = {"expression": "self === top ? '' : document.body?.innerText", "uniqueContextId": name}
            # A frame may be gone by now.
            answer = self._ask("Runtime.evaluate", asked, session).get("result", {})
            texts.append(str(answer.get("result", {}).get("value") or ""))
        return [text for text in texts if text]

    def click(self, x: float, y: float) -> None:
        """Clicks at a place, in CSS pixels."""
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def click_on(self, selector: str, words: str = "") -> None:
        """Waits for an element, and clicks into its middle.

        Args:
            selector: The element's CSS selector.
            words: What it shows, where there are several.
        """
        x, y, width, height = self._place(selector, words)
        self.click(x + width / 2, y + height / 2)

    def click_until(self, expression: str, selector: str, words: str = "") -> None:
        """Clicks on an element until a JavaScript expression is true: a page that is still being filled loses clicks.

        Args:
            expression: What is so once a click was taken.
            selector: The element's CSS selector.
            words: What it shows, where there are several.
        """
        self.click_on(selector, words)

        def taken() -> bool:
            soon = time.monotonic() + _TAKEN_SECONDS
            while not (found := self.evaluate(expression)) and time.monotonic() < soon:
                time.sleep(_STILL_SECONDS)
            if not found and self.evaluate(_box(selector, words)):
                self.click_on(selector, words)
            return bool(found)

        self._wait(taken, expression)

    def screenshot(self, selector: str = "", margin: int = 0) -> bytes:
        """Returns what is seen as PNG; with a CSS selector, an element of it with so many CSS pixels around it."""
        if not selector:
            return base64.b64decode(self._call("Page.captureScreenshot")["data"])
        x, y, width, height = self._place(selector)
        clip = {
            "x": x - margin,
            "y": y - margin,
            "width": width + 2 * margin,
            "height": height + 2 * margin,
            "scale": 1,
        }
        return base64.b64decode(self._call("Page.captureScreenshot", clip=clip)["data"])

    def _place(self, selector: str, words: str = "") -> list[float]:
        """Waits until an element is there and moves no more, and returns where: left, top, width and height."""
        before: list[float] = []
        while (now := self.wait_for(_box(selector, words))) != before:
            before = now
            time.sleep(_STILL_SECONDS)
        return before

    def _wait(self, question: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (answer := question()):
            shown = "document.title + ': ' + document.body.innerText"
            assert time.monotonic() < deadline, f"no {what}\n{self.evaluate(shown)}\n{self.messages}"
            time.sleep(0.1)
        return answer

    def _call(self, method: str, **parameters: Any) -> Any:
        message = self._ask(method, parameters)
        assert "error" not in message, message
        return message["result"]

    def _ask(self, method: str, parameters: dict[str, Any], session: str = "") -> dict[str, Any]:
        number = self._send(method, parameters, session)
        while (message := self._receive()).get("id") != number:
            pass
        return message

    def _send(self, method: str, parameters: dict[str, Any], session: str = "") -> int:
        number = next(self._numbers)
        of_frame = {"sessionId": session} if session else {}
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters, **of_frame}))
        return number

    def _attach(self, session: str) -> None:
        """Listens to frames that have a process of their own, such as those with a sandbox, from their beginning."""
        switches = dict.fromkeys(("autoAttach", "waitForDebuggerOnStart", "flatten"), True)
        self._send("Target.setAutoAttach", switches, session)

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv())
        method, told = message.get("method", ""), message.get("params", {})
        self._seen.add(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Log.entryAdded":
            self.messages.append(told["entry"]["text"])
        elif method == "Target.attachedToTarget":
            frame = told["sessionId"]
            for domain in _DOMAINS:
                self._send(f"{domain}.enable", {}, frame)
            self._attach(frame)
            self._send("Runtime.runIfWaitingForDebugger", {}, frame)
        elif method.startswith("Runtime.executionContext"):
            self._note_document(method, told, message.get("sessionId", ""))
        elif method == "Target.detachedFromTarget":
            self._documents = [each for each in self._documents if each[0] != told["sessionId"]]
        return message

    def _note_document(self, method: str, told: dict[str, Any], session: str) -> None:
        if method == "Runtime.executionContextCreated":
            context = told["context"]
            if context.get("auxData", {}).get("isDefault"):
                self._documents.append((session, context["uniqueId"]))
        elif method == "Runtime.executionContextDestroyed":
            gone = (session, told["executionContextUniqueId"])
            self._documents = [each for each in self._documents if each != gone]
        else:
            self._documents = [each for each in self._documents if each[0] != session]


def _box(selector: str, words: str = "") -> str:
    """Returns the expression for an element's place: left, top, width and height; null if there is none."""
    found = f"[...document.querySelectorAll({json.dumps(selector)})]"
    wanted = f"({found}.find(each => each.innerText?.trim() === {json.dumps(words)}))" if words else f"({found}[0])"
    return f"(box => box ? [box.x, box.y, box.width, box.height] : null)({wanted}?.getBoundingClientRect())"


@contextmanager
def browser_page(folder: Path, hosts: Sequence[str] = ("127.0.0.1",)) -> Iterator[Page]:
    """Runs Chromium with one page.

    Args:
        folder: Takes its profile and its log; must be empty.
        hosts: The addresses that can be reached.

    Yields:
        The page.
    """
    # No other name leads anywhere: what is not on this machine cannot be had.
    rules = ", ".join(["MAP * ~NOTFOUND", *(f"EXCLUDE {host}" for host in hosts)])
    flags = [*_FLAGS, f"--host-resolver-rules={rules}", f"--user-data-dir={folder / 'profile'}"]
    command = ["chromium", *flags, "--remote-debugging-port=0", "about:blank"]
    env = {"PATH": os.defpath, "HOME": str(folder)}
    with running(command, log=folder / "browser.log", env=env) as process:
        port = _port(folder / "profile/DevToolsActivePort", process)
        targets = requests.get(f"http://127.0.0.1:{port}/json/list", timeout=600).json()
        address = next(one["webSocketDebuggerUrl"] for one in targets if one["type"] == "page")
        with closing(websocket.create_connection(address, timeout=120, suppress_origin=True)) as socket:
            yield Page(socket)


def _port(file: Path, process: "subprocess.Popen[bytes]") -> int:
    waited_until = time.monotonic() + _START_SECONDS
    while time.monotonic() < waited_until:
        assert process.poll() is None, "chromium ended at once; its log says why"
        lines = file.read_text().splitlines() if file.is_file() else []
        if lines:
            return int(lines[0])
        time.sleep(0.05)
    raise AssertionError("chromium did not start")
