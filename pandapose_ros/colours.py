"""Colours of people and joints, the same in every picture: RGB uint8."""

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from pandapose_ros.skeleton import Skeleton

Colours = NDArray[np.uint8]
Meaning = Literal["side", "id", "confidence"]
MEANINGS: tuple[str, ...] = get_args(Meaning)

SIDE_COLOURS = {"left": (255, 140, 40), "right": (60, 150, 255), "centre": (235, 235, 235)}
LOCAL_ANCHOR_COLOUR, GLOBAL_ANCHOR_COLOUR = (240, 200, 60), (120, 220, 140)
# Steps of this share of the colour circle never come near a colour that was used shortly before.
_GOLDEN = 0.618034


def skeleton_colours(
    meaning: str, skeleton: Skeleton, number: int, scores: NDArray[np.floating]
) -> Colours:
    """Colour the joints of one person.

    Args:
        meaning: What colours tell: "side", "id" or "confidence".
        skeleton: Which joints.
        number: Of the person; the same number has the same colour at all times.
        scores: [J], [0, 1]; red is 0, green is 1. NaN counts as 0.

    Returns:
        [J, 3].

    Raises:
        ValueError: If the meaning is none of the three.
    """
    joints = len(skeleton.joint_names)
    if meaning == "side":
        colours = [SIDE_COLOURS[skeleton.side(joint)] for joint in range(joints)]
        return np.array(colours, np.uint8)
    if meaning == "id":
        return np.tile(_from_hues(np.array([number * _GOLDEN])), (joints, 1))
    if meaning == "confidence":
        return _from_hues(np.nan_to_num(scores).clip(0, 1) / 3)  # a third of the circle is green
    raise ValueError(f"expected a meaning of colours among {MEANINGS}, got '{meaning}'")


def joint_colours(skeleton: Skeleton) -> Colours:
    """Return a colour [J, 3] of its own for every joint, similar along a limb."""
    joints = len(skeleton.joint_names)
    return _from_hues(np.arange(joints) / joints)


def _from_hues(hues: NDArray[np.floating]) -> Colours:
    """Return bright colours [N, 3] of hues [N] on a circle of length 1."""
    degrees = np.asarray(hues % 1 * 360, np.float32)
    full = np.stack((degrees, np.full_like(degrees, 0.75), np.ones_like(degrees)), axis=-1)
    rgb = cv2.cvtColor(full[None], cv2.COLOR_HSV2RGB)[0]
    return np.round(rgb * 255).astype(np.uint8)
