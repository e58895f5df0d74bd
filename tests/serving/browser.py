"""A headless Chromium, told what to do over its own WebSocket."""

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import time

import pytest
from websockets.sync.client import connect

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 90  # seconds


def find_chromium():
    """Its path; the test is skipped where there is none."""
    given = os.environ.get("KERAS_DS2_CHROMIUM")
    found = given or next(filter(None, map(shutil.which, _NAMES)), None)
    if not found:
        pytest.skip("no Chromium: install one, or name it in KERAS_DS2_CHROMIUM")
    return found


@contextlib.contextmanager
def browser(folder, *options):
    """A browser while it lasts; yields its first page."""
    command = [
        find_chromium(),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "--window-size=1100,900",
        *options,
        "about:blank",
    ]
    log = folder / "chromium.log"
    with open(log, "w") as file:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)
    try:
        found = None
        deadline = time.monotonic() + PATIENCE
        while not found:
            found = re.search(r"ws://[\d.:]+/\S+", log.read_text())
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"Chromium does not start here: {log.read_text()[-300:]}")
            time.sleep(0.05)
        with connect(found.group(), max_size=None, compression=None) as socket:
            yield Page(socket)
            with contextlib.suppress(Exception):
                socket.send(json.dumps({"id": 0, "method": "Browser.close"}))
                process.wait(20)
    finally:
        process.kill()
        process.wait()


class Page:
    """A tab; `events` holds what the browser told of it."""

    def __init__(self, socket):
        self._socket, self._ids, self._session = socket, itertools.count(1), None
        self.events = []
        (target,) = (
            each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page"
        )
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """One command, and what it answers."""
        message = {"id": next(self._ids), "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=PATIENCE))
            if answer.get("id") == message["id"]:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def value(self, expression):
        """What an expression of JavaScript gives."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not self.value(condition):
            assert time.monotonic() < deadline, f"never: {condition}; {self.complaints()}"
            time.sleep(0.05)

    def press(self, key, **more):
        """A key goes down and up."""
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        names = {" ": "Space"}
        text = {"Enter": "\r", " ": " "}.get(key)
        keys = {"key": key, "code": names.get(key, key), "windowsVirtualKeyCode": codes[key]}
        self.call(
            "Input.dispatchKeyEvent", type="keyDown", **keys, **({"text": text} if text else {})
        )
        self.call("Input.dispatchKeyEvent", type="keyUp", **keys)

    def screenshot(self):
        import base64

        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def complaints(self):
        """Errors and warnings of its console, exceptions among them."""
        found = []
        for event in self.events:
            if event["method"] == "Log.entryAdded":
                entry = event["params"]["entry"]
                if entry["level"] in ("error", "warning"):
                    found.append(entry["text"])
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(event["params"]["exceptionDetails"]))
        return found

    def requested(self):
        """Addresses of all that it asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]
