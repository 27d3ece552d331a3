from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation
from test_depth_root import ROOT, SIZE, K, seen, standing
from torch import nn

from pandapose_ros import geometry
from pandapose_ros.camera.depth_root import DepthImage
from pandapose_ros.camera.lens import Distortion
from pandapose_ros.config import CovarianceConfig, ModelConfig
from pandapose_ros.lifting import PinholeImage, as_seen, lift, place, viewing_rays
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.people.landmarks import Person
from pandapose_ros.people.region import Region
from pandapose_ros.people.track import lost_pose
from pandapose_ros.pose import RootSource
from pandapose_ros.runtime.rows import CropVotes
from pandapose_ros.skeleton import H36M_17

IMAGE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
CONFIG, COVARIANCES = ModelConfig(), CovarianceConfig()
NET = PandaPose(CONFIG, nn.Identity())
TURN = Rotation.from_euler("xyz", (0.2, -0.3, 0.5)).as_matrix()
SHORT = K * np.array([[0.8], [0.8], [1]])


def somebody(K=K, rotation=TURN):
    """That body, seen by a pinhole, and what the lifter says in the axes of the crop's camera."""
    random = np.random.default_rng(0)
    spread = random.normal(0, 0.1, (17, 3, 3))
    votes = CropVotes(
        joints=standing() @ rotation + (0.1, -0.2, 0.3),
        anchors=random.normal(size=(6, 3)),
        weights=np.full((6, 17), 1 / 6),
        scatter=spread @ spread.swapaxes(1, 2),
        depth_profile=np.full((17, 8), 1 / 8),
        anchor_kinds=np.ones(6, int),
        anchor_joints=np.full(6, -1),
    )
    keypoints = geometry.project(standing() + ROOT, K)
    return Person(
        region=Region((320.0, 240.0), 300.0, 0.0),
        next_region=Region((320.0, 240.0), 300.0, 0.0),
        crop_from_image=np.eye(3),
        image_from_crop_rotation=rotation,
        keypoints_crop=keypoints,
        keypoints=keypoints,
        keypoint_scores=np.ones(17),
        features=[],
        world_landmarks=np.zeros((33, 3)),
        score=0.9,
        turns=np.array([1.0, 0, 0, 0]),
        box_xyxy=np.concatenate((keypoints.min(0), keypoints.max(0))),
        votes=votes,
    )


def placed(person, K=K, source=RootSource.INTRINSICS, **known):
    view = PinholeImage(IMAGE, K, source, known.pop("distortion", None), **known)
    (lifted,) = lift(NET, [person])
    return place(person, lifted, view, COVARIANCES)


def test_what_is_lifted_has_the_images_axes_and_the_pelvis_as_origin():
    person = somebody()
    (lifted,) = lift(NET, [person])
    np.testing.assert_allclose(lifted.joints, standing(), atol=1e-6)
    anchors = (person.votes.anchors - person.votes.joints[0]) @ TURN.T
    np.testing.assert_allclose(lifted.anchors.positions, anchors, atol=1e-6)
    np.testing.assert_allclose(lifted.scatter, TURN @ person.votes.scatter @ TURN.T, atol=1e-6)


def test_somebody_is_placed_and_the_depths_lie_along_the_crops_axis():
    pose = placed(somebody())
    np.testing.assert_allclose(pose.root, ROOT, atol=1e-5)
    centres = ((np.arange(8) + 0.5) / 4 - 1) * CONFIG.depth_range - 0.3
    along = np.broadcast_to(centres, (17, 8))
    np.testing.assert_allclose(pose.depth.positions @ TURN[:, 2], along, atol=1e-6)


def test_a_depth_image_counts_where_the_camera_is_known():
    tall = somebody()
    tall = replace(tall, votes=replace(tall.votes, joints=1.15 * tall.votes.joints))
    depth = DepthImage(seen(0), SIZE)
    pose = placed(tall, depth=depth)
    assert pose.root_source is RootSource.DEPTH
    assert abs(pose.root[2] - ROOT[2]) < 0.05
    assumed = placed(tall, source=RootSource.ASSUMED_FIELD_OF_VIEW, depth=depth)
    known = placed(tall)
    assert assumed.root_source is RootSource.ASSUMED_FIELD_OF_VIEW
    np.testing.assert_array_equal(assumed.root, known.root)
    assert assumed.root_covariance[2, 2] > 1.5 * known.root_covariance[2, 2]


def test_depths_are_looked_up_through_the_lens():
    almost_none = Distortion(np.array([1e-9, 0, 0, 0, 0]))
    known = {"distortion": almost_none, "depth": DepthImage(seen(0), SIZE), "K_lens": K}
    pose = placed(somebody(SHORT), SHORT, **known)
    assert pose.root_source is RootSource.DEPTH
    np.testing.assert_allclose(pose.root, ROOT, atol=0.04)


def test_a_guessed_head_hardly_moves_the_place():
    person = somebody()
    keypoints = person.keypoints.copy()
    keypoints[[H36M_17.joint_names.index(name) for name in ("nose", "head")]] -= (0, 20)
    pose = placed(replace(person, keypoints=keypoints))
    np.testing.assert_allclose(pose.root, ROOT, atol=0.04)


def test_rays_are_of_length_one_and_lead_to_the_joints_or_the_crop():
    person = somebody()
    expected = standing() + ROOT
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(viewing_rays(person, K), expected, atol=1e-9)
    np.testing.assert_array_equal(viewing_rays(person, None), np.tile(TURN[:, 2], (17, 1)))
    assert placed(person, None).root is None


def test_pixels_are_shown_where_the_lens_has_them():
    lens = Distortion(np.array([1e-9, 0, 0, 0, 0]))
    view = PinholeImage(IMAGE, SHORT, RootSource.INTRINSICS, lens, K_lens=K)
    pose = placed(somebody(SHORT), SHORT)
    shown = as_seen(replace(pose, box_xyxy=np.array([-50.0, -50, 900, 900])), view)
    np.testing.assert_allclose(shown.keypoints, somebody().keypoints, atol=1e-3)
    np.testing.assert_allclose(shown.box_xyxy, (0, 0, 639, 479))
    gone = lost_pose(pose)
    assert as_seen(gone, view) is gone
    assert as_seen(pose, replace(view, distortion=None)) is pose
