"""A real browser without a window: Chromium, driven by the DevTools protocol."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request

import cv2
import numpy as np
import websockets.sync.client

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# WebGL without a GPU, and what a container without users and with a small /dev/shm needs.
OPTIONS = (
    "--headless=new",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-port=0",
)
START_SECONDS = 20.0
# Where the check-box is that has this name beside it.
CENTRE_OF_BOX = """(() => {
  const named = [...document.querySelectorAll('label')].find(l => l.textContent.trim() === %s);
  const box = document.getElementById(named.htmlFor).getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
})()"""


def find_program():
    """The path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Chromium:
    """A page of a size in pixels, looked at and clicked on as a user does."""

    def __init__(self, program, profile, url, width, height):
        self._command_number = 0
        size = f"--window-size={width},{height}"
        self._process = subprocess.Popen(
            [program, *OPTIONS, size, f"--user-data-dir={profile}", url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._socket = websockets.sync.client.connect(self._find_page(profile), max_size=None)
            self._command(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=height,
                deviceScaleFactor=1,
                mobile=False,
            )
        except BaseException:
            self._process.kill()
            raise

    def _find_page(self, profile):
        """Where the page's commands go; Chromium writes its port into its profile."""
        port_file = profile / "DevToolsActivePort"
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            assert self._process.poll() is None, "Chromium ended"
            if port_file.exists() and (text := port_file.read_text()):
                with urllib.request.urlopen(f"http://127.0.0.1:{text.split()[0]}/json") as answer:
                    pages = [page for page in json.load(answer) if page["type"] == "page"]
                if pages:
                    return pages[0]["webSocketDebuggerUrl"]
            time.sleep(0.1)
        raise AssertionError("Chromium opened no page")

    def _command(self, method, **arguments):
        self._command_number += 1
        command = {"id": self._command_number, "method": method, "params": arguments}
        self._socket.send(json.dumps(command))
        while True:  # events come in between
            answer = json.loads(self._socket.recv(timeout=60))
            if answer.get("id") == self._command_number:
                assert "error" not in answer, answer
                return answer["result"]

    def evaluate(self, expression):
        """The value of a JavaScript expression."""
        answer = self._command("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self):
        """What stands on the page."""
        return self.evaluate("document.body?.innerText ?? ''")  # no body while it is loading

    def click_box(self, name):
        """Click on the check-box of this name."""
        x, y = self.evaluate(CENTRE_OF_BOX % json.dumps(name))
        for kind in ("mousePressed", "mouseReleased"):
            self._command(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )

    def screenshot(self):
        """What is seen, RGB [H, W, 3]."""
        png = base64.b64decode(self._command("Page.captureScreenshot", format="png")["data"])
        return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]

    def close(self):
        self._socket.close()
        self._process.terminate()
        self._process.wait(START_SECONDS)
