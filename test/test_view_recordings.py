"""What the browser view shows of recordings that lack something."""

from contextlib import closing

import pytest
from talker import Talker, person
from viewing import Browser, names_shown, serve


@pytest.fixture
def browser(graph):
    with closing(Browser(serve(graph, 18180).scene.url)) as browser:
        yield browser


@pytest.mark.parametrize("skeleton", ["h36m_17", "another"])
def test_skeletons_without_a_description_are_shown_or_it_is_asked_for(graph, browser, skeleton):
    talker = Talker(graph, is_recording=True, is_described=False)
    is_known = skeleton == "h36m_17"
    told = "in view" if is_known else "no skeleton_info** tells what the joints of `another` are"

    def is_told():
        talker.say_skeletons([person()], skeleton=skeleton)
        graph.spin_for(0.05)
        browser.receive()
        return told in str(browser.messages)

    graph.spin_until(is_told, timeout=20)
    assert ("/people/0/body" in names_shown(browser)) == is_known
