"""Errors of a landmark net's own 2D and 3D, before anything is lifted."""

from collections.abc import Iterable

import torch

from pandapose_ros.data.landmark_crops import LandmarkCrops
from pandapose_ros.model.blazepose import CROP_SIZE, BlazePose
from pandapose_ros.skeleton import (
    BLAZEPOSE_LANDMARKS,
    BLAZEPOSE_TURNS,
    H36M_17_FROM_BLAZEPOSE,
)


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
        joints = matrix @ seen.world_landmarks[:, :BLAZEPOSE_LANDMARKS].cpu()
        inside = ((batch.keypoints > -0.5) & (batch.keypoints < CROP_SIZE - 0.5)).all(dim=-1)
        off = (seen.keypoints_px.cpu() - batch.keypoints).norm(dim=-1)
        pixels.append(off[inside & people[:, None]])
        metres.append((joints - batch.joints).norm(dim=-1)[people].flatten())
    return {
        "keypoints_px": round(torch.cat(pixels).mean().item(), 3),
        "joints_mm": round(1000 * torch.cat(metres).mean().item(), 2),
    }


def share_of_wrong_turns(net: BlazePose, batches: Iterable[LandmarkCrops]) -> float:
    """Return how often a landmark net estimates a wrong rotation of people in crops.

    Args:
        net: Any device.
        batches: With at least one person.

    Returns:
        Share of the people, [0, 1].
    """
    wrong = []
    for batch in batches:
        with torch.inference_mode():
            said = net(batch.crops.to(net.device)).visibilities[:, BLAZEPOSE_TURNS].cpu()
        people = batch.shows_person > 0
        wrong.append(said.argmax(dim=1)[people] != batch.quarter_turns[people])
    return round(torch.cat(wrong).float().mean().item(), 4)
