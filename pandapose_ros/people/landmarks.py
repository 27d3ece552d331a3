"""Landmarks of the people in given regions of images, in one pass of the landmark net."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pandapose_ros import geometry
from pandapose_ros.model.blazepose import CROP_SIZE
from pandapose_ros.people.crops import crops_on_device, crops_on_host
from pandapose_ros.people.region import Region, box_round_points, region_from_points
from pandapose_ros.runtime.one_pass import LiftedLandmarks, OnePass
from pandapose_ros.runtime.protocols import LandmarkNet
from pandapose_ros.runtime.rows import CropVotes
from pandapose_ros.skeleton import (
    BLAZEPOSE_LANDMARKS,
    BLAZEPOSE_REGION_CENTRE,
    BLAZEPOSE_REGION_CIRCLE,
    BLAZEPOSE_TURNS,
    H36M_17,
    keypoint_scores,
)

Array = NDArray[np.floating]
Image = NDArray[np.uint8]

_VISIBLE = 0.5
_BOX_MARGIN = 0.05
_MIN_REGION_PX = 8.0
_MIRROR = list(H36M_17.mirror)


@dataclass(frozen=True, eq=False)
class Person:
    """Hold one person in one image.

    Attributes:
        region: The region that the landmark net saw.
        next_region: The region to look at in the next image.
        crop_from_image: [3, 3], homography from image pixels to pixels of the crop of 256 x 256:
            what a camera that looks at the person would see, mirrored if the region is.
        image_from_crop_rotation: [3, 3], the axes of that camera in the image camera's frame;
            if mirrored, x points the other way.
        keypoints_crop: [17, 2], H36M-17, crop pixels; if mirrored, left is right.
        keypoints: [17, 2], image pixels; those of the crop, or with `others` the medians of all.
        keypoint_scores: [17] in [0, 1], in the order of `keypoints`.
        features: The landmark net's maps [1, 48, 64, 64], [1, 48, 32, 32], [1, 48, 16, 16], on
            its device; empty if the net has lifted the person already.
        world_landmarks: [33, 3], metres, origin between the hips, the crop's axes.
        score: Confidence that somebody is there, [0, 1]: presence times verification.
        turns: [4] in [0, 1], the probabilities that the person is rotated by 0, 1, 2, 3 quarter
            turns clockwise in the crop; independent of each other.
        box_xyxy: [4], around the visible landmarks, image pixels, inside the image.
        votes: The lifter's result, if it ran in one pass with the landmark net; else None.
        turned_from: The region that was tracked, if the person was upside down in it.
        is_exchanged: Whether left and right of some joints are exchanged against the landmark
            net's result; in the world landmarks they are not.
        others: The same person in other crops, to be lifted too.
    """

    region: Region
    next_region: Region
    crop_from_image: Array
    image_from_crop_rotation: Array
    keypoints_crop: Array
    keypoints: Array
    keypoint_scores: Array
    features: list[Tensor]
    world_landmarks: Array
    score: float
    turns: Array
    box_xyxy: Array
    votes: CropVotes | None = None
    turned_from: Region | None = None
    is_exchanged: bool = False
    others: Sequence["Person"] = ()


@dataclass(frozen=True, eq=False)
class Look:
    """Request the landmarks of some people in one image.

    Attributes:
        image: [H, W, 3], RGB uint8, contiguous.
        K: Intrinsics [3, 3] of the image, pixels.
        regions: Where to look.
        least_score: Presence below which there is nobody, [0, 1]. The score of people who are
            upside down may be lower, as their keypoints are misplaced.
        orders: The keypoint of each joint [17], for the regions where these are not 0 to 16.
    """

    image: Image
    K: Array
    regions: Sequence[Region]
    least_score: float
    orders: Mapping[Region, Sequence[int]] = field(default_factory=dict)


# A search for people yields looks, is sent the people found in each, and returns its result.
Search = Generator[Look, list[Person], list[Person]]


@dataclass(frozen=True)
class _Answer:
    """The landmark net's result for one crop; as `LandmarkOutput`, without the batch."""

    landmarks_crop: Array
    keypoints_crop: Array
    visibilities: Array
    world_landmarks: Array
    presence: float
    verification: float
    turns: Array
    features: list[Tensor]
    votes: CropVotes | None
    order: Sequence[int] | None


def find_landmarks(landmark_net: LandmarkNet, looks: Sequence[Look]) -> list[list[Person]]:
    """Find the landmarks of all people looked for, in one pass for all images.

    Args:
        landmark_net: Runs on its own device.
        looks: Where to look, one for each image.

    Returns:
        The people found in each look; fewer than its regions if nobody is in some.
    """
    wanted = [
        (number, region, _view(region, look.K))
        for number, look in enumerate(looks)
        for region in look.regions
        if _is_usable(region, look.image)
    ]
    people: list[list[Person]] = [[] for _ in looks]
    if not wanted:
        return people
    homographies: list[list[Array]] = [[] for _ in looks]
    for number, _, (homography, _) in wanted:
        homographies[number].append(homography)
    orders = [looks[number].orders.get(region) for number, region, _ in wanted]
    answers = _answers(landmark_net, [look.image for look in looks], homographies, orders)
    for (number, region, view), answer in zip(wanted, answers, strict=True):
        look = looks[number]
        if answer.presence >= look.least_score:
            image_size = (look.image.shape[1], look.image.shape[0])
            people[number].append(_person(region, view, answer, image_size))
    return people


