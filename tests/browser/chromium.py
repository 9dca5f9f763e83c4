"""Headless Chromium over its DevTools protocol: pages, real mouse clicks, closed tabs."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import connect

BINARY = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)


class Page:
    """One tab."""

    def __init__(self, devtools: str, url: str) -> None:
        self._devtools = devtools
        target = httpx.put(f"{devtools}/json/new?{url}").json()
        self._id = target["id"]
        self._stack = ExitStack()
        self._socket = self._stack.enter_context(connect(target["webSocketDebuggerUrl"]))
        self._numbers = itertools.count(1)
        loaded = "document.readyState === 'complete' && location.href !== 'about:blank'"
        deadline = time.monotonic() + 60
        while not (self._has_a_document() and self.run(loaded)):
            assert time.monotonic() < deadline, f"{url} did not load"
            time.sleep(0.02)

    def _has_a_document(self) -> bool:
        """Whether scripts can run already: between two documents a tab has none for a moment."""
        self._socket.send(json.dumps({"id": 0, "method": "Runtime.evaluate", "params": {"expression": "1"}}))
        while (message := json.loads(self._socket.recv(timeout=60))).get("id") != 0:
            pass
        return "error" not in message

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One DevTools command and its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def click(self, selector: str) -> None:
        """Press and release the left button on the middle of an element."""
        box = self.run(
            f"(() => {{const r = document.querySelector({selector!r}).getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def close(self) -> None:
        """Close the tab as its user would."""
        httpx.get(f"{self._devtools}/json/close/{self._id}")
        self._stack.close()


class Browser:
    """One Chromium with its own profile."""

    def __init__(self, devtools: str) -> None:
        self._devtools = devtools

    def open(self, url: str) -> Page:
        """A new tab, loaded."""
        return Page(self._devtools, url)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start Chromium; `profile` is a folder of its own."""
    assert BINARY
    process = subprocess.Popen(
        [
            BINARY,
            "--headless",
            "--no-sandbox",  # tests run as root in containers; only pages of this repository are loaded
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        port_file = profile / "DevToolsActivePort"
        deadline = time.monotonic() + 20
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert process.poll() is None, "Chromium ended"
            assert time.monotonic() < deadline, "Chromium did not start"
            time.sleep(0.05)
        yield Browser(f"http://127.0.0.1:{port_file.read_text().splitlines()[0]}")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # Debian's launcher is a script: the browser is its child
        process.wait()
