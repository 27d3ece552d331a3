"""What the browser view sends over the wire."""

import urllib.request
from functools import partial

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from talker import Talker, person
from viewing import Browser, names_shown, serve

from pandapose_ros.msg import Skeleton3DArray
from pandapose_ros.node.sources import find_source, skeleton_topics
from pandapose_ros.node.viewer import Viewer
from pandapose_ros.people.track import lost_pose


@pytest.fixture
def viewer(graph):
    return serve(graph, 18080)


@pytest.fixture
def browser(viewer):
    browser = Browser(viewer.scene.url)
    yield browser
    browser.close()


@pytest.mark.parametrize(
    ("folder", "depth"),
    [
        ("lens", "depth"),
        ("camera/color", "camera/aligned_depth_to_color/image_raw"),
        ("depth_camera", "depth"),
        ("depth_camera", "depth_camera/depth_image"),
        ("depth_camera/depth_camera/color", "depth_camera/depth_camera/depth/image_rect_raw"),
    ],
)
def test_topics_of_a_talker_are_found(graph, folder, depth):
    talker = Talker(graph, f"{folder}/image_raw", depth)
    talker.node.create_publisher(Image, depth, 1)
    graph.spin_until(lambda: skeleton_topics(talker.node) == ["/talker/skeletons"])
    graph.spin_until(lambda: talker.node.count_publishers(f"/{depth}") == 1)
    source = find_source(talker.node, "/talker/skeletons")
    assert (source.info, source.anchors) == ("/talker/skeleton_info", "/talker/anchors")
    assert (source.image, source.camera_info) == (f"/{folder}/image_raw", f"/{folder}/camera_info")
    assert not source.is_compressed


def test_each_of_several_cameras_has_its_own_image(graph):
    node = graph.add(Node("several", context=graph.context))
    for camera in ("depth_cam", "left"):
        node.create_publisher(Skeleton3DArray, f"~/{camera}/skeletons", 1)
        for topic in ("image_raw", "depth/image_raw"):
            node.create_subscription(Image, f"{camera}/{topic}", lambda _message: None, 1)
    graph.spin_until(lambda: len(skeleton_topics(node)) == 2)
    for camera in ("depth_cam", "left"):
        source = find_source(node, f"/several/{camera}/skeletons")
        assert source.image == f"/{camera}/image_raw"


@pytest.mark.parametrize(
    ("played", "heard", "image"),
    [
        ([], [], ""),  # pose_node loads, is disabled, or is lazy
        (["front/image_raw"], [], "/front/image_raw"),
        ([], ["detector/debug_image"], "/detector/debug_image"),  # another's
    ],
)
def test_what_pose_node_drew_is_not_taken_for_the_cameras_image(graph, played, heard, image):
    node = graph.add(Node("drawing", context=graph.context))
    node.create_publisher(Skeleton3DArray, "~/skeletons", 1)
    for topic in ("~/debug_image", "/humans/bodies/person_0/cropped", *played):
        node.create_publisher(Image, topic, 1)
    for topic in heard:
        node.create_subscription(Image, topic, lambda _message: None, 1)
    node.create_publisher(CompressedImage, "~/debug_image/compressed", 1)
    graph.spin_until(lambda: node.count_publishers("/drawing/debug_image/compressed") == 1)
    assert find_source(node, "/drawing/skeletons").image == image


@pytest.mark.parametrize("name", ["skeletons", "image"])
def test_what_is_no_topic_is_refused_before_there_is_a_browser(graph, name):
    wrong = Parameter(name, value="/robot-1/people")
    with pytest.raises(ValueError, match=f"'{name}', '/robot-1/people': .* alphanumerics, '_'.*"):
        Viewer(context=graph.context, parameter_overrides=[wrong])


