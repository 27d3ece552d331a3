from dataclasses import replace

import numpy as np
import pytest

from pandapose_ros.drawing import (
    SIDE_COLOURS,
    SceneView,
    compose_picture,
    draw_poses,
    draw_scene,
    view_of,
)
from pandapose_ros.people.track import no_votes
from pandapose_ros.pose import AnchorVotes, Pose, RootSource, TrackState
from pandapose_ros.skeleton import H36M_17


@pytest.fixture
def pose():
    joints = np.zeros((17, 3), np.float32)
    joints[1:] = np.random.default_rng(0).uniform(-0.6, 0.6, (16, 3))
    anchors = np.random.default_rng(1).uniform(-0.6, 0.6, (20, 3))
    return Pose(
        id=3,
        state=TrackState.NEW,
        joints=joints,
        root=np.array([0.2, 0.1, 3.0]),
        root_covariance=np.eye(3),
        root_source=RootSource.INTRINSICS,
        joint_scores=np.ones(17, np.float32),
        keypoints=np.stack((np.linspace(20, 280, 17), np.linspace(180, 40, 17)), axis=1),
        box_xyxy=np.array([20.0, 40, 280, 180]),
        score=0.9,
        anchors=AnchorVotes(anchors, np.full((20, 17), 0.05), np.arange(20) % 2, np.full(20, -1)),
    )


def test_overlay_draws_each_joint_in_its_sides_colour_on_a_copy(pose):
    image = np.zeros((200, 300, 3), np.uint8)
    image.flags.writeable = False
    overlay = draw_poses(image, [pose])
    for joint, (u, v) in enumerate(np.round(pose.keypoints).astype(int)):
        np.testing.assert_allclose(overlay[v, u], SIDE_COLOURS[H36M_17.side(joint)], atol=40)
    assert not image.any()


def test_caption_and_colours_are_drawn_as_asked(pose):
    image = np.zeros((200, 300, 3), np.uint8)
    plain = draw_poses(image, [pose])
    with_caption = draw_poses(image, [pose], caption="29.8 Hz  41 ms")
    changed = np.argwhere((plain != with_caption).any(-1))
    assert len(changed) > 50
    assert changed[:, 0].max() < 30
    confident = draw_poses(image, [replace(pose, joint_scores=np.ones(17))], colours="confidence")
    u, v = np.round(pose.keypoints[5]).astype(int)
    assert confident[v, u].argmax() == 1  # green
    with pytest.raises(ValueError, match="'side', 'id', 'confidence'"):
        draw_poses(image, [pose], colours="red")


@pytest.mark.parametrize("box", [(0.0, 0.0, 90.0, 180.0), (290.0, 60.0, 299.0, 180.0)])
def test_the_name_of_somebody_at_an_edge_can_be_read(pose, box):
    image, caption = np.zeros((200, 300, 3), np.uint8), "29.8 Hz  41 ms"
    nobody = replace(pose, joint_scores=np.zeros(17))
    inside = replace(nobody, box_xyxy=np.array((100.0, 60.0, 190.0, 180.0)))
    at_edge = replace(nobody, box_xyxy=np.array(box))
    alone = draw_poses(image, [], caption=caption)
    names = [draw_poses(image, [someone], caption=caption) for someone in (inside, at_edge)]
    shown = [np.argwhere((name != alone).any(-1)) for name in names]
    # As large as elsewhere, so neither cut off nor mixed with the caption.
    assert len(shown[0]) > 100
    assert np.ptp(shown[1], axis=0).tolist() == np.ptp(shown[0], axis=0).tolist()
    assert (names[1][alone.any(-1)] == alone[alone.any(-1)]).all()


def test_doubtful_and_unknown_keypoints_are_not_drawn(pose):
    keypoints = pose.keypoints.copy()
    keypoints[5] = np.nan
    scores = np.zeros(17)
    scores[5] = 1
    # The label stays; joints and bones are gone.
    hidden = draw_poses(
        np.zeros((200, 300, 3), np.uint8),
        [replace(pose, joint_scores=scores, keypoints=keypoints)],
    )
    orange = np.asarray(SIDE_COLOURS["left"])
    assert not (np.abs(hidden.astype(int) - orange).max(-1) < 30).any()


def test_scene_shows_bones_and_anchors(pose):
    view = view_of([pose])
    empty, bones, all_of_it = (
        draw_scene([], view),
        draw_scene([replace(pose, anchors=no_votes(pose))], view),
        draw_scene([pose], view),
    )
    assert (bones != empty).any(-1).sum() > 200
    assert (all_of_it != bones).any(-1).sum() > 20


def test_person_further_right_is_drawn_further_right_when_seen_from_the_camera(pose):
    view = SceneView(target=(0, 0, 3), yaw=0.0, pitch=0.0)
    empty = draw_scene([], view)

    def middle(root):
        drawn = draw_scene([replace(pose, root=np.array(root))], view)
        return np.argwhere((drawn != empty).any(-1))[:, 1].mean()

    assert middle((0.5, 0.0, 3.0)) > middle((-0.5, 0.0, 3.0)) + 50


def test_composed_picture_holds_both_views(pose):
    picture = compose_picture(np.zeros((200, 300, 3), np.uint8), [pose], view_of([pose]))
    assert picture.shape == (200, 600, 3)
    portrait = compose_picture(np.zeros((300, 200, 3), np.uint8), [], view_of([]))
    assert portrait.shape == (300, 600, 3)


def test_person_without_root_is_drawn_at_the_target(pose):
    unplaced = replace(pose, root=None, root_source=RootSource.NONE)
    view = view_of([unplaced])
    assert (draw_scene([unplaced], view) != draw_scene([], view)).any()
