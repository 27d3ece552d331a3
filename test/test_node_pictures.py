import cv2
import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image

from pandapose_ros.node.compressed import decode


@pytest.fixture
def node(make_node):
    return make_node()


def test_the_debug_image_is_drawn_for_who_looks_raw_or_compressed(
    graph, node, make_camera, walker
):
    camera = make_camera()
    assert node.start()
    camera.wait_for_node()
    compressed = camera.listen(CompressedImage, "pose_node/debug_image/compressed")
    graph.spin_until(lambda: node.count_subscribers("/pose_node/debug_image/compressed") == 1)
    message = camera.message(walker)
    assert len(camera.exchange(message).skeletons) == 1
    graph.spin_until(lambda: compressed)
    assert compressed[0].header == message.header
    drawn = decode(compressed[0])
    assert drawn.shape == walker.shape
    # As JPEG keeps it, the picture is the image but for the lines drawn onto it.
    difference = np.abs(drawn.astype(int) - walker).max(-1)
    assert np.median(difference) < 8
    assert 0.005 < (difference > 60).mean() < 0.3
    raw = camera.listen(Image, "pose_node/debug_image")
    graph.spin_until(lambda: node.count_subscribers("/pose_node/debug_image") == 1)
    node.set_parameters(
        [
            Parameter("debug_image_width", value=160),
            Parameter("debug_image_quality", value=5),
            Parameter("marker_colour", value="confidence"),
        ]
    )
    camera.exchange(camera.message(walker))
    graph.spin_until(lambda: raw and len(compressed) == 2)
    height = round(walker.shape[0] * 160 / walker.shape[1])
    assert (raw[0].width, raw[0].height, raw[0].encoding) == (160, height, "rgb8")
    assert decode(raw[0]).shape == decode(compressed[1]).shape
    assert len(compressed[1].data) < len(compressed[0].data) / 4
    assert cv2.PSNR(decode(raw[0]), decode(compressed[1])) > 15
