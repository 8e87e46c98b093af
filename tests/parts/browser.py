"""A browser without a window, driven over its DevTools protocol (https://chromedevtools.github.io/devtools-protocol)."""

import base64
import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
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
    # No name leads anywhere: what is not on this machine cannot be had.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_START_SECONDS = 120.0


class Page:
    """A page in a browser.

    Args:
        socket: The DevTools connection to it.

    Attributes:
        requests: The URLs that it asked for, those of its frames included.
        messages: What it complained of, such as violations of a Content-Security-Policy.
    """

    def __init__(self, socket: websocket.WebSocket) -> None:
        self.requests: list[str] = []
        self.messages: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._seen: set[str] = set()
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._call(f"{domain}.enable")

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

    def click(self, x: float, y: float) -> None:
        """Clicks at a place, in CSS pixels."""
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self) -> bytes:
        """Returns what is seen as PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot")["data"])

    def _call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def _receive(self) -> Any:
        message = json.loads(self._socket.recv())
        method, told = message.get("method", ""), message.get("params", {})
        self._seen.add(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Log.entryAdded":
            self.messages.append(told["entry"]["text"])
        return message


@contextmanager
def browser_page(folder: Path) -> Iterator[Page]:
    """Runs Chromium with one page.

    Args:
        folder: Takes its profile and its log; must be empty.

    Yields:
        The page.
    """
    command = ["chromium", *_FLAGS, f"--user-data-dir={folder / 'profile'}", "--remote-debugging-port=0", "about:blank"]
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
