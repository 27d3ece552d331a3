"""How far a landmark net's own 2D and 3D are from the truth, before anything is lifted."""

from collections.abc import Iterable

import numpy as np
import torch

from pandapose_ros.data.landmark_crops import LandmarkCrops
from pandapose_ros.model.blazepose import CROP_SIZE, BlazePose
from pandapose_ros.people.region import region_from_points
from pandapose_ros.skeleton import (
    BLAZEPOSE_LANDMARKS,
    BLAZEPOSE_REGION_CENTRE,
    BLAZEPOSE_REGION_CIRCLE,
    H36M_17_FROM_BLAZEPOSE,
)

_WRONG_TURN = np.pi / 4
_WRONG_SIZE = 1.5


def score_landmarks(net: BlazePose, batches: Iterable[LandmarkCrops]) -> dict[str, float]:
    """Score a landmark net on crops of people; crops of nobody do not count.

    Args:
        net: Any device.
        batches: With at least one person and one joint that lies in its crop.

    Returns:
        keypoints_px: Mean distance of the keypoints whose joints lie in the crop, pixels of it.
        joints_mm: Mean distance of all the net's own 3D joints, pelvis on pelvis, millimetres.
    """
    pixels, metres = [], []
    for batch in batches:
        with torch.inference_mode():
            seen = net(batch.crops.to(net.device))
        people = batch.shows_person > 0
        matrix = torch.tensor(H36M_17_FROM_BLAZEPOSE)
        keypoints, joints = (
            matrix @ found[:, :BLAZEPOSE_LANDMARKS].cpu()
            for found in (seen.landmarks_px, seen.world_landmarks)
        )
        inside = ((batch.keypoints > -0.5) & (batch.keypoints < CROP_SIZE - 0.5)).all(dim=-1)
        off = (keypoints - batch.keypoints).norm(dim=-1)
        pixels.append(off[inside & people[:, None]])
        metres.append((joints - batch.joints).norm(dim=-1)[people].flatten())
    return {
        "keypoints_px": round(torch.cat(pixels).mean().item(), 3),
        "joints_mm": round(1000 * torch.cat(metres).mean().item(), 2),
    }


def share_of_wrong_regions(net: BlazePose, batches: Iterable[LandmarkCrops]) -> float:
    """Tell how often a landmark net would look at the wrong part of the next image.

    Args:
        net: Any device.
        batches: With at least one person.

    Returns:
        Share of the people whose next region is turned by over 45 degrees, or off in size by over
        half, [0, 1].
    """
    places = [BLAZEPOSE_REGION_CENTRE, BLAZEPOSE_REGION_CIRCLE]
    wrong = []
    for batch in batches:
        with torch.inference_mode():
            points = net(batch.crops.to(net.device)).landmarks_px[:, places].cpu()
        people = batch.shows_person > 0
        for said, true in zip(points[people].numpy(), batch.region[people].numpy(), strict=True):
            region, expected = region_from_points(*said), region_from_points(*true)
            turn = abs(np.angle(np.exp(1j * (region.angle - expected.angle))))
            ratio = abs(np.log(region.size / expected.size))
            wrong.append(turn > _WRONG_TURN or ratio > np.log(_WRONG_SIZE))
    return round(float(np.mean(wrong)), 4)
