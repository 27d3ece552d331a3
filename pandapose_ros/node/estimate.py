"""The people of one image on their way out: as estimated, and in the frame to publish in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from pandapose_ros.frames.transform import Transform
from pandapose_ros.pose import Pose


@dataclass(frozen=True, eq=False)
class Estimate:
    """Hold the people estimated from an image.

    Attributes:
        poses: In the camera's optical frame.
        header: Stamp of the image and that frame.
        image: RGB uint8 [H, W, 3].
        is_tracked: Whether people keep their names from image to image.
        since: When the estimate was made, seconds of `time.monotonic`.
    """

    poses: Sequence[Pose]
    header: Header
    image: NDArray[np.uint8]
    is_tracked: bool
    since: float


@dataclass(frozen=True)
class Placed:
    """Hold the people of one image in the frame to publish in.

    Attributes:
        poses: In that frame.
        header: Stamp of the image, and that frame.
        camera: From the camera's optical frame to that frame.
    """

    poses: Sequence[Pose]
    header: Header
    camera: Transform
