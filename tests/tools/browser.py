# SPDX-License-Identifier: MIT
"""A headless Chromium for tests of pages, driven through chromedriver by the WebDriver protocol
(https://www.w3.org/TR/webdriver2/). The network is cut off: pages must hold all they need."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

SKIPPED = 77


def require_chromium():
    """Skips the test where Chromium or its driver is missing."""
    for program, package in (("chromium", "chromium"), ("chromedriver", "chromium-driver")):
        if shutil.which(program) is None:
            print(f"skipped: {program} is missing; install {package}")
            sys.exit(SKIPPED)


class Browser:
    """One window. Use as a context manager."""

    def __init__(self, width=1400, height=1000, dark=False):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # A session of its own, so that the browser's processes end with the driver.
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, start_new_session=True)
        self.session = f"http://127.0.0.1:{port}"
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={width},{height}",
                     "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        if dark:
            arguments.append("--force-dark-mode")
        try:
            self._wait_for_driver()
            opened = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {
                "browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"},
                "goog:chromeOptions": {"args": arguments}}}})
        except Exception:
            self.close()
            raise
        self.session += "/session/" + opened["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            if "/session/" in self.session:
                self._call("DELETE", "")
        except (OSError, RuntimeError):
            pass
        finally:
            os.killpg(self.driver.pid, signal.SIGKILL)
            self.driver.wait()

    def _wait_for_driver(self):
        for _ in range(300):
            try:
                if self._call("GET", "/status")["ready"]:
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("chromedriver does not answer")

    def _call(self, method, path, body=None):
        request = urllib.request.Request(self.session + path, method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"].splitlines()[0]) from None

    def open(self, path):
        """Opens a file of this machine."""
        self._call("POST", "/url", {"url": "file://" + os.path.abspath(path)})

    def run(self, script, *arguments):
        """The result of a script's `return`; it may be a promise."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait_for(self, expression, seconds=30):
        """Waits until a JavaScript expression is true; returns its value."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.run(f"return {expression};")
            if value:
                return value
            time.sleep(0.02)
        raise RuntimeError(f"not true after {seconds} s: {expression}")

    def type_into(self, selector, text):
        """Types into an element; a file input takes a path."""
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        self._call("POST", f"/element/{next(iter(found.values()))}/value", {"text": text})

    def click(self, selector):
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        self._call("POST", f"/element/{next(iter(found.values()))}/click", {})

    def console_errors(self):
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})
                if entry["level"] == "SEVERE"]

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._call("GET", "/screenshot")))
