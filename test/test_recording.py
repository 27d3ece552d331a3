import numpy as np

from pandapose_ros.pose import AnchorVotes, Pose, RootSource, TrackState
from pandapose_ros.recording import Recording, Result


def make_pose(number, anchors, root):
    rng = np.random.default_rng(number)
    return Pose(
        id=number,
        state=TrackState(number % 5),
        joints=rng.normal(size=(17, 3)),
        root=root,
        root_covariance=None,
        root_source=RootSource.NONE if root is None else RootSource.INTRINSICS,
        joint_scores=rng.uniform(size=17),
        keypoints=rng.normal(size=(17, 2)),
        box_xyxy=rng.normal(size=4),
        score=0.5,
        anchors=AnchorVotes(
            rng.normal(size=(anchors, 3)),
            rng.uniform(size=(anchors, 1)),
            np.zeros(anchors, int),
            np.arange(anchors),
        ),
    )


def test_recording_comes_back_as_it_was(tmp_path):
    first, second = make_pose(1, 4, np.array([0.0, 1, 2])), make_pose(2, 0, None)
    recording = Recording(
        image_stamps_ns=[10, 20, 30],
        images=[b"one", b"", b"three"],
        results=[Result(10, 12, [first, second]), Result(30, 39, [])],
    )
    recording.save(tmp_path / "run.npz")
    back = Recording.load(tmp_path / "run.npz")
    assert back.image_stamps_ns == recording.image_stamps_ns
    assert back.images == recording.images
    assert [(r.stamp_ns, r.received_ns, len(r.poses)) for r in back.results] == [
        (10, 12, 2),
        (30, 39, 0),
    ]
    for pose, original in zip(back.results[0].poses, (first, second), strict=True):
        np.testing.assert_array_equal(pose.joints, original.joints)
        np.testing.assert_array_equal(pose.anchors.positions, original.anchors.positions)
        np.testing.assert_allclose(pose.anchors.weights, original.anchors.weights)
        assert (pose.id, pose.state, pose.root_source) == (
            original.id,
            original.state,
            original.root_source,
        )
    np.testing.assert_array_equal(back.results[0].poses[0].root, first.root)
    assert back.results[0].poses[1].root is None


def test_empty_recording_comes_back(tmp_path):
    Recording().save(tmp_path / "run.npz")
    back = Recording.load(tmp_path / "run.npz")
    assert (back.images, back.results) == ([], [])
