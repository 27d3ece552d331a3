# `pandapose view` as a user sees it: the pixels of a real browser.
import os
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from chromium import PROGRAMS, Chromium, find_program
from talker import Talker, person

WIDTH, HEIGHT = 1280, 720
# Of the scene, beside a notice that has an orange edge and a panel with coloured buttons [px].
LEFT, RIGHT = 30, WIDTH - 360
MAGENTA = (220, 20, 150)
# Hues in degrees. Light changes how bright a colour is, and hardly its hue.
HUES = {"left": (20, 38), "right": (195, 220), "global anchor": (128, 145), "image": (308, 330)}


def pixels_by_colour(screenshot):
    """How many pixels of the scene have each of the hues."""
    scene = np.ascontiguousarray(screenshot[:, LEFT:RIGHT], np.float32) / 255
    hue, saturation, value = np.moveaxis(cv2.cvtColor(scene, cv2.COLOR_RGB2HSV), -1, 0)
    bright = (saturation > 0.25) & (value > 0.3)
    return {
        name: np.count_nonzero(bright & (low <= hue) & (hue <= high))
        for name, (low, high) in HUES.items()
    }


class Page(Chromium):
    """A browser that is waited for."""

    def wait_for(self, condition, timeout=30.0):
        """Look until the counts of the colours are as wanted; return them."""
        end = time.monotonic() + timeout
        while not condition(seen := pixels_by_colour(self.screenshot())):
            assert time.monotonic() < end, f"timed out; pixels {seen}, text {self.text()!r}"
        return seen

    def wait_for_text(self, text, timeout=30.0):
        end = time.monotonic() + timeout
        while text not in self.text():
            assert time.monotonic() < end, f"no {text!r} in {self.text()!r}"
            time.sleep(0.1)


@pytest.fixture
def view():
    """`pandapose view` as a process; its address."""
    command = [sys.executable, "-m", "pandapose_ros.tools.main", "view", "--port", "18090"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    for line in process.stderr:
        if "open http" in line:
            yield line.split("open ")[1].split()[0]
            break
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture
def page(view, tmp_path):
    program = find_program()
    page = Page(program, tmp_path, view, WIDTH, HEIGHT)
    yield page
    page.close()


@pytest.fixture
def talker(graph):
    """Says ten times a second where a person is, before a magenta image, once it is started."""
    talker = Talker(graph)
    is_over = threading.Event()

    def talk():
        while not is_over.wait(0.1):
            talker.say([person()], MAGENTA)

    talker.thread = threading.Thread(target=talk)
    yield talker
    is_over.set()
    if talker.thread.is_alive():
        talker.thread.join()


@pytest.mark.skipif(find_program() is None, reason=f"none of {', '.join(PROGRAMS)} is installed")
def test_a_browser_shows_people_anchors_and_the_image_and_hides_what_is_unchecked(page, talker):
    page.wait_for_text("no skeletons")
    assert not any(pixels_by_colour(page.screenshot()).values())
    talker.thread.start()
    page.wait_for_text("1 in view")
    shown = page.wait_for(lambda seen: min(seen.values()) > 20 and seen["image"] > 3000)
    page.click_box("People")
    page.click_box("Votes")
    seen = page.wait_for(lambda seen: seen["left"] < 5 and seen["right"] < 5)
    assert seen["image"] > 0.9 * shown["image"]
    assert seen["global anchor"] > 20
    page.click_box("Camera")
    seen = page.wait_for(lambda seen: seen["image"] < 5)
    assert seen["global anchor"] > 20
    page.click_box("Anchors")
    page.click_box("People")
    page.wait_for(lambda seen: seen["global anchor"] < 5 and min(seen["left"], seen["right"]) > 20)
