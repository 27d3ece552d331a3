"""What is made of the texts of messages in the browser view, which shows Markdown and HTML."""

from contextlib import closing

import cv2
import numpy as np
import pytest
from talker import Talker, person
from viewing import Browser, serve

from pandapose_ros.node.view_text import quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("lens", "`lens`"),
        ("a` <img src=x onerror=alert(1)> `b", "`a' <img src=x onerror=alert(1)> 'b`"),
        ("one\n\n# two\r\nthree", "`one  # two  three`"),
        ("![a](b.png) !![c](d.png)", "`! [a](b.png) !! [c](d.png)`"),
        ("x" * 1000, f"`{'x' * 300}...`"),
        (" \n", "an empty text"),
    ],
)
def test_a_text_stays_in_its_code(text, shown):
    assert quoted(text) == shown


def test_frames_bring_no_files_of_this_computer_into_the_page(graph, tmp_path):
    secret = tmp_path / "secret.png"
    cv2.imwrite(str(secret), np.zeros((8, 8), np.uint8))
    talker = Talker(graph)
    talker.image_frame = f"lens` ![x]({secret})"
    with closing(Browser(serve(graph, 18420).scene.url)) as browser:

        def text():
            talker.say([person()], frame=f"map ![y]({secret}) <b>`")
            graph.spin_for(0.05)
            browser.receive()
            return str(browser.messages)

        graph.spin_until(lambda: "**no camera**" in text(), timeout=20)
        assert "data:image/png" not in text()
        people, images = f"`map ! [y]({secret}) <b>'`", f"`lens' ! [x]({secret})`"
        assert f"people are in {people}, images in {images}" in text()
