"""The shapes of the browser view."""

import numpy as np
from talker import person

from pandapose_ros.node import scene_shapes
from pandapose_ros.skeleton import H36M_17


def test_bones_reach_from_joint_to_joint():
    pose = person()
    shapes = scene_shapes.body(pose, H36M_17, 0.5)
    assert len(shapes.positions) == 17 + 16
    for number, (parent, joint) in enumerate(H36M_17.bones, start=17):
        w, *vector = shapes.wxyzs[number]
        axis = np.array([0.0, 0.0, shapes.scales[number, 2]])
        turned = axis + 2 * np.cross(vector, np.cross(vector, axis) + w * axis)
        ends = shapes.positions[number] + np.stack([-turned, turned])
        assert np.allclose(ends, (pose.joints + pose.root)[[parent, joint]], atol=1e-9)


def test_unknown_and_doubtful_joints_are_not_drawn():
    pose = person()
    pose.joints[16] = np.nan
    pose.joint_scores[13] = 0.1
    shapes = scene_shapes.body(pose, H36M_17, 0.5)
    drawn = shapes.scales.any(-1)
    assert not drawn[16]
    assert not drawn[13]
    assert drawn[:13].all()
    touching = [bool({13, 16} & set(bone)) for bone in H36M_17.bones]
    assert (drawn[17:] == ~np.array(touching)).all()
    assert all(np.isfinite(part).all() for part in vars(shapes).values())


def test_votes_of_one_joint_are_its_own_anchors():
    lines, _colours = scene_shapes.votes(person(), H36M_17, 9)
    lengths = np.linalg.norm(lines[:, 0] - lines[:, 1], axis=-1)
    assert (lengths > 0).tolist() == [False, True, False]
    assert (scene_shapes.anchors(person(), 9).scales[:, 0] > 0).tolist() == [False, True, True]
