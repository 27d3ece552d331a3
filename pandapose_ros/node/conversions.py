"""Poses to messages: pure functions, one per message."""

import array
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, Point32
from numpy.typing import NDArray
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import Header

from pandapose_ros.msg import (
    AnchorSet3D,
    AnchorSet3DArray,
    Joint3D,
    Limb,
    Skeleton3D,
    Skeleton3DArray,
    SkeletonInfo,
)
from pandapose_ros.node.stamps import duration
from pandapose_ros.pose import ModelInfo, Pose, TrackState
from pandapose_ros.skeleton import Skeleton

_SIDES = {"left": Limb.LEFT, "right": Limb.RIGHT, "centre": Limb.CENTRE}
_NAN = float("nan")
_UNKNOWN_COVARIANCE = np.array([-1.0] + [0.0] * 8)


def person_name(pose: Pose) -> str:
    """Return the `Skeleton3D.id` of a person, empty without tracking."""
    return "" if pose.state is TrackState.OFF else f"person_{pose.id}"


def skeletons_message(
    poses: Sequence[Pose], header: Header, skeleton_type: str
) -> Skeleton3DArray:
    """Convert the poses of one image.

    Args:
        poses: People, in any order; may be empty.
        header: Stamp of the image, and the frame of the poses.
        skeleton_type: `Skeleton.name`.
    """
    return Skeleton3DArray(
        header=header,
        skeleton_type=skeleton_type,
        skeletons=[_skeleton(pose) for pose in poses],
    )


def _skeleton(pose: Pose) -> Skeleton3D:
    covariance = _UNKNOWN_COVARIANCE
    if pose.root_covariance is not None:
        covariance = np.asarray(pose.root_covariance, np.float64).ravel()
    root = (_NAN, _NAN, _NAN) if pose.root is None else pose.root.tolist()
    return Skeleton3D(
        id=person_name(pose),
        tracking_state=int(pose.state),
        age=duration(pose.age),
        confidence=float(pose.score),
        root_position=Point(x=root[0], y=root[1], z=root[2]),
        root_position_covariance=covariance,
        root_source=int(pose.root_source),
        roi=_region(pose.box_xyxy),
        joints=_joints(pose),
    )


def _joints(pose: Pose) -> list[Joint3D]:
    """Convert the joints: in the root's frame where that is known, else pelvis-relative."""
    positions = add_root(pose.joints, pose)
    known = np.isfinite(positions).all(-1)
    positions[~known] = _NAN
    scores = np.where(known, pose.joint_scores, 0.0)
    covariances = _joint_covariances(pose)
    joints = []
    # tolist once: reading numpy element by element costs more than the rest of this function.
    for (x, y, z), score, (u, v), covariance in zip(
        positions.tolist(), scores.tolist(), pose.keypoints.tolist(), covariances, strict=True
    ):
        joint = Joint3D()
        joint.position.x, joint.position.y, joint.position.z = x, y, z
        joint.confidence = score
        joint.position_covariance = covariance
        joint.u, joint.v = u, v
        joints.append(joint)
    return joints


def _joint_covariances(pose: Pose) -> Sequence[NDArray[np.float64]]:
    """Return each joint's covariance [9] as published: with the root's where that is known."""
    if pose.joint_covariances is None:
        return [_UNKNOWN_COVARIANCE] * len(pose.joints)
    covariances = np.asarray(pose.joint_covariances, np.float64)
    if pose.root_covariance is not None:
        covariances = covariances + pose.root_covariance
    return list(covariances.reshape(len(pose.joints), 9))


def add_root(points: NDArray[np.floating], pose: Pose) -> NDArray[np.float64]:
    """Return pelvis-relative points in the frame of the root; unchanged if that is unknown.

    Args:
        points: [..., 3], pelvis-relative, metres.
        pose: Whose points these are.

    Returns:
        [..., 3], a new array.
    """
    if pose.root is None:
        return np.array(points, np.float64)
    return points + np.asarray(pose.root, np.float64)


def _region(box_xyxy: NDArray[np.floating]) -> RegionOfInterest:
    """Convert a box to whole pixels; all zero if it is not finite."""
    if not np.isfinite(box_xyxy).all():
        return RegionOfInterest()
    left, top, right, bottom = (max(round(float(value)), 0) for value in box_xyxy)
    return RegionOfInterest(
        x_offset=left, y_offset=top, width=max(right - left, 0), height=max(bottom - top, 0)
    )


def skeleton_info_message(skeleton: Skeleton, model: ModelInfo) -> SkeletonInfo:
    """Describe the joints and the model, for the latched topic."""
    limbs = [
        Limb(joint_a=parent, joint_b=joint, side=_SIDES[skeleton.side(joint)])
        for parent, joint in skeleton.bones
    ]
    return SkeletonInfo(
        skeleton_type=skeleton.name,
        joint_names=list(skeleton.joint_names),
        joint_parents=list(skeleton.parents),
        limbs=limbs,
        mirror=list(skeleton.mirror),
        model_name=model.name,
        model_version=model.version,
        weights_sha256=model.weights_sha256,
    )


def anchors_message(poses: Sequence[Pose], header: Header) -> AnchorSet3DArray:
    """Convert the anchors of all people in one image.

    Args:
        poses: People, in any order; may be empty.
        header: As in the skeletons' message.
    """
    return AnchorSet3DArray(header=header, sets=[_anchor_set(pose) for pose in poses])


def _anchor_set(pose: Pose) -> AnchorSet3D:
    votes = pose.anchors
    owners = np.where(votes.owners < 0, AnchorSet3D.GLOBAL_JOINT, votes.owners)
    return AnchorSet3D(
        skeleton_id=person_name(pose),
        positions=[Point32(x=x, y=y, z=z) for x, y, z in add_root(votes.positions, pose).tolist()],
        kinds=array.array("B", votes.kinds.astype(np.uint8).tobytes()),
        joint_index=array.array("H", owners.astype(np.uint16).tobytes()),
        weights=array.array("f", votes.shares.astype(np.float32).tobytes()),
    )


def image_message(image: NDArray[np.uint8], header: Header) -> Image:
    """Convert an RGB uint8 [H, W, 3] image to an rgb8 message."""
    height, width = image.shape[:2]
    message = Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width)
    # An array from bytes is one copy; from a numpy array rclpy would convert every element.
    message.data = array.array("B", np.ascontiguousarray(image).tobytes())
    return message
