import math
from dataclasses import replace

import numpy as np
import pytest
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from pandapose_ros.colours import joint_colours
from pandapose_ros.config import PictureConfig
from pandapose_ros.frames.transform import IDENTITY, Transform, move_pose
from pandapose_ros.node.estimate import Placed
from pandapose_ros.node.evidence_markers import GLOBAL_COLOUR, anchor_markers, depth_markers
from pandapose_ros.node.markers import LivingMarkers, person_markers
from pandapose_ros.people.track import no_votes
from pandapose_ros.pose import AnchorVotes, DepthVotes, Pose, RootSource, TrackState
from pandapose_ros.skeleton import H36M_17

HEADER = Header(frame_id="camera_optical_frame")
STYLE = PictureConfig()
ANCHORS = 20


def person(number, *, root=(0.2, 0.1, 3.0)):
    random = np.random.default_rng(number)
    weights = random.random((ANCHORS, 17)).astype(np.float32)
    return Pose(
        id=number,
        state=TrackState.TRACKED,
        joints=random.normal(size=(17, 3)).astype(np.float32),
        root=None if root is None else np.array(root),
        root_covariance=None,
        root_source=RootSource.NONE if root is None else RootSource.INTRINSICS,
        joint_scores=np.full(17, 0.9, np.float32),
        keypoints=random.uniform(0, 480, (17, 2)).astype(np.float32),
        box_xyxy=np.array([10, 20, 110, 220], np.float32),
        score=0.8,
        anchors=AnchorVotes(
            positions=random.normal(size=(ANCHORS, 3)).astype(np.float32),
            weights=weights / weights.sum(0),
            kinds=(np.arange(ANCHORS) >= 12).astype(np.int64),
            owners=np.where(np.arange(ANCHORS) < 12, np.arange(ANCHORS), -1),
        ),
    )


def seen(*poses):
    return Placed(poses, HEADER, IDENTITY)


def all_markers(poses):
    people = seen(*poses)
    return person_markers(people, H36M_17, STYLE) + anchor_markers(people, H36M_17, STYLE)


def check_rviz_accepts(markers):
    """What RViz's own checks of a marker array demand."""
    assert len({(m.ns, m.id) for m in markers}) == len(markers)
    for marker in markers:
        assert marker.pose.orientation.w == 1.0
        numbers = [c for p in (marker.pose.position, *marker.points) for c in (p.x, p.y, p.z)]
        assert all(map(math.isfinite, numbers))
        assert marker.lifetime.nanosec == 500_000_000
        assert marker.header.frame_id == "camera_optical_frame"
        assert not marker.frame_locked
        if marker.type in (Marker.SPHERE_LIST, Marker.LINE_LIST):
            assert marker.points
            assert len(marker.colors) == len(marker.points)
        if marker.type == Marker.LINE_LIST:
            assert len(marker.points) % 2 == 0
            assert marker.scale.x > 0
        if marker.type == Marker.SPHERE_LIST:
            assert min(marker.scale.x, marker.scale.y, marker.scale.z) > 0
        for colour in (marker.color, *marker.colors):
            assert all(0 <= c <= 1 for c in (colour.r, colour.g, colour.b))
            assert 0 < colour.a <= 1


def test_every_person_has_joints_bones_and_a_label():
    markers = person_markers(seen(person(3), person(8)), H36M_17, STYLE)
    assert sorted((m.ns, m.id) for m in markers) == [
        *(("bones", 3), ("bones", 8), ("joints", 3), ("joints", 8), ("labels", 3), ("labels", 8))
    ]
    check_rviz_accepts(markers)


def test_joints_lie_at_the_root_plus_the_relative_joint():
    pose = person(1)
    joints = next(m for m in all_markers([pose]) if m.ns == "joints")
    drawn = [(p.x, p.y, p.z) for p in joints.points]
    np.testing.assert_allclose(drawn, pose.joints + pose.root, atol=1e-6)


def test_bones_join_the_skeletons_joints_in_the_colour_of_their_side():
    pose = person(1)
    markers = {m.ns: m for m in all_markers([pose])}
    placed = (pose.joints + pose.root).astype(np.float64)
    ends = [(p.x, p.y, p.z) for p in markers["bones"].points]
    np.testing.assert_allclose(
        ends, [placed[j] for bone in H36M_17.bones for j in bone], atol=1e-6
    )
    by_side = {H36M_17.side(j): (c.r, c.g, c.b) for j, c in enumerate(markers["joints"].colors)}
    assert len(set(by_side.values())) == 3
    for (_, joint), colour in zip(H36M_17.bones, markers["bones"].colors[1::2], strict=True):
        assert (colour.r, colour.g, colour.b) == by_side[H36M_17.side(joint)]


