"""Messages to poses, for subscribers: the inverse of `conversions`."""

import numpy as np

from pandapose_ros.msg import AnchorSet3D, Skeleton3D, SkeletonInfo
from pandapose_ros.pose import AnchorVotes, Pose, RootSource, TrackState
from pandapose_ros.skeleton import Skeleton

_NO_ANCHORS = AnchorVotes(np.zeros((0, 3)), np.zeros((0, 1)), np.zeros(0, int), np.zeros(0, int))


def pose_from_messages(skeleton: Skeleton3D, anchors: AnchorSet3D | None) -> Pose:
    """Turn one person's messages back into a pose.

    Args:
        skeleton: The person.
        anchors: Of the same person; None: none are known.

    Returns:
        The pose with pelvis-relative joints. Weights are the anchors' shares over all joints,
        [A, 1]; covariances are left out.
    """
    joints = skeleton.joints
    positions, root = _xyz([j.position for j in joints]), _xyz([skeleton.root_position])[0]
    source = RootSource(skeleton.root_source)
    origin = np.zeros(3) if source is RootSource.NONE else root
    roi = skeleton.roi
    votes = _NO_ANCHORS
    if anchors is not None:
        owners = np.array(anchors.joint_index, np.int64)
        votes = AnchorVotes(
            positions=_xyz(list(anchors.positions)) - origin,
            weights=np.array(anchors.weights)[:, None],
            kinds=np.array(anchors.kinds),
            owners=np.where(owners == AnchorSet3D.GLOBAL_JOINT, -1, owners),
        )
    return Pose(
        id=int("".join(filter(str.isdigit, skeleton.id)) or 0),
        state=TrackState(skeleton.tracking_state),
        joints=positions - origin,
        root=None if source is RootSource.NONE else root,
        root_covariance=None,
        root_source=source,
        joint_scores=np.array([j.confidence for j in joints]),
        keypoints=np.array([(j.u, j.v) for j in joints]),
        box_xyxy=np.array(
            (roi.x_offset, roi.y_offset, roi.x_offset + roi.width, roi.y_offset + roi.height)
        ),
        score=skeleton.confidence,
        anchors=votes,
        age=skeleton.age.sec + skeleton.age.nanosec / 1e9,
    )


def skeleton_from_message(info: SkeletonInfo) -> Skeleton:
    """Return what a latched description says of the joints."""
    return Skeleton(
        name=info.skeleton_type,
        joint_names=tuple(info.joint_names),
        parents=tuple(info.joint_parents),
        mirror=tuple(info.mirror),
    )


def _xyz(points: list) -> np.ndarray:
    """Convert points to an array [N, 3]."""
    return np.array([(p.x, p.y, p.z) for p in points]).reshape(-1, 3)
