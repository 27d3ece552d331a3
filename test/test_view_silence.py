"""What the browser view shows when skeletons or images stop, as when their node is dead."""

from contextlib import closing

import pytest
from talker import Talker, person
from viewing import Browser, names_shown, serve


@pytest.fixture
def browser(graph):
    with closing(Browser(serve(graph, 18280).scene.url)) as browser:
        yield browser


def shown(browser):
    """Whether each thing of the scene was last made visible or not."""
    kind = "SetSceneNodeVisibilityMessage"
    return {m["name"]: m["visible"] for m in browser.messages if m["type"] == kind}


def test_the_image_goes_with_the_people_and_comes_again_with_them(graph, browser):
    talker = Talker(graph)

    def say():
        talker.say([person()])
        graph.spin_for(0.05)
        browser.receive()
        return {"/camera", "/people/0/body"} <= names_shown(browser)

    graph.spin_until(say)
    browser.messages.clear()

    def is_empty():
        browser.receive()
        return "no skeletons" in str(browser.messages)

    graph.spin_until(is_empty, timeout=20)
    graph.spin_for(0.2)
    browser.receive()
    assert shown(browser).get("/people/0/body") is False
    assert shown(browser).get("/camera") is False

    def say_again():
        say()
        return shown(browser)["/camera"]

    graph.spin_until(say_again, timeout=20)
    assert shown(browser)["/people/0/body"]


def test_an_image_goes_when_no_other_comes_with_the_people(graph, browser):
    talker = Talker(graph)

    def say(*, is_whole):
        (talker.say if is_whole else talker.say_skeletons)([person()])
        graph.spin_for(0.05)
        browser.receive()

    def shows_image():
        say(is_whole=True)
        return shown(browser).get("/camera")

    graph.spin_until(lambda: shows_image() or "/camera" in names_shown(browser))
    browser.messages.clear()

    def is_hidden():
        say(is_whole=False)
        return shown(browser).get("/camera") is False

    graph.spin_until(is_hidden, timeout=20)
    graph.spin_until(
        lambda: say(is_whole=False) or "**no images** of these" in str(browser.messages)
    )
    assert shown(browser).get("/people/0/body") is not False
    graph.spin_until(shows_image, timeout=20)
