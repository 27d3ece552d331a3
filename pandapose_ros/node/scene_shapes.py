"""Shapes of the browser view: instances of one sphere, and lines."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.colours import GLOBAL_ANCHOR_COLOUR, LOCAL_ANCHOR_COLOUR, SIDE_COLOURS
from pandapose_ros.node.conversions import add_root
from pandapose_ros.pose import Pose
from pandapose_ros.skeleton import Skeleton

Array = NDArray[np.floating]

JOINT_RADIUS, BONE_RADIUS = 0.042, 0.036  # m
# An anchor with all of the votes would be this large; its volume goes with its share.
ANCHOR_RADIUS = 0.16


@dataclass(frozen=True)
class Instances:
    """Hold where and how one mesh is drawn several times.

    Attributes:
        positions: [N, 3], metres.
        wxyzs: [N, 4], rotations as quaternions.
        scales: [N, 3]; 0: not drawn.
        colours: [N, 3], uint8.
        opacities: [N], 0 to 1.
    """

    positions: Array
    wxyzs: Array
    scales: Array
    colours: NDArray[np.uint8]
    opacities: Array


def unit_sphere() -> tuple[Array, NDArray[np.uint32]]:
    """Return vertices [V, 3] and triangles [F, 3] of a sphere of radius 1."""
    rings, sectors = 8, 12  # bands between the poles, corners of each band
    polar = np.linspace(0, np.pi, rings + 1)[:, None]
    around = np.linspace(0, 2 * np.pi, sectors, endpoint=False)[None, :]
    vertices = np.stack(
        np.broadcast_arrays(
            np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)
        ),
        -1,
    ).reshape(-1, 3)
    ring, sector = (grid.ravel() for grid in np.mgrid[:rings, :sectors])
    after = (sector + 1) % sectors
    a, b = ring * sectors + sector, ring * sectors + after
    faces = np.concatenate(
        [np.stack([a, a + sectors, b], 1), np.stack([b, a + sectors, b + sectors], 1)]
    )
    return vertices.astype(np.float32), faces.astype(np.uint32)


def body(pose: Pose, skeleton: Skeleton, least_score: float) -> Instances:
    """Draw joints as balls and bones as spindles.

    Args:
        pose: A person with a root.
        skeleton: Names and bones of the joints.
        least_score: Joints with a lower score, and their bones, are left out.

    Returns:
        One instance per joint, then one per bone; those left out have scale 0. The less sure, the
        more transparent.
    """
    joints = add_root(pose.joints, pose)
    known = np.isfinite(joints).all(-1) & (pose.joint_scores >= least_score)
    joints = np.where(known[:, None], joints, 0.0)
    parents, children = np.array(skeleton.bones).T
    starts, ends = joints[parents], joints[children]
    lengths = np.linalg.norm(ends - starts, axis=-1)
    bone_known = known[parents] & known[children] & (lengths > 0)
    bone_scales = np.stack([*[np.full(len(lengths), BONE_RADIUS)] * 2, lengths / 2], -1)
    scores = np.concatenate(
        [pose.joint_scores, np.minimum(pose.joint_scores[parents], pose.joint_scores[children])]
    )
    sides = [SIDE_COLOURS[skeleton.side(joint)] for joint in (*range(len(joints)), *children)]
    return Instances(
        positions=np.concatenate([joints, (starts + ends) / 2]),
        wxyzs=np.concatenate([_no_turn(len(joints)), _turns(ends - starts, lengths)]),
        scales=np.concatenate(
            [
                np.where(known[:, None], np.full((1, 3), JOINT_RADIUS), 0.0),
                np.where(bone_known[:, None], bone_scales, 0.0),
            ]
        ),
        colours=np.array(sides, np.uint8),
        opacities=np.clip(0.35 + 0.65 * scores, 0.0, 1.0),
    )


def anchors(pose: Pose, joint: int | None) -> Instances:
    """Draw anchors as balls whose volumes are their shares in the result.

    Args:
        pose: A person with a root.
        joint: Only the local anchors of this joint, and the global ones; None: all.
    """
    votes = pose.anchors
    shares = votes.shares
    drawn = _is_drawn(pose, joint)
    radii = np.where(drawn, ANCHOR_RADIUS * np.cbrt(np.maximum(shares, 0.0)), 0.0)
    positions = add_root(votes.positions, pose)
    colours = np.where((votes.kinds == 0)[:, None], LOCAL_ANCHOR_COLOUR, GLOBAL_ANCHOR_COLOUR)
    count = len(shares)
    return Instances(
        positions=np.where(np.isfinite(positions), positions, 0.0),
        wxyzs=_no_turn(count),
        scales=np.repeat(radii[:, None], 3, axis=1),
        colours=colours.astype(np.uint8),
        opacities=np.clip(0.25 + 0.75 * np.sqrt(shares / max(shares.max(initial=0), 1e-9)), 0, 1),
    )


def votes(pose: Pose, skeleton: Skeleton, joint: int | None) -> tuple[Array, NDArray[np.uint8]]:
    """Draw a line from each local anchor to the joint that it was placed for.

    Args:
        pose: A person with a root.
        skeleton: Tells the sides, and so the colours.
        joint: Only the anchors of this joint; None: all.

    Returns:
        Lines [N, 2, 3] and their colours [N, 2, 3]; one per anchor, those left out without length.
    """
    owners = pose.anchors.owners
    drawn = _is_drawn(pose, joint) & (owners >= 0) & np.isfinite(pose.joints[owners]).all(-1)
    lines = add_root(np.stack([pose.anchors.positions, pose.joints[owners]], 1), pose)
    sides = np.array([SIDE_COLOURS[skeleton.side(j)] for j in range(len(skeleton.parents))])
    colours = np.repeat(sides[owners][:, None], 2, axis=1)
    colours[:, 0] = LOCAL_ANCHOR_COLOUR
    return np.where(drawn[:, None, None], lines, 0.0), colours.astype(np.uint8)


def _is_drawn(pose: Pose, joint: int | None) -> NDArray[np.bool_]:
    votes = pose.anchors
    finite = np.asarray(np.isfinite(votes.positions).all(-1))
    return finite if joint is None else finite & ((votes.owners < 0) | (votes.owners == joint))


def _no_turn(count: int) -> Array:
    return np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))


def _turns(directions: Array, lengths: Array) -> Array:
    """Return the shortest turns of the z axis to directions, as quaternions [N, 4]."""
    x, y, z = (directions / np.maximum(lengths, 1e-9)[:, None]).T
    turns = np.stack([1 + z, -y, x, np.zeros_like(x)], -1)
    turns[turns[:, 0] < 1e-6] = (0.0, 1.0, 0.0, 0.0)  # straight back: half a turn
    return turns / np.linalg.norm(turns, axis=-1, keepdims=True)