def test_unknown_and_doubtful_joints_and_their_bones_are_left_out():
    pose = person(1)
    joints, scores = pose.joints.copy(), pose.joint_scores.copy()
    joints[13, 2] = np.nan  # left wrist: one bone
    joints[9, 0] = np.inf  # nose: two bones
    scores[5] = 0.29  # left knee: two bones
    markers = all_markers([replace(pose, joints=joints, joint_scores=scores)])
    check_rviz_accepts(markers)
    sizes = {m.ns: len(m.points) for m in markers}
    assert sizes["joints"] == 14
    assert sizes["bones"] == 2 * 11


def test_a_person_with_no_visible_joint_is_not_drawn():
    pose = replace(person(1), joint_scores=np.zeros(17, np.float32))
    assert person_markers(seen(pose), H36M_17, STYLE) == []
    single = replace(pose, joint_scores=np.eye(17, dtype=np.float32)[4])
    markers = person_markers(seen(single), H36M_17, STYLE)
    assert [m.ns for m in markers] == ["joints", "labels"]
    check_rviz_accepts(markers)


def test_nobody_is_drawn_whose_place_is_unknown():
    assert all_markers([person(1, root=None)]) == []


def rgb(colours):
    return {(round(c.r, 3), round(c.g, 3), round(c.b, 3)) for c in colours}


def test_colours_by_id_tell_people_apart_at_all_times():
    style = PictureConfig(marker_colour="id")
    drawn = {n: person_markers(seen(person(n)), H36M_17, style)[:2] for n in (0, 1, 2, 3, 17, 999)}
    for joints, bones in drawn.values():
        assert len(rgb(joints.colors)) == 1
        assert rgb(joints.colors) == rgb(bones.colors)
    assert len({tuple(rgb(joints.colors)) for joints, _ in drawn.values()}) == len(drawn)
    again = person_markers(seen(person(3), person(9)), H36M_17, style)[0]
    assert rgb(again.colors) == rgb(drawn[3][0].colors)


def test_colours_by_confidence_go_from_red_to_green():
    scores = np.linspace(0, 1, 17, dtype=np.float32)
    style = PictureConfig(marker_colour="confidence", marker_score=0.0)
    pose = replace(person(1), joint_scores=scores)
    joints = person_markers(seen(pose), H36M_17, style)[0]
    check_rviz_accepts([joints])
    assert joints.colors[0].r == 1
    assert joints.colors[16].g == 1
    assert (np.diff([c.g - c.r for c in joints.colors]) >= 0).all()


def test_local_anchors_have_the_colour_of_their_joint_and_a_line_to_it():
    palette = [tuple(np.round(colour / 255, 3)) for colour in joint_colours(H36M_17)]
    assert len(set(palette)) == 17
    pose = person(1)
    local, far, votes = anchor_markers(seen(pose), H36M_17, STYLE)
    assert [min(rgb([c])) for c in local.colors] == palette[:12]
    assert rgb(far.colors) == {tuple(np.round(np.array(GLOBAL_COLOUR) / 255, 3))}
    ends = [(p.x, p.y, p.z) for p in votes.points]
    expected = np.stack((pose.anchors.positions[:12], pose.joints[:12]), 1) + pose.root
    np.testing.assert_allclose(ends, expected.reshape(-1, 3), atol=1e-6)
    assert [min(rgb([c])) for c in votes.colors[::2]] == palette[:12]


def test_one_joints_votes_are_drawn_by_their_weight():
    joint = H36M_17.joint_names.index("left_wrist")
    pose = person(1)
    weights = pose.anchors.weights.copy()
    weights[:, joint] = 0
    weights[[3, 15], joint] = 0.75, 0.25
    pose = replace(pose, anchors=replace(pose.anchors, weights=weights))
    style = PictureConfig(anchor_joint="left_wrist")
    markers = anchor_markers(seen(pose), H36M_17, style)
    check_rviz_accepts(markers)
    by_ns = {m.ns: m for m in markers}
    assert set(by_ns) == {"anchors_local", "anchors_global", "votes"}
    assert len(rgb(c for m in markers for c in m.colors)) == 1
    opacities = [c.a for ns in ("anchors_local", "anchors_global") for c in by_ns[ns].colors]
    assert np.flatnonzero(np.array(opacities) > 0.1).tolist() == [3, 15]
    assert opacities[3] == 1.0
    assert opacities[15] == pytest.approx(0.6, abs=0.06)  # root of a third
    ends = [(p.x, p.y, p.z) for p in by_ns["votes"].points]
    anchors = pose.anchors.positions[[3, 15]] + pose.root
    wrist = pose.joints[joint] + pose.root
    np.testing.assert_allclose(ends, [anchors[0], wrist, anchors[1], wrist], atol=1e-6)


def with_depth(pose, peak):
    """Joint j of a person on a ray of its own, most likely in bin `peak` of ten."""
    offsets = np.linspace(-0.9, 0.9, 10)
    positions = pose.joints[:, None] + offsets[:, None] * (0, 0, 1)
    probabilities = np.full((17, 10), 1e-4)
    probabilities[:, peak] = 1 - 9e-4
    return replace(pose, depth=DepthVotes(positions, probabilities))