def test_people_anchors_and_image_reach_a_browser(graph, viewer, browser):
    talker = Talker(graph)

    def all_shown():
        talker.say([person()])
        graph.spin_for(0.05)
        browser.receive()
        wanted = {"/people/0/body", "/people/0/anchors", "/people/0/votes", "/camera"}
        return wanted <= names_shown(browser)

    graph.spin_until(all_shown)
    assert any("in view" in str(message) for message in browser.messages)
    # pose_node makes anchors for subscribers only: nobody is left when the browser goes.
    assert talker.anchors.get_subscription_count() == 1
    browser.close()
    graph.spin_until(lambda: talker.anchors.get_subscription_count() == 0)


@pytest.mark.parametrize("case", ["recording", "lost from the start", "lost later"])
def test_people_move_on_where_neither_anchors_nor_images_come(graph, viewer, browser, case):
    talker = Talker(graph, is_recording=case == "recording")

    def shows(name, say):
        say()
        # Faster than pictures are waited for: the wait has to end all the same.
        graph.spin_for(0.05)
        browser.receive()
        return name in names_shown(browser)

    def say_all():
        talker.say([person()])

    def say_skeletons(people=1):
        talker.say_skeletons([person()] * people)

    first = say_all if case == "lost later" else say_skeletons
    graph.spin_until(lambda: shows("/people/0/body", first))
    if case == "lost later":
        graph.spin_until(lambda: shows("/camera", first) and shows("/people/0/anchors", first))

    def counts_two():
        return any("**2** in view" in str(message) for message in browser.messages)

    # The picture and its line of text arrive one after the other.
    say_two = partial(say_skeletons, 2)
    graph.spin_until(lambda: shows("/people/1/body", say_two) and counts_two(), timeout=20)


def test_pictures_of_which_nothing_comes_are_not_drawn_slowly(graph, viewer, browser):
    talker = Talker(graph)
    graph.spin_until(lambda: talker.skeletons.get_subscription_count() > 0)
    people = 0

    def say_one_more():
        nonlocal people
        people += 1
        talker.say_skeletons([person()] * (1 + people % 2))
        graph.spin_for(0.1)

    for _ in range(30):
        say_one_more()
        browser.receive()
    pictures = [str(message) for message in browser.messages if "in view" in str(message)]
    # One in three would be drawn if each were waited for.
    assert len(pictures) > 18


