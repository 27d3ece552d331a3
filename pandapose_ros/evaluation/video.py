"""Figures for videos without true joints: errors that show without ground truth."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from pandapose_ros.evaluation.candidates import Candidate
from pandapose_ros.evaluation.scores import ARM_JOINTS, LEG_JOINTS, LIMB_JOINTS
from pandapose_ros.geometry import intrinsics_from_field_of_view, place_root, project
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.people.landmarks import Person
from pandapose_ros.people.region import is_same_place
from pandapose_ros.skeleton import H36M_17, H36M_17_FROM_BLAZEPOSE

Array = NDArray[np.floating]
Image = NDArray[np.uint8]
Record = dict[str, object]


@dataclass(frozen=True, eq=False)
class Track:
    """Hold the results for the person who is in the most frames of a video.

    Attributes:
        frames: How many the video has.
        numbers: [T], of the frames in which the person was found.
        keypoints: [T, 17, 2], pixels.
        scores: [T, 17], of the keypoints.
        joints: By name of who estimated them [T, 17, 3], metres, pelvis-relative, camera axes.
        K: [3, 3], pixels.
    """

    frames: int
    numbers: NDArray[np.int64]
    keypoints: Array
    scores: Array
    joints: dict[str, Array]
    K: Array


@dataclass(frozen=True, eq=False)
class _Seen:
    """Hold a person in a frame, and their joints by name of who estimated them."""

    number: int
    person: Person
    joints: dict[str, Array]


def follow_person(
    images: Iterable[Image],
    tracker: PeopleTracker,
    candidates: Sequence[Candidate],
    field_of_view: float,
    baseline: str,
) -> Track:
    """Follow the person who is seen longest and lift them with every network.

    Args:
        images: Frames, RGB uint8 [H, W, 3].
        tracker: As on a camera.
        candidates: Networks on BlazePose features.
        field_of_view: Horizontal, of the camera, radians.
        baseline: Name for the landmark net's own 3D; empty: that is not wanted.

    Raises:
        ValueError: If nobody is found in two frames or more.
    """
    tracker.reset()
    K = np.eye(3)
    followed: list[list[_Seen]] = []
    frames = 0
    for number, image in enumerate(images):
        K = intrinsics_from_field_of_view(field_of_view, image.shape[1], image.shape[0])
        before = [entries for entries in followed if entries[-1].number == number - 1]
        for person in tracker.find(image, K):
            joints = _lift(person, candidates, baseline)
            # Without the feature maps, a megabyte of each frame.
            seen = _Seen(number, replace(person, features=[]), joints)
            _append(followed, before, seen)
        frames = number + 1
    chosen = max(followed, key=len, default=[])
    if len(chosen) < 2:
        raise ValueError(f"expected a person in two frames or more, found none in {frames}")
    return Track(
        frames=frames,
        numbers=np.array([seen.number for seen in chosen]),
        keypoints=np.stack([seen.person.keypoints for seen in chosen]),
        scores=np.stack([seen.person.keypoint_scores for seen in chosen]),
        joints={
            name: np.stack([seen.joints[name] for seen in chosen]) for name in chosen[0].joints
        },
        K=K,
    )


def video_figures(track: Track, name: str) -> Record:
    """Return the figures of one estimate of a video.

    Args:
        track: The person.
        name: Whose estimate.

    Returns:
        bone_length_cv: Standard deviation of a bone's length over frames as a share of its mean,
        mean over bones; by_bone: of each. reprojection_share: distance of the projected joints to
        the keypoints as a share of the person's height, mean over joints and frames, and 95th
        percentile over frames; null where no frame's pelvis could be placed. flips: frames in
        which the left and right joints of legs and arms, of legs alone or of arms alone are
        nearer to the other side's ones of the frame before than to their own.

    Source:
        Our choice. The height is the greater side of the box round the keypoints in the frame;
        the pelvis is placed by `geometry.place_root`.
    """
    joints = track.joints[name]
    variation = bone_length_variation(joints)
    shares = reprojection_shares(track, joints)
    names = [H36M_17.joint_names[joint] for _, joint in H36M_17.bones]
    return {
        "name": name,
        "bone_length_cv": round(float(variation.mean()), 4),
        "by_bone": {
            bone: round(float(value), 4) for bone, value in zip(names, variation, strict=True)
        },
        "reprojection_share": _rounded(shares.mean() if len(shares) else None),
        "reprojection_share_p95": _rounded(np.quantile(shares, 0.95) if len(shares) else None),
        "flips": count_flips(joints, track.numbers, LIMB_JOINTS),
        "leg_flips": count_flips(joints, track.numbers, LEG_JOINTS),
        "arm_flips": count_flips(joints, track.numbers, ARM_JOINTS),
    }


def bone_length_variation(joints: Array) -> Array:
    """Return the coefficient of variation of each bone [16] over frames [T, 17, 3]."""
    parents, children = np.array(H36M_17.bones).T
    lengths = np.linalg.norm(joints[:, children] - joints[:, parents], axis=2)
    return lengths.std(axis=0) / lengths.mean(axis=0)


def reprojection_shares(track: Track, joints: Array) -> Array:
    """Return for each frame how far joints [T, 17, 3] project from the keypoints.

    Returns:
        At most T, shares of the person's height; frames without a place for the pelvis are left
        out.
    """
    shares = []
    for pose, keypoints, scores in zip(joints, track.keypoints, track.scores, strict=True):
        root = place_root(pose, keypoints, scores, track.K)
        if root is not None:
            distances = np.linalg.norm(project(pose + root, track.K) - keypoints, axis=1)
            shares.append(distances.mean() / np.ptp(keypoints, axis=0).max())
    return np.array(shares)


def count_flips(joints: Array, numbers: NDArray[np.int64], chosen: Sequence[int]) -> int:
    """Count frames whose left and right were exchanged since the frame before.

    Args:
        joints: [T, 17, 3], pelvis-relative.
        numbers: [T], of the frames; only successive ones are compared.
        chosen: Joints that count, of both sides.
    """
    kept, other = list(chosen), [H36M_17.mirror[joint] for joint in chosen]
    before, after = joints[:-1, kept], joints[1:]
    same = np.linalg.norm(after[:, kept] - before, axis=2).mean(axis=1)
    exchanged = np.linalg.norm(after[:, other] - before, axis=2).mean(axis=1)
    return int(((exchanged < same) & (np.diff(numbers) == 1)).sum())


def _append(followed: list[list[_Seen]], before: list[list[_Seen]], seen: _Seen) -> None:
    """Add somebody to whom they were in the frame before, or as somebody new."""
    for entries in before:
        if is_same_place(entries[-1].person.next_region, seen.person.region):
            entries.append(seen)
            before.remove(entries)
            return
    followed.append([seen])


def _lift(person: Person, candidates: Sequence[Candidate], baseline: str) -> dict[str, Array]:
    """Return the joints [17, 3] of one person by each network and BlazePose, camera axes."""
    estimated = {}
    keypoints = torch.from_numpy(person.keypoints_crop)[None]
    with torch.inference_mode():
        for candidate in candidates:
            device = next(candidate.net.parameters()).device
            output = candidate.net.lift(person.features, keypoints.to(device))
            estimated[candidate.name] = output.joints[0].float().cpu().numpy()
    if baseline:
        estimated[baseline] = H36M_17_FROM_BLAZEPOSE @ person.world_landmarks
    axes = person.image_from_crop_rotation.T
    return {name: (pose - pose[0]) @ axes for name, pose in estimated.items()}


def _rounded(value: float | np.floating | None) -> float | None:
    """Round a share to 0.0001."""
    return None if value is None else round(float(value), 4)
