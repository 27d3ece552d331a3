"""What the browser view shows of recordings that lack something."""

from contextlib import closing
from dataclasses import replace

import pytest
from rclpy.node import Node
from talker import Talker, person
from viewing import Browser, names_shown, serve

from pandapose_ros.msg import Skeleton3DArray


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


def test_people_are_shown_on_when_others_are_published_later(graph, browser):
    # The first topic by name is taken, but only where nothing is shown yet.
    talker, others = Talker(graph, is_recording=True), []

    def say():
        talker.say_skeletons([person()])
        for other in others:
            other.publish(Skeleton3DArray(skeleton_type="h36m_17"))
        graph.spin_for(0.05)
        browser.receive()
        return str(browser.messages)

    graph.spin_until(lambda: "**1** in view" in say())
    node = graph.add(Node("another", context=graph.context))
    others.append(node.create_publisher(Skeleton3DArray, "~/skeletons", 1))
    for _ in range(50):
        say()
    assert "/another/skeletons" not in say()


def test_people_with_other_joints_than_described_do_not_end_the_view(graph, browser):
    talker = Talker(graph, is_recording=True)
    whole = person()

    def says(told, pose):
        talker.say_skeletons([pose])
        graph.spin_for(0.05)
        browser.receive()
        return told in str(browser.messages)

    few = replace(
        whole,
        joints=whole.joints[:5],
        joint_scores=whole.joint_scores[:5],
        keypoints=whole.keypoints[:5],
    )
    graph.spin_until(lambda: says("**people not shown**, `IndexError", few), timeout=20)
    assert "**1** in view" not in str(browser.messages)
    graph.spin_until(lambda: says("**1** in view", whole), timeout=20)