def search_together(landmark_net: LandmarkNet, searches: Sequence[Search]) -> list[list[Person]]:
    """Run searches side by side, each round of their looks in one pass of the landmark net.

    Args:
        landmark_net: Runs on whichever device it is on.
        searches: One for each tracker, not started yet.

    Returns:
        The people that each search found.
    """
    found: list[list[Person]] = [[] for _ in searches]
    answers: dict[int, list[Person] | None] = dict.fromkeys(range(len(searches)))
    while answers:
        looks: dict[int, Look] = {}
        for number, answer in answers.items():
            try:
                search = searches[number]
                looks[number] = next(search) if answer is None else search.send(answer)
            except StopIteration as end:
                found[number] = end.value
        answers = dict(zip(looks, find_landmarks(landmark_net, list(looks.values())), strict=True))
    return found


def _view(region: Region, K: Array) -> tuple[Array, Array]:
    """Return the homography and the rotation of the crop, as `Person` has them."""
    size = (CROP_SIZE, CROP_SIZE)
    homography, R = geometry.perspective_crop(region.crop_from_image(CROP_SIZE), size, K)
    if not region.is_mirrored:
        return homography, R
    mirror = np.array(((-1.0, 0.0, CROP_SIZE - 1.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    return mirror @ homography, R * (-1.0, 1.0, 1.0)


def _answers(
    landmark_net: LandmarkNet,
    images: Sequence[Image],
    homographies: Sequence[Sequence[Array]],
    orders: Sequence[Sequence[int] | None],
) -> list[_Answer]:
    """Run the landmark net on regions of images, image after image."""
    device = landmark_net.device
    is_on_device = device.type != "cpu" or isinstance(landmark_net, OnePass)
    cut = crops_on_device if is_on_device else crops_on_host
    with torch.inference_mode():
        crops = cut(images, homographies, device)
        if isinstance(landmark_net, OnePass):
            output = landmark_net(crops, orders)  # else they would be lifted as they are
        else:
            output = landmark_net(crops)
        landmarks, keypoints, visibilities, world, presences, verifications = (
            tensor.cpu().numpy()
            for tensor in (
                output.landmarks_px,
                output.keypoints_px,
                output.visibilities,
                output.world_landmarks,
                output.presences,
                output.verifications,
            )
        )
    return [
        _Answer(
            landmarks[i],
            keypoints[i] if order is None else keypoints[i, order],
            visibilities[i, :BLAZEPOSE_LANDMARKS],
            world[i, :BLAZEPOSE_LANDMARKS],
            float(presences[i]),
            float(verifications[i]),
            visibilities[i, BLAZEPOSE_TURNS],
            [level[i : i + 1] for level in output.features],
            output.votes[i] if isinstance(output, LiftedLandmarks) else None,
            order,
        )
        for i, order in enumerate(orders)
    ]


def _person(
    region: Region, view: tuple[Array, Array], answer: _Answer, image_size: tuple[int, int]
) -> Person:
    """Put together one person from the landmark net's answer for one crop."""
    crop_from_image, rotation = view
    image_from_crop = np.linalg.inv(crop_from_image)
    points = geometry.transform_pixels(image_from_crop, answer.landmarks_crop).astype(np.float32)
    landmarks = points[:BLAZEPOSE_LANDMARKS]
    visible = answer.visibilities >= _VISIBLE
    scores = keypoint_scores(answer.visibilities)
    keypoints = geometry.transform_pixels(image_from_crop, answer.keypoints_crop)
    if answer.order is not None:
        scores = scores[list(answer.order)]
    if region.is_mirrored:
        keypoints, scores = keypoints[_MIRROR], scores[_MIRROR]
    return Person(
        region=region,
        next_region=region_from_points(
            points[BLAZEPOSE_REGION_CENTRE], points[BLAZEPOSE_REGION_CIRCLE]
        ),
        crop_from_image=crop_from_image,
        image_from_crop_rotation=rotation,
        keypoints_crop=answer.keypoints_crop,
        keypoints=keypoints.astype(np.float32),
        keypoint_scores=scores,
        features=answer.features,
        world_landmarks=answer.world_landmarks,
        score=answer.presence * answer.verification,
        turns=answer.turns,
        box_xyxy=box_round_points(
            landmarks[visible] if visible.sum() >= 2 else landmarks, _BOX_MARGIN, image_size
        ),
        votes=answer.votes,
        is_exchanged=answer.order is not None,
    )


def _is_usable(region: Region, image: Image) -> bool:
    """Return whether a region has a sensible size and shows some of the image."""
    corners = region.corners()
    limit = np.array([image.shape[1], image.shape[0]]) - 0.5
    touches = (corners.max(axis=0) > -0.5).all() and (corners.min(axis=0) < limit).all()
    return bool(np.isfinite(corners).all() and region.size >= _MIN_REGION_PX and touches)
