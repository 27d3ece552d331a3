"""Which images the browser view shows, and how, over real DDS."""

from collections import ChainMap
from contextlib import closing

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header
from talker import Talker, person
from viewing import Browser, names_shown, serve


@pytest.fixture
def far_node():
    """A node of another process, as far as DDS knows: in one, a topic has one type only."""
    context = rclpy.Context()
    rclpy.init(context=context, args=[])
    node = Node("far", context=context)
    yield node
    node.destroy_node()
    context.shutdown()


def test_compressed_images_that_come_after_the_skeletons_are_shown(graph, far_node):
    viewer = serve(graph, 18380, image="far/compressed")
    talker = Talker(graph)
    with closing(Browser(viewer.scene.url)) as browser:

        def shown(publisher=None):
            stamp = talker.node.get_clock().now().to_msg()
            if publisher is not None:
                _, data = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))
                header = Header(stamp=stamp, frame_id="lens")
                image = CompressedImage(header=header, format="jpeg", data=data.tobytes())
                publisher.publish(image)
            talker.say_skeletons([person()], stamp=stamp)
            graph.spin_for(0.05)
            browser.receive()
            return names_shown(browser)

        graph.spin_until(lambda: "/people/0/body" in shown())
        publisher = far_node.create_publisher(CompressedImage, "far/compressed", 1)
        graph.spin_until(lambda: "/camera" in shown(publisher), timeout=20)


def pyramid_of(browser):
    """What the browser was told of the camera's pyramid last."""
    told = [m for m in browser.messages if m.get("name") == "/camera"]
    return dict(ChainMap(*[m.get("props", m.get("updates", {})) for m in reversed(told)]))


def test_the_pyramid_of_a_camera_whose_pixels_are_no_squares_holds_its_people(graph):
    # From the middle to an edge, rays go as far aside as up, per metre: 32 / 40 = 24 / 30.
    talker = Talker(graph)
    talker.camera_info.k = [40.0, 0.0, 31.5, 0.0, 30.0, 23.5, 0.0, 0.0, 1.0]
    with closing(Browser(serve(graph, 18390).scene.url)) as browser:

        def pyramid():
            talker.say([person()])
            graph.spin_for(0.05)
            browser.receive()
            return pyramid_of(browser)

        # The first image may come before the calibration.
        graph.spin_until(lambda: pyramid().get("aspect") == pytest.approx(1))
        assert np.tan(pyramid()["fov"] / 2) == pytest.approx(24 / 30)


@pytest.mark.parametrize(
    ("parameters", "fx"),
    [
        ({"rectified": True, "field_of_view": 1.05}, 50.0),
        ({"rectified": False, "field_of_view": 1.05}, 20.0),
        ({"rectified": False, "field_of_view": 2.0}, 32 / np.tan(1.0)),
        ({"rectified": False, "field_of_view": 0.0}, 32 / np.tan(1.05 / 2)),
        ({"rectified": "yes"}, 20.0),  # not a pose_node
    ],
)
def test_the_pyramid_is_what_the_node_takes_its_camera_for(graph, parameters, fx):
    talker = Talker(graph)
    for name, value in parameters.items():
        talker.node.declare_parameter(name, value)
    info = talker.camera_info
    info.k = [20.0, 0.0, 31.5, 0.0, 20.0, 23.5, 0.0, 0.0, 1.0]
    info.p = [50.0, 0.0, 31.5, 0.0, 0.0, 50.0, 23.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    if fx not in (20.0, 50.0):
        info.k = [0.0] * 9  # not calibrated
    with closing(Browser(serve(graph, 18440).scene.url)) as browser:

        def height_at_one_metre():
            talker.say([person()])
            graph.spin_for(0.05)
            browser.receive()
            return 2 * np.tan(pyramid_of(browser).get("fov", 0.0) / 2)

        graph.spin_until(lambda: height_at_one_metre() == pytest.approx(48 / fx), timeout=20)


@pytest.mark.parametrize(
    ("frame", "image_frame", "is_there"),
    [
        ("camera_optical_frame", "camera_link", True),  # by the parameter frame_id
        ("lens", "", True),
        ("map", "", False),
        ("map", "lens", False),
        ("camera_link", "camera_optical_frame", False),
    ],
)
def test_the_camera_is_shown_where_its_images_are_called_by_another_frame(
    graph, frame, image_frame, is_there
):
    talker = Talker(graph)
    talker.image_frame = image_frame
    with closing(Browser(serve(graph, 18400).scene.url)) as browser:

        def is_told():
            talker.say([person()], frame=frame)
            graph.spin_for(0.05)
            browser.receive()
            is_drawn = "/camera" in names_shown(browser)
            return is_drawn or "**no camera**" in str(browser.messages)

        graph.spin_until(is_told, timeout=20)
        assert ("/camera" in names_shown(browser)) == is_there