def test_depth_is_a_line_of_opacity_along_the_ray():
    pose = with_depth(person(1), peak=6)
    style = PictureConfig(anchor_joint="nose")
    (marker,) = depth_markers(seen(pose), H36M_17, style)
    check_rviz_accepts([marker])
    assert (marker.ns, marker.id, marker.type) == ("depth", 1, Marker.LINE_LIST)
    # Both pieces of line that end in the likely bin, and no others.
    ends = np.array([(p.x, p.y, p.z) for p in marker.points])
    nose = H36M_17.joint_names.index("nose")
    bins = (pose.depth.positions[nose] + pose.root)[[5, 6, 6, 7]]
    np.testing.assert_allclose(ends, bins, atol=1e-6)
    assert {c.a for c in marker.colors} == {1.0}
    (everything,) = depth_markers(seen(pose), H36M_17, STYLE)
    assert len(everything.points) == 17 * 4
    assert len(rgb(everything.colors)) == 17


def test_depth_that_is_unknown_is_not_drawn():
    pose = with_depth(person(1), peak=2)
    positions = pose.depth.positions.copy()
    positions[3] = np.nan
    broken = replace(pose, depth=replace(pose.depth, positions=positions))
    (marker,) = depth_markers(seen(broken), H36M_17, STYLE)
    check_rviz_accepts([marker])
    assert len(marker.points) == 16 * 4
    for nobody in (person(2), replace(pose, root=None)):
        assert depth_markers(seen(nobody), H36M_17, STYLE) == []


def test_a_model_without_anchors_draws_none():
    pose = replace(person(1), anchors=no_votes(person(1)))
    for style in (STYLE, PictureConfig(anchor_joint="nose")):
        assert anchor_markers(seen(pose), H36M_17, style) == []


def test_in_another_frame_the_label_still_stands_above_and_tells_the_cameras_distance():
    # REP 103: camera z forward, y down; base x forward, z up; the camera 1.5 m above the base.
    camera = Transform(np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0.0]]), np.array([0, 0, 1.5]))
    pose = move_pose(person(1), camera)
    *_, label = person_markers(Placed([pose], HEADER, camera), H36M_17, STYLE)
    assert label.pose.position.z > (pose.joints[:, 2] + pose.root[2]).max()
    assert label.text.endswith(f" {np.linalg.norm(person(1).root):.1f} m")


def test_label_stands_above_the_highest_joint():
    pose = person(1)
    label = next(m for m in all_markers([pose]) if m.ns == "labels")
    assert label.type == Marker.TEXT_VIEW_FACING
    assert label.pose.position.y < (pose.joints[:, 1] + pose.root[1]).min()
    assert "person_1" in label.text
    assert 0 < label.scale.x < label.scale.z  # the space between words


def test_anchors_are_more_opaque_the_more_they_count():
    pose = person(1)
    markers = anchor_markers(seen(pose), H36M_17, STYLE)
    check_rviz_accepts(markers)
    assert [m.ns for m in markers] == ["anchors_local", "anchors_global", "votes"]
    assert [len(m.points) for m in markers] == [12, 8, 24]
    shares = pose.anchors.weights.mean(1)
    opacities = np.array([c.a for m in markers[:2] for c in m.colors])
    assert (np.diff(opacities[np.argsort(shares)]) >= 0).all()
    assert opacities[shares.argmax()] == 1.0


def test_anchors_that_are_not_finite_are_left_out():
    pose = person(1)
    positions = pose.anchors.positions.copy()
    positions[0] = np.nan
    joints = pose.joints.copy()
    joints[1] = np.nan
    changed = replace(pose, joints=joints, anchors=replace(pose.anchors, positions=positions))
    markers = anchor_markers(seen(changed), H36M_17, STYLE)
    check_rviz_accepts(markers)
    assert [len(m.points) for m in markers] == [11, 8, 20]


def test_what_is_gone_is_deleted_once():
    living = LivingMarkers()
    both = person_markers(seen(person(1), person(2)), H36M_17, STYLE)
    one = person_markers(seen(person(2)), H36M_17, STYLE)
    assert all(m.action == Marker.ADD for m in living.replace(both, HEADER).markers)
    second = living.replace(one, HEADER).markers
    deleted = {(m.ns, m.id) for m in second if m.action == Marker.DELETE}
    assert deleted == {("joints", 1), ("bones", 1), ("labels", 1)}
    assert {(m.ns, m.id) for m in second} == {(m.ns, m.id) for m in both}
    assert all(m.action == Marker.ADD for m in living.replace(one, HEADER).markers)
    assert {m.action for m in living.replace([], HEADER).markers} == {Marker.DELETE}
    assert living.replace([], HEADER).markers == []


@pytest.mark.parametrize(("lifetime", "expected"), [(0.0, (0, 0)), (2.25, (2, 250_000_000))])
def test_lifetime_is_seconds(lifetime, expected):
    marker = person_markers(seen(person(1)), H36M_17, PictureConfig(marker_lifetime=lifetime))[0]
    assert (marker.lifetime.sec, marker.lifetime.nanosec) == expected
