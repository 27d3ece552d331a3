"""Which images the browser view shows, and how, over real DDS."""

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
