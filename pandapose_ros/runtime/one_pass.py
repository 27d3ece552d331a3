"""Landmark net and lifter in one pass on the device: crops in, one row of results per person out.

The host waits once, for the rows. Every crop is lifted, also those that then turn out to show
nobody, because asking the host first would take longer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from pandapose_ros.model.blazepose import CROP_SIZE, LANDMARK_OUTPUTS, LandmarkOutput
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.runtime.cuda_graphs import FixedBatches
from pandapose_ros.runtime.precision import casts, joint_error, reduced
from pandapose_ros.runtime.rows import CropVotes, as_votes, from_rows, read_out, to_rows

GREATEST_ERROR = 5e-3  # on a drawing, where half precision is 1 mm off; on people 0.2 mm [m]


@dataclass(frozen=True)
class LiftedLandmarks(LandmarkOutput):
    """Hold landmarks of people who are already lifted; on the host, without features.

    Attributes:
        votes: Of each person.
    """

    votes: Sequence[CropVotes]


class OnePass:
    """Find landmarks and lift, in a landmark net's place.

    Attributes:
        device: Where the crops have to be.
        dtype: That the networks compute in, but for what needs float32.
        batches: The pass for any number of people.
    """

    def __init__(self, network: PandaPose, dtype: torch.dtype) -> None:
        """Copy a network for this.

        Args:
            network: On its device, with BlazePose as its backbone, in evaluation mode.
            dtype: float32, float16 or bfloat16.
        """
        self.device = network.anchors.kinds.device
        self.dtype = dtype
        crop = torch.zeros(1, 3, CROP_SIZE, CROP_SIZE, device=self.device)
        self._network = reduced(network, dtype, lambda net: net(crop))
        joints = len(network.skeleton.joint_names)
        self._order = torch.arange(joints, device=self.device)[None]
        with torch.inference_mode():
            parts = self._parts(crop, self._order)
        self._shapes = [part.shape[1:] for part in parts]
        self._kinds = network.anchors.kinds.cpu().numpy()
        self._owners = network.anchors.owners.cpu().numpy()
        self.batches = FixedBatches(
            lambda crops, orders: to_rows(self._parts(crops, orders)),
            [crop.to(dtype), self._order],
        )

    @torch.inference_mode()
    def __call__(
        self, crops: Tensor, orders: Sequence[Sequence[int] | None] = ()
    ) -> LiftedLandmarks:
        """Find the landmarks of crops and lift them.

        Args:
            crops: [B, 3, 256, 256], RGB in [0, 1].
            orders: [B, J], which keypoint to lift as each joint; None: as they are, as all are if
                it is empty. Those that are returned are as they are.
        """
        order = self._order.expand(len(crops), -1)
        if any(each is not None for each in orders):
            straight = range(order.shape[1])
            chosen = [list(straight if each is None else each) for each in orders]
            order = torch.tensor(chosen, device=crops.device)
        arrays = from_rows(self.batches(crops, order), self._shapes)
        count = len(LANDMARK_OUTPUTS)
        landmarks = (torch.from_numpy(array) for array in arrays[:count])
        votes = as_votes(arrays[count:], self._kinds, self._owners)
        return LiftedLandmarks([], *landmarks, votes=votes)

    def _parts(self, crops: Tensor, orders: Tensor) -> list[Tensor]:
        """Return everything that the host reads, on the device; it never waits for the host."""
        with casts(self.device, self.dtype):
            seen = self._network.backbone(crops)
            keypoints = self._network.own_keypoints(seen)
            keypoints = keypoints.gather(1, orders[..., None].expand_as(keypoints))
            output = self._network.lift(seen.features, keypoints)
        landmarks = [getattr(seen, name) for name in LANDMARK_OUTPUTS]
        return [*landmarks, *read_out(output, keypoints, self._network.config)]


def precision_error(one_pass: OnePass, network: PandaPose, crops: Tensor) -> float:
    """Return how far the joints of a pass are from those of a network on the same crops.

    Args:
        one_pass: Of this network.
        network: On the same device, in float32.
        crops: [B, 3, 256, 256], RGB in [0, 1].

    Returns:
        The mean per-joint position error, metres; NaN if the pass gives NaN.
    """
    with torch.inference_mode():
        reference = network(crops).joints.cpu()
    votes = one_pass(crops).votes
    return joint_error(torch.from_numpy(np.stack([each.joints for each in votes])), reference)


def drawn_person(device: torch.device) -> Tensor:
    """Return a crop [1, 3, 256, 256] of a drawn person, in [0, 1]."""
    image = np.full((CROP_SIZE, CROP_SIZE, 3), (150, 170, 180), np.uint8)
    skin, shirt, trousers = (205, 150, 120), (60, 80, 150), (50, 50, 60)
    for colour, width, points in (
        (trousers, 18, ((112, 140), (108, 185), (106, 232))),
        (trousers, 18, ((144, 140), (148, 185), (152, 232))),
        (skin, 12, ((104, 76), (84, 108), (78, 140))),
        (skin, 12, ((152, 76), (172, 108), (180, 138))),
        (shirt, 34, ((118, 84), (118, 132))),
        (shirt, 34, ((138, 84), (138, 132))),
        (skin, 14, ((128, 66), (128, 50))),
    ):
        cv2.polylines(image, [np.array(points, np.int32)], False, colour, width, cv2.LINE_AA)
    cv2.ellipse(image, (128, 42), (15, 20), 0, 0, 360, skin, -1, cv2.LINE_AA)
    for u in (122, 134):
        cv2.circle(image, (u, 38), 2, (40, 30, 30), -1, cv2.LINE_AA)
    crop = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    return crop.to(device)
