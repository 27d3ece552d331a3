"""Scores of a network on samples with known joints, beside what a user would take instead."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pandapose_ros.data.rendered_images import RenderedImage
from pandapose_ros.geometry import project, transform_pixels
from pandapose_ros.landmarks import Person
from pandapose_ros.metrics import auc, joint_errors, mpjpe, pa_mpjpe, pck
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.people import PeopleTracker
from pandapose_ros.skeleton import H36M_17, H36M_17_FROM_BLAZEPOSE

Array = NDArray[np.floating]

_BATCH = 64
_MM = 1000.0
_PCK_MM = 150.0
# The joints of arms and legs, which every skeleton defines alike; pelvis and head it does not.
LIMB_JOINTS = (1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16)
# Challenging samples, as the paper names them: mean distance of the detected from the true
# keypoints over 5. Our choice: pixels of our 256 x 256 crop, as the paper gives no unit.
_CHALLENGING_PX = 5.0


class ImageScores(NamedTuple):
    """Hold what was estimated on images in which the person was found.

    All 3D is pelvis-relative, in the axes of the crop's camera, metres.

    Attributes:
        images: How many images there were, with people found or not.
        truth: [N, 17, 3].
        estimated: [N, 17, 3], by the network.
        world_landmarks: [N, 17, 3], BlazePose's own, as H36M-17.
        keypoint_errors_px: [N], mean over joints of the detected keypoints' errors, crop pixels.
    """

    images: int
    truth: Array
    estimated: Array
    world_landmarks: Array
    keypoint_errors_px: Array


def score_skeletons(net: PandaPose, keypoints: Array, joints: Array) -> dict[str, float]:
    """Score a network on skeleton-only samples.

    Args:
        net: In evaluation mode.
        keypoints: [N, 17, 2], crop pixels.
        joints: True joints [N, 17, 3], metres, root-relative, crop-camera axes.

    Returns:
        As `pose_scores`.
    """
    with torch.inference_mode():
        batches = torch.from_numpy(keypoints).to(net.queries.weight.device).split(_BATCH)
        lifted = torch.cat([net.lift(None, batch).joints for batch in batches]).cpu().numpy()
    return pose_scores(lifted, joints)


def pose_scores(joints: Array, truth: Array) -> dict[str, float]:
    """Return the errors of poses, pelvis on pelvis.

    Args:
        joints: [N, 17, 3], metres.
        truth: [N, 17, 3], metres, the same axes.

    Returns:
        mpjpe_mm, pa_mpjpe_mm, both also over arms and legs alone (limbs_), pck_150mm and
        auc_150mm in [0, 1]. Empty without samples.
    """
    if not len(truth):
        return {}
    joints, truth = ((pose - pose[:, :1]).astype(np.float64) * _MM for pose in (joints, truth))
    limbs, true_limbs = joints[:, LIMB_JOINTS], truth[:, LIMB_JOINTS]
    scores = {
        "mpjpe_mm": mpjpe(joints, truth),
        "pa_mpjpe_mm": pa_mpjpe(joints, truth),
        "limbs_mpjpe_mm": mpjpe(limbs, true_limbs),
        "limbs_pa_mpjpe_mm": pa_mpjpe(limbs, true_limbs),
        "pck_150mm": pck(joints, truth, _PCK_MM),
        "auc_150mm": auc(joints, truth, _PCK_MM),
    }
    return {name: round(value, 4 if "150" in name else 2) for name, value in scores.items()}


def estimate_on_images(
    net: PandaPose,
    tracker: PeopleTracker,
    images: Iterable[RenderedImage],
    *,
    successive: bool = False,
) -> ImageScores:
    """Find and lift the person of each image.

    Args:
        net: In evaluation mode, on the CPU.
        tracker: The people finder as it is used on a camera.
        images: One person each.
        successive: Follow the person from image to image; else each image stands by itself.
    """
    truth, estimated, world, errors, count = [], [], [], [], 0
    for item in images:
        count += 1
        if not successive:
            tracker.reset()
        people = tracker.find(item.image, item.K)
        if not people:
            continue
        pixels = project(item.joints, item.K)
        person = min(people, key=lambda p: np.linalg.norm(p.keypoints[0] - pixels[0]))
        axes = person.image_from_crop_rotation
        truth.append((item.joints - item.joints[0]) @ axes)
        clean = transform_pixels(person.crop_from_image, pixels)
        errors.append(joint_errors(person.keypoints_crop, clean).mean())
        world.append(H36M_17_FROM_BLAZEPOSE @ person.world_landmarks)
        estimated.append(_lift(net, person))
    empty = np.zeros((0, len(H36M_17.joint_names), 3))
    return ImageScores(
        images=count,
        truth=np.stack(truth) if truth else empty,
        estimated=np.stack(estimated) if truth else empty,
        world_landmarks=np.stack(world) if truth else empty,
        keypoint_errors_px=np.array(errors),
    )


def summarise(scores: ImageScores) -> dict[str, object]:
    """Return the scores as plain numbers: network and BlazePose's own 3D on the same images.

    Of images and found alone if nobody was found: there is no error then, and JSON has no NaN.
    """
    if not len(scores.truth):
        return {"images": scores.images, "found": 0}
    challenging = scores.keypoint_errors_px > _CHALLENGING_PX
    subsets = {"all": np.ones_like(challenging), "challenging": challenging, "rest": ~challenging}
    root = np.s_[:, :1]
    per_joint = joint_errors(
        scores.estimated - scores.estimated[root], scores.truth - scores.truth[root]
    ).mean(axis=0)
    return {
        "images": scores.images,
        "found": len(scores.truth),
        "keypoint_error_px": round(float(scores.keypoint_errors_px.mean()), 2),
        **{
            name: {
                "samples": int(subset.sum()),
                "pandapose": pose_scores(scores.estimated[subset], scores.truth[subset]),
                "blazepose_world": pose_scores(
                    scores.world_landmarks[subset], scores.truth[subset]
                ),
            }
            for name, subset in subsets.items()
        },
        "per_joint_mm": {
            joint: round(float(error) * _MM, 1)
            for joint, error in zip(H36M_17.joint_names, per_joint, strict=True)
        },
    }


def _lift(net: PandaPose, person: Person) -> Array:
    """Return the joints [17, 3] of one person."""
    with torch.inference_mode():
        keypoints = torch.from_numpy(person.keypoints_crop)[None]
        return net.lift(person.features, keypoints).joints[0].numpy()
