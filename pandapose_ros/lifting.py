"""From people in images to poses in space: the lifter, axes, roots, and the lens's pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from pandapose_ros import geometry
from pandapose_ros.camera.depth_root import DepthImage, root_from_depth
from pandapose_ros.camera.lens import Distortion, distort_pixels
from pandapose_ros.camera.lens_boxes import distort_box
from pandapose_ros.config import CovarianceConfig
from pandapose_ros.depth_votes import place_depth
from pandapose_ros.people.clothes import colours_of_clothes
from pandapose_ros.people.landmarks import Person
from pandapose_ros.people.track import Sighting
from pandapose_ros.pose import AnchorVotes, Pose, RootSource, TrackState
from pandapose_ros.runtime.protocols import Lifter
from pandapose_ros.runtime.rows import CropVotes, as_votes, from_rows, read_out, to_rows
from pandapose_ros.skeleton import H36M_17
from pandapose_ros.uncertainty import joint_covariances, root_covariance

Array = NDArray[np.floating]

UNNAMED = -1
# Nose and top of the head are guessed from the face: they place the root only without others.
_GUESSED = np.isin(H36M_17.joint_names, ("nose", "head"))
_GUESS_SCORE = 0.1
_MIRROR = list(H36M_17.mirror)


@dataclass(frozen=True, eq=False)
class PinholeImage:
    """Hold an image of an ideal pinhole camera, and what is known of the camera.

    Attributes:
        image: [H, W, 3], RGB uint8.
        K: Intrinsics [3, 3] of the ideal pinhole, pixels; None if they are neither known nor
            assumed.
        root_source: The source of roots placed with K.
        distortion: Of the real lens, or None.
        depth: Depths as the real lens shows them, or None.
        K_lens: Intrinsics [3, 3] of the real lens, pixels; None: K.
        boxes: [P, 4], xyxy, pixels of the ideal pinhole: people found by another detector.
    """

    image: NDArray[np.uint8]
    K: Array | None
    root_source: RootSource
    distortion: Distortion | None
    depth: DepthImage | None = None
    K_lens: Array | None = None
    boxes: Array | None = None


@dataclass(frozen=True, eq=False)
class LiftedPerson:
    """Hold the lifter's result for one person.

    Attributes:
        joints: [17, 3], pelvis-relative, the image camera's axes, metres.
        anchors: The votes that gave them.
        depth_profile: [17, D], the distribution of each joint over the depth bins; None if the
            network lifts no features.
        pelvis_depth: The network's depth of the pelvis on the scale of the bins, metres.
        depth_range: Of the bins, metres.
        scatter: [17, 3, 3], of the votes for each joint, the image camera's axes, m^2.
    """

    joints: Array
    anchors: AnchorVotes
    depth_profile: Array | None
    pelvis_depth: float
    depth_range: float
    scatter: Array


def lift(lifter: Lifter, people: Sequence[Person]) -> list[LiftedPerson]:
    """Lift people, of one or of several images, in one pass of the network.

    Args:
        lifter: On the device of the people's features; not run if all people are lifted already.
        people: May be empty.

    Returns:
        One result per person. For a person seen in several crops, joints are the medians over
        these, and their scatter is the mean; anchors and depths are those of the first crop.
    """
    seen = [each for person in people for each in (person, *person.others)]
    votes = [person.votes for person in seen if person.votes is not None]
    if len(votes) < len(seen):
        votes = _votes(lifter, seen)
    lifted = iter(
        _in_image_axes(each, said, lifter.config.depth_range)
        for each, said in zip(seen, votes, strict=True)
    )
    return [_together([next(lifted) for _ in range(1 + len(person.others))]) for person in people]


def _votes(lifter: Lifter, people: Sequence[Person]) -> list[CropVotes]:
    """Run the lifter on people with features."""
    features = [_joined(levels) for levels in zip(*(p.features for p in people), strict=True)]
    keypoints = torch.from_numpy(np.stack([person.keypoints_crop for person in people]))
    keypoints = keypoints.to(features[0].device)
    with torch.inference_mode():
        output = lifter.lift(features, keypoints)
        parts = read_out(output, keypoints, lifter.config)
        arrays = from_rows(to_rows(parts), [part.shape[1:] for part in parts])
    kinds, owners = output.anchor_kinds.cpu().numpy(), output.anchor_joints.cpu().numpy()
    return as_votes(arrays, kinds, owners)


def _joined(levels: Sequence[torch.Tensor]) -> torch.Tensor:
    """Join the maps [1, C, S, S] of people."""
    if levels[0].device.type != "cpu":
        return torch.cat(list(levels))
    # With numpy: threads that PyTorch starts wait in a loop and slow the lifter down.
    return torch.from_numpy(np.concatenate([level.numpy() for level in levels]))


def _in_image_axes(person: Person, votes: CropVotes, depth_range: float) -> LiftedPerson:
    """Rotate the lifter's result from the axes of the crop's camera to those of the image's."""
    axes = person.image_from_crop_rotation.T.astype(np.float32)
    joints, pelvis = votes.joints, votes.joints[:1]
    anchors = (votes.anchors - pelvis) @ axes
    sides = _MIRROR if person.region.is_mirrored else slice(None)
    return LiftedPerson(
        joints=((joints - pelvis) @ axes)[sides],
        anchors=AnchorVotes(anchors, votes.weights, votes.anchor_kinds, votes.anchor_joints),
        depth_profile=votes.depth_profile,
        pelvis_depth=float(joints[0, 2]),
        depth_range=depth_range,
        scatter=(axes.T @ votes.scatter @ axes)[sides],
    )


