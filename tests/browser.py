"""A headless Chromium, driven through chromedriver's plain HTTP protocol (W3C WebDriver).

Only for tests; needs the two programs `chromium` and `chromedriver`, and no package.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
DRIVER = shutil.which("chromedriver")
MISSING = None if BROWSER and DRIVER else "no chromium and chromedriver here"

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's id, by the standard
KEYS = {  # by name, as the standard has them
    "left": "\ue012",
    "up": "\ue013",
    "right": "\ue014",
    "home": "\ue011",
    "end": "\ue010",
    "tab": "\ue004",
    "enter": "\ue007",
    "space": "\ue00d",
}
OPTIONS = """
    --headless --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars
""".split()


class Browser:
    """One window. Use as a context manager; selectors are CSS."""

    def __enter__(self) -> "Browser":
        self.profile = tempfile.mkdtemp(prefix="browser-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.opener = build_opener(ProxyHandler({}))
        self.url = f"http://127.0.0.1:{port}"
        self.driver = subprocess.Popen(
            [DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self._wait_for_driver()
            options = [*OPTIONS, f"--user-data-dir={self.profile}"]
            if hasattr(os, "geteuid") and os.geteuid() == 0:
                options.append("--no-sandbox")  # which root has no use for, and Chromium refuses
            capabilities = {
                "browserName": "chrome",
                "goog:chromeOptions": {"binary": BROWSER, "args": options},
                "goog:loggingPrefs": {"browser": "ALL"},
            }
            session = self.call("POST", "/session", capabilities={"alwaysMatch": capabilities})
            self.url += f"/session/{session['sessionId']}"
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        if "/session/" in self.url:
            self.call("DELETE", "")
        self.driver.terminate()
        self.driver.wait(10)
        shutil.rmtree(self.profile, ignore_errors=True)

    def _wait_for_driver(self) -> None:
        for _ in range(100):
            try:
                self.call("GET", "/status")
                return
            except URLError:
                time.sleep(0.1)
        raise RuntimeError("chromedriver does not answer")

    def call(self, method: str, path: str, **body):
        """Send a command; return its value. RuntimeError with the driver's words if it fails."""
        data = json.dumps(body).encode() if method == "POST" else None
        request = Request(
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with self.opener.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def open(self, path: Path) -> None:
        self.call("POST", "/url", url=path.resolve().as_uri())

    def run(self, script: str, *arguments):
        """Run JavaScript, the body of a function, and return what it returns."""
        return self.call("POST", "/execute/sync", script=script, args=list(arguments))

    def find(self, selector: str) -> str:
        found = self.call("POST", "/element", using="css selector", value=selector)
        return found[ELEMENT]

    def click(self, selector: str) -> None:
        """Click where the element is, as a mouse does: fails if something else covers it."""
        self.call("POST", f"/element/{self.find(selector)}/click")

    def type(self, selector: str, *keys: str) -> None:
        """Press keys, named as in KEYS or single characters, in an element."""
        text = "".join(KEYS.get(key, key) for key in keys)
        self.call("POST", f"/element/{self.find(selector)}/value", text=text)

    def texts(self, selector: str) -> list[str]:
        script = (
            "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim())"
        )
        return self.run(script, selector)

    def cdp(self, command: str, **parameters):
        """Send a command of the Chrome DevTools Protocol."""
        return self.call("POST", "/goog/cdp/execute", cmd=command, params=parameters)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the page's view; a real window has a least width."""
        size = {"width": width, "height": height, "mobile": width < 600}
        self.cdp("Emulation.setDeviceMetricsOverride", deviceScaleFactor=1, **size)

    def media(self, kind: str = "", **features: str) -> None:
        """Pretend to be "print" or "screen", and features such as prefers_color_scheme="dark"."""
        listed = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.cdp("Emulation.setEmulatedMedia", media=kind, features=listed)

    def messages(self) -> list[str]:
        """Return the errors and warnings of the console since the last call."""
        entries = self.call("POST", "/se/log", type="browser")
        return [e["message"] for e in entries if e["level"] in ("SEVERE", "WARNING")]

    def screenshot(self, path: Path, whole_page: bool = True) -> None:
        part = {"captureBeyondViewport": True, "clip": self._page_size()} if whole_page else {}
        picture = self.cdp("Page.captureScreenshot", **part)
        path.write_bytes(base64.b64decode(picture["data"]))

    def _page_size(self) -> dict:
        size = self.cdp("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}

    def pdf(self) -> bytes:
        return base64.b64decode(self.cdp("Page.printToPDF", printBackground=True)["data"])
