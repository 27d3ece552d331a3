"""People cut out of photographs as the paper does."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pandapose_ros.data.dataset import Sample, read_image
from pandapose_ros.data.human36m import METRIC_CROP_SIZE, metric_crop
from pandapose_ros.geometry import transform_pixels
from pandapose_ros.skeleton import mirror_joints, mirror_keypoints

Array = NDArray[np.floating]
Image = NDArray[np.uint8]


class PaperView(NamedTuple):
    """Hold one person as the paper's networks see them.

    Attributes:
        crop: RGB uint8 [256, 192, 3].
        keypoints: [17, 2], crop pixels.
        joints: [17, 3], metres, root-relative, the camera's axes.
    """

    crop: Image
    keypoints: Array
    joints: Array


def paper_crop(sample: Sample) -> Array:
    """Return the crop that the paper's networks see: the data set's own, else `metric_crop`.

    Returns:
        `crop_from_image` [2, 3].

    Raises:
        ValueError: If the data set tells neither the crop nor K.
    """
    if sample.crop_from_image is not None:
        return sample.crop_from_image
    if sample.K is None:
        raise ValueError("the paper's crops need K, which is unknown here")
    return metric_crop(sample.joints[0], sample.K)


def look_as_paper(sample: Sample) -> PaperView:
    """Cut a person out of an image.

    Args:
        sample: With an image; its detected keypoints are taken, or if it has none, the true ones.

    Raises:
        FileNotFoundError: If the image is missing.
        ValueError: If there is none, or joints, keypoints or the crop are unknown.
    """
    image = read_image(sample)
    keypoints = sample.true_keypoints if sample.keypoints is None else sample.keypoints
    if image is None or not (np.isfinite(keypoints).all() and np.isfinite(sample.joints).all()):
        raise ValueError(
            f"expected an image, 17 keypoints and 17 joints to train on, some are unknown of the "
            f"sample {sample.image}; take it out of the label file"
        )
    homography = np.vstack((paper_crop(sample), (0, 0, 1)))
    crop = cv2.warpPerspective(image, homography, METRIC_CROP_SIZE)
    return PaperView(
        np.asarray(crop, np.uint8),
        transform_pixels(homography, keypoints),
        sample.joints - sample.joints[0],
    )


def mirror(view: PaperView) -> PaperView:
    """Return what a mirror shows, with left and right joints exchanged."""
    keypoints = mirror_keypoints(view.keypoints, view.crop.shape[1])
    return PaperView(view.crop[:, ::-1], keypoints, mirror_joints(view.joints))