def test_an_image_that_is_lost_does_not_turn_the_view_back(graph, viewer, browser):
    talker = Talker(graph)

    def say(turn, *, is_whole):
        poses = [person((0.01 * turn, 0.2, 3.0))]
        (talker.say if is_whole else talker.say_skeletons)(poses)
        graph.spin_for(0.05)
        browser.receive()
        return names_shown(browser)

    def views():
        return sum(message["type"] == "SetCameraPositionMessage" for message in browser.messages)

    graph.spin_until(lambda: "/camera" in say(0, is_whole=True))
    graph.spin_for(0.3)
    browser.receive()
    before = views()
    assert before
    for turn in range(40):
        say(turn, is_whole=turn // 10 % 2 == 0)
    assert views() == before


def shown_after(graph, browser, say):
    """All that came until a browser looks at people, and a little longer, by type of message."""

    def looks():
        say()
        graph.spin_for(0.05)
        browser.receive()
        return any(message["type"] == "SetCameraLookAtMessage" for message in browser.messages)

    graph.spin_until(looks)
    for _ in range(4):
        looks()
    return {message["type"]: message for message in browser.messages}


@pytest.mark.parametrize(
    "frame", ["camera", "lens_optical_frame", "lens_optical_link", "map", "base"]
)
def test_people_stand_upright_though_no_image_comes(graph, viewer, browser, frame):
    talker = Talker(graph)
    shown = shown_after(graph, browser, lambda: talker.say_skeletons([person()], frame))
    up = (0, 0, 1) if frame in ("map", "base") else (0, -1, 0)
    assert tuple(shown["SetCameraUpDirectionMessage"]["position"]) == up


@pytest.mark.parametrize("frame", ["lens", "map", "tower"])
def test_the_camera_is_at_the_origin_of_its_own_frame_only(graph, viewer, browser, frame):
    talker, people = Talker(graph), [person((30.0, 0.0, 1.0)), person((32.0, 0.0, 1.0))]
    shown = shown_after(graph, browser, lambda: talker.say(people, frame=frame))
    assert "person_3" in str(browser.messages)
    assert ("30.0 m" in str(browser.messages)) == (frame == "lens")
    if frame != "lens":
        look_at = np.array(shown["SetCameraLookAtMessage"]["look_at"])
        np.testing.assert_allclose(look_at, (31, 0, 1))
        eye = np.array(shown["SetCameraPositionMessage"]["position"])
        assert 3 < np.linalg.norm(eye - look_at) < 6
        assert tuple(shown["SetCameraUpDirectionMessage"]["position"]) == (0, 0, 1)


def test_people_who_come_slowly_stay_in_view(graph, viewer, browser, monkeypatch):
    monkeypatch.setattr("pandapose_ros.node.viewer._SILENCE", 0.1)
    talker = Talker(graph)

    def stay_in_view():
        talker.say_skeletons([person()])
        graph.spin_for(0.4)
        browser.messages.clear()
        browser.receive()
        said = str(browser.messages)
        return "in view" in said and "no skeletons" not in said

    # The viewer knows after two messages how slowly they come.
    graph.spin_until(stay_in_view, timeout=20)


def test_people_blink_once_at_most_when_they_begin_to_come_slowly(
    graph, viewer, browser, monkeypatch
):
    monkeypatch.setattr("pandapose_ros.node.viewer._SILENCE", 0.15)
    talker = Talker(graph)

    def say(pause):
        """Return what the browser shows until the next message is due."""
        talker.say_skeletons([person()])
        graph.spin_for(pause)
        browser.messages.clear()
        browser.receive()
        return str(browser.messages)

    graph.spin_until(lambda: "in view" in say(0.03))
    for _ in range(30):
        say(0.03)
    said = [say(0.5) for _ in range(8)]
    assert any("in view" in text for text in said)  # a line that stays the same is not sent again
    # Who comes more slowly than before is late once.
    assert sum("no skeletons" in text for text in said) <= 1


def test_who_has_left_is_not_taken_for_somebody_without_a_place(graph, viewer, browser):
    talker, people = Talker(graph), [lost_pose(person()), person()]
    shown_after(graph, browser, lambda: talker.say(people))
    said = str(browser.messages)
    assert "**1** in view" in said
    assert "**2** in view" not in said
    assert "without a place" not in said
    assert "/people/0/anchors" in names_shown(browser)


def test_no_age_is_told_of_images_without_a_stamp(graph, viewer, browser):
    talker = Talker(graph)
    shown_after(graph, browser, lambda: talker.say_skeletons([person()], stamp=Time()))
    assert "in view" in str(browser.messages)
    assert "after the image" not in str(browser.messages)


@pytest.mark.parametrize("seconds", [40, 1_700_000_000])
def test_the_age_of_images_of_another_time_is_no_number(graph, viewer, browser, seconds):
    # Of a simulation, whose clock begins at 0, or of a recording that brings no clock.
    talker = Talker(graph)
    stamp = Time(sec=seconds)
    shown_after(graph, browser, lambda: talker.say_skeletons([person()], stamp=stamp))
    assert "Hz, images of another time" in str(browser.messages)
    assert "after the image" not in str(browser.messages)


def test_the_page_is_served_on_loopback_only_and_not_shared(graph, viewer, browser):
    assert viewer.scene.url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(viewer.scene.url, timeout=10) as page:
        assert b"<html" in page.read()
    browser.send("ShareUrlRequest")
    graph.spin_for(0.3)
    browser.receive()
    assert viewer.scene._server._share_tunnel is None
