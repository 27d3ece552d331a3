"""What a browser shows of one person: body, name, anchors and their votes."""

import numpy as np
import viser
from numpy.typing import NDArray

from pandapose_ros.node import scene_shapes
from pandapose_ros.node.conversions import person_name
from pandapose_ros.pose import Pose
from pandapose_ros.skeleton import Skeleton

_LABEL_GAP = 0.18  # m, above the highest joint


class ScenePerson:
    """Own the shapes of one person; reused for others."""

    def __init__(self, scene: viser.SceneApi, number: int) -> None:
        """Draw nothing yet.

        Args:
            scene: Where to draw.
            number: Unique in the scene.
        """
        self._scene = scene
        self._name = f"/people/{number}"
        self._batches: dict[str, viser.BatchedMeshHandle] = {}
        self._votes: viser.LineSegmentsHandle | None = None
        self._label = scene.add_label(
            f"{self._name}/name", "", anchor="bottom-center", font_screen_scale=0.9, visible=False
        )

    def hide(self) -> None:
        """Show nothing."""
        for handle in (*self._batches.values(), self._votes, self._label):
            if handle is not None:
                handle.visible = False

    def draw_body(
        self, pose: Pose, skeleton: Skeleton, least_score: float, *, visible: bool
    ) -> None:
        """Show joints and bones; see `scene_shapes.body`."""
        self._draw("body", scene_shapes.body(pose, skeleton, least_score), visible=visible)

    def draw_anchors(self, pose: Pose, joint: int | None, *, visible: bool) -> None:
        """Show anchors, of one joint only or of all; see `scene_shapes.anchors`."""
        has_anchors = len(pose.anchors.positions) > 0
        self._draw("anchors", scene_shapes.anchors(pose, joint), visible=visible and has_anchors)

    def draw_votes(
        self, pose: Pose, skeleton: Skeleton, joint: int | None, *, visible: bool
    ) -> None:
        """Show lines from anchors to their joints; see `scene_shapes.votes`."""
        lines, colours = scene_shapes.votes(pose, skeleton, joint)
        if self._votes is not None and len(self._votes.points) != len(lines):
            self._votes.remove()
            self._votes = None
        if self._votes is None and len(lines):
            self._votes = self._scene.add_line_segments(
                f"{self._name}/votes", lines, colours, thickness=0.003
            )
        elif self._votes is not None:
            self._votes.points, self._votes.colors = lines, colours
        if self._votes is not None:
            self._votes.visible = visible

    def draw_label(
        self, pose: Pose, *, up: NDArray[np.floating], tells_distance: bool, visible: bool
    ) -> None:
        """Show the name, and the distance where that is known, above the highest joint.

        Args:
            pose: The person.
            up: Unit vector [3].
            tells_distance: Whether the camera is at the origin.
            visible: Or hide them.
        """
        joints = pose.joints[np.isfinite(pose.joints).all(-1)]
        self._label.visible = visible and pose.root is not None and len(joints) > 0
        if pose.root is not None and len(joints):
            highest = joints[np.argmax(joints @ up)]
            self._label.position = pose.root + highest + _LABEL_GAP * up
            distance = f"{np.linalg.norm(pose.root):.1f} m" if tells_distance else ""
            self._label.text = f"{person_name(pose)}  {distance}".strip()

    def _draw(self, kind: str, shapes: scene_shapes.Instances, *, visible: bool) -> None:
        handle = self._batches.get(kind)
        if handle is not None and len(handle.batched_positions) != len(shapes.positions):
            self._batches.pop(kind).remove()
            handle = None
        if handle is None and len(shapes.positions):
            vertices, faces = scene_shapes.unit_sphere()
            self._batches[kind] = self._scene.add_batched_meshes_simple(
                f"{self._name}/{kind}",
                vertices,
                faces,
                shapes.wxyzs,
                shapes.positions,
                batched_scales=shapes.scales,
                batched_colors=shapes.colours,
                batched_opacities=shapes.opacities,
                lod="off",
                cast_shadow=kind == "body",
            )
        elif handle is not None:
            handle.batched_wxyzs = shapes.wxyzs
            handle.batched_positions = shapes.positions
            handle.batched_scales = shapes.scales
            handle.batched_colors = shapes.colours
            handle.batched_opacities = shapes.opacities
        if kind in self._batches:
            self._batches[kind].visible = visible