def _together(views: Sequence[LiftedPerson]) -> LiftedPerson:
    """Combine the results of one person in several crops, the first crop first."""
    if len(views) == 1:
        return views[0]
    joints = np.median([view.joints for view in views], axis=0)
    scatter = np.mean([view.scatter for view in views], axis=0)
    return replace(views[0], joints=(joints - joints[:1]).astype(np.float32), scatter=scatter)


def place(
    person: Person, lifted: LiftedPerson, view: PinholeImage, covariances: CovarianceConfig
) -> Pose:
    """Put a lifted person into the camera's frame, if anything is known of the camera.

    Args:
        person: Where the person is seen.
        lifted: The lifter's result for the same person.
        view: The image.
        covariances: The constants of the covariances.

    Returns:
        The pose, with the id `UNNAMED`; pixels are those of the ideal pinhole.
    """
    root, covariance, source = _root(person, lifted, view, covariances)
    depth = None
    if view.K is not None and root is not None and lifted.depth_profile is not None:
        depth = place_depth(
            lifted.depth_profile,
            lifted.pelvis_depth,
            lifted.depth_range,
            person.image_from_crop_rotation[:, 2],
            geometry.pixel_rays(person.keypoints, view.K),
            root,
        )
    return Pose(
        id=UNNAMED,
        state=TrackState.OFF,
        joints=lifted.joints,
        root=root,
        root_covariance=covariance,
        root_source=source,
        joint_scores=person.keypoint_scores,
        keypoints=person.keypoints,
        box_xyxy=person.box_xyxy,
        score=person.score,
        anchors=lifted.anchors,
        depth=depth,
        joint_covariances=joint_covariances(
            lifted.scatter, viewing_rays(person, view.K), person.keypoint_scores, covariances
        ),
    )


def sight(
    person: Person, lifted: LiftedPerson, view: PinholeImage, covariances: CovarianceConfig
) -> Sighting:
    """Place a person, and add what identifies them in the next image.

    Args:
        person: As for `place`.
        lifted: As there.
        view: As there.
        covariances: As there.
    """
    pose = place(person, lifted, view, covariances)
    clothes = colours_of_clothes(view.image, pose.keypoints, pose.joint_scores)
    return Sighting(pose, person.next_region, person.turned_from, person.is_exchanged, clothes)


def viewing_rays(person: Person, K: Array | None) -> Array:
    """Return unit vectors towards a person's joints.

    Args:
        person: Where the person is seen.
        K: Intrinsics [3, 3], pixels; None: all rays are the axis of the crop's camera.

    Returns:
        [17, 3], the image camera's axes.
    """
    if K is None:
        return np.tile(person.image_from_crop_rotation[:, 2], (len(person.keypoints), 1))
    rays = geometry.pixel_rays(person.keypoints, K)
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def _root(
    person: Person, lifted: LiftedPerson, view: PinholeImage, covariances: CovarianceConfig
) -> tuple[Array | None, Array | None, RootSource]:
    """Find the pelvis from the depth image if there is one, else from the size of the body."""
    if view.K is None:
        return None, None, RootSource.NONE
    scores = np.where(_GUESSED, _GUESS_SCORE * person.keypoint_scores, person.keypoint_scores)
    seen = (lifted.joints, person.keypoints, scores, view.K)
    # The sideways position depends on K: with an assumed one, it would be wrong without notice.
    if view.depth is not None and view.root_source is RootSource.INTRINSICS:
        root, covariance = root_from_depth(*seen, view.depth, view.distortion, view.K_lens)
        if root is not None:
            return root, covariance, RootSource.DEPTH
    root = geometry.place_root(*seen)
    if root is None:
        return None, None, RootSource.NONE
    return root, root_covariance(root, view.root_source, covariances), view.root_source


def as_seen(pose: Pose, view: PinholeImage) -> Pose:
    """Return the pose with its pixels moved to where the real lens shows them."""
    if view.K is None or view.distortion is None or pose.state is TrackState.LOST:
        return pose
    K, K_lens, distortion = view.K, view.K_lens, view.distortion
    size = (view.image.shape[1], view.image.shape[0])
    return replace(
        pose,
        keypoints=distort_pixels(pose.keypoints, K, distortion, K_lens).astype(np.float32),
        box_xyxy=distort_box(pose.box_xyxy, K, distortion, size, K_lens).astype(np.float32),
    )
