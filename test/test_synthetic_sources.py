from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pandapose_ros.geometry import project
from pandapose_ros.skeleton import H36M_17
from pandapose_ros.synthetic.assets import Garment, fit_garment, read_garment
from pandapose_ros.synthetic.body import Rig
from pandapose_ros.synthetic.gait import walk_and_wave
from pandapose_ros.synthetic.outfit import (
    BaseBodies,
    Wardrobe,
    bodies_held_out,
    dressed_bodies,
    split_wardrobe,
)
from pandapose_ros.synthetic.poses import read_pool, rig_targets, sample_targets
from pandapose_ros.synthetic.rotations import about, between, swing

J = {name: index for index, name in enumerate(H36M_17.joint_names)}
DEMO = Path(__file__).parents[1] / "config" / "demo"
REST = np.zeros((17, 3))
for name, place in {
    "hip": (0.1, 0, 0.92),
    "knee": (0.11, -0.01, 0.5),
    "ankle": (0.12, 0.02, 0.09),
    "shoulder": (0.18, 0, 1.42),
    "elbow": (0.36, 0, 1.2),
    "wrist": (0.5, -0.1, 1.02),
}.items():
    REST[J[f"left_{name}"]] = place
    REST[J[f"right_{name}"]] = np.multiply(place, (-1, 1, 1))
REST[J["pelvis"]] = (0, 0, 0.92)
REST[J["thorax"]] = (0, 0, 1.42)
REST[J["spine"]] = (0, 0, 1.17)
REST[J["nose"]] = (0, -0.15, 1.6)
REST[J["head"]] = (0, -0.03, 1.76)
TIMES = np.arange(120) / 20
PATH = np.array([[-2.0, 4.0], [0.0, 5.0], [1.5, 4.0], [0.0, 2.8]])


def bone_lengths(joints):
    return np.stack(
        [np.linalg.norm(joints[:, b] - joints[:, a], axis=-1) for a, b in H36M_17.bones]
    )


def test_walk_keeps_bone_lengths():
    walk = walk_and_wave(REST, PATH, TIMES, 4.8, (1.5, 5.5))
    # The spine joint is where the twist between hips and chest happens; it moves with the hips.
    np.testing.assert_allclose(
        bone_lengths(walk.joints), bone_lengths(REST[None]).repeat(len(TIMES), 1), atol=2e-3
    )


def test_walk_arrives_without_sliding_feet():
    walk = walk_and_wave(REST, PATH, TIMES, 4.8, (1.5, 5.5))
    np.testing.assert_allclose(walk.joints[0, 0, :2], PATH[0], atol=0.03)
    np.testing.assert_allclose(walk.joints[-1, 0, :2], PATH[-1], atol=0.03)
    for side in ("left", "right"):
        ankle = walk.joints[:, J[f"{side}_ankle"]]
        down = ankle[:, 2] < REST[J["left_ankle"], 2] + 0.004
        planted = down[1:] & down[:-1]
        assert 0.3 < planted.mean() < 0.95
        slide = np.linalg.norm(np.diff(ankle[:, :2], axis=0), axis=1)[planted]
        assert slide.max() < 0.01
        assert ankle[:, 2].min() > REST[J["left_ankle"], 2] - 0.01


def test_right_hand_waves_in_its_time_only():
    walk = walk_and_wave(REST, PATH, TIMES, 4.8, (1.5, 5.5))
    above = walk.joints[:, J["right_wrist"], 2] - walk.joints[:, J["right_shoulder"], 2]
    waving = (TIMES > 2.3) & (TIMES < 4.7)
    assert above[waving].min() > 0.1
    assert above[TIMES < 1.4].max() < -0.2
    left = walk.joints[:, J["left_wrist"], 2] - walk.joints[:, J["left_shoulder"], 2]
    assert left.max() < -0.2


def test_rotations():
    a = torch.tensor([[1.0, 0, 0], [0.3, 0.5, -0.2], [1, 0, 0]])
    b = torch.tensor([[0.0, 2, 0], [-0.1, 0.4, 0.9], [-1, 0, 0]])
    R = swing(a, b)
    turned = (R @ a[..., None])[..., 0]
    cosine = torch.nn.functional.cosine_similarity(turned, b)
    assert torch.allclose(cosine, torch.ones(3), atol=1e-5)
    assert torch.allclose(R @ R.mT, torch.eye(3).expand(3, 3, 3), atol=1e-5)
    z = torch.tensor([[0.0, 0, 1]])
    third = between(about(z, torch.tensor([0.3])), about(z, torch.tensor([1.2])), 1 / 3)
    assert torch.allclose(third, about(z, torch.tensor([0.6])), atol=1e-5)


def write_motion(path, clips):
    np.savez(path, **clips)
    return path


def y_up(joints):
    return np.stack((joints[..., 0], joints[..., 2], -joints[..., 1]), axis=-1)


def test_motion_is_split_by_clip_and_turned_z_up(tmp_path):
    clips = {name: y_up(REST[None]).repeat(3, 0) for name in ("walk_1", "walk_2", "sit")}
    path = write_motion(tmp_path / "motion.npz", clips)
    train, test = read_pool(path, 0.2, test=False), read_pool(path, 0.2, test=True)
    assert {train.names[index] for index in train.clip} == {"walk_1", "sit"}
    assert {test.names[index] for index in test.clip} == {"walk_2"}
    assert len(train.bank) == len(train.clip) == 6
    (rest,) = rig_targets(train.bank.take(np.array([0])))
    asked, got = (
        REST[J["left_knee"]] - REST[J["left_hip"]],
        rest[J["left_knee"]] - rest[J["left_hip"]],
    )
    np.testing.assert_allclose(got / np.linalg.norm(got), asked / np.linalg.norm(asked), atol=1e-5)
    assert rest[J["head"], 2] > rest[J["thorax"], 2] + 0.2
    assert rest[J["nose"], 1] < rest[J["head"], 1] - 0.05


def test_wrong_motion_is_refused(tmp_path):
    path = write_motion(tmp_path / "motion.npz", {"a": np.zeros((3, 16, 3))})
    with pytest.raises(ValueError, match=r"clip 'a' to be \[T, 17, 3\]"):
        read_pool(path, 0.2, test=False)


def test_a_test_half_without_clips_is_refused(tmp_path):
    path = write_motion(tmp_path / "motion.npz", {"walk": y_up(REST[None])})
    with pytest.raises(ValueError, match="none of 1 clips"):
        read_pool(path, 0.2, test=True)


def test_targets_turn_the_hips_and_the_chest_as_the_pose_does(tmp_path):
    walk = walk_and_wave(REST, PATH, TIMES, 4.8, (1.5, 5.5)).joints
    pool = read_pool(write_motion(tmp_path / "m.npz", {"w": y_up(walk)}), 0, test=False)
    targets, clip, family = sample_targets(pool, 300, np.random.default_rng(0))
    assert targets.shape == (300, 17, 3)
    assert clip.shape == family.shape == (300,)
    targets = targets.numpy()
    assert np.abs(targets[:, 0]).max() == 0
    # What the rig takes for the chest's axes must be at right angles, as those of the pose are.
    across = targets[:, J["left_shoulder"]] - targets[:, J["right_shoulder"]]
    up = targets[:, J["thorax"]] - targets[:, J["spine"]]
    assert np.abs((across * up).sum(-1)).max() < 1e-4
    middle = (targets[:, J["left_shoulder"]] + targets[:, J["right_shoulder"]]) / 2
    np.testing.assert_allclose(middle, targets[:, J["thorax"]], atol=1e-4)


MHCLO = """# made up
name vest
obj_file vest.obj
x_scale 0 1 2.0
verts 0
material vest.mhmat
2
0 1 2 0.5 0.5 0.0 0.1 0.0 0.0
0 1 2 0.0 0.0 1.0 0 0 1
delete_verts
1 3 - 5
"""


def test_garment_follows_the_body(tmp_path):
    (tmp_path / "vest.mhclo").write_text(MHCLO)
    (tmp_path / "vest.obj").write_text("v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1/1 2/2 3/3 1/1\n")
    garment = read_garment(tmp_path)
    assert garment.hidden.tolist() == [1, 3, 4, 5]
    assert garment.faces.tolist() == [[0, 1, 2], [0, 2, 0]]
    base = np.array([[-0.2, 0.0, 1.0], [0.2, 0.0, 1.0], [0.0, -0.1, 1.4]])
    fitted = fit_garment(garment, base)
    np.testing.assert_allclose(fitted[0], base[2], atol=1e-9)
    # The mesh is 4 dm wide where the garment was made for 2: its offset doubles, to 2 cm.
    np.testing.assert_allclose(fitted[1], (0.02, 0.0, 1.0), atol=1e-9)
    np.testing.assert_allclose(fitted[2], (0.0, -0.2, 1.4), atol=1e-9)


def test_garment_without_its_mesh_vertices_is_refused(tmp_path):
    (tmp_path / "vest.mhclo").write_text(MHCLO)
    (tmp_path / "vest.obj").write_text("f 1 2 9\n")
    with pytest.raises(ValueError, match="belong together"):
        read_garment(tmp_path)


def garments(kind, count):
    rows, face = np.full((3, 3), 1 / 3), np.array([[0, 1, 2]])
    fit = (rows.astype(int), rows, 0 * rows, (None,) * 3, face[0], face)
    return [Garment(f"{kind}{i}", *fit) for i in range(count)]


def wardrobe(**counts):
    kinds = {"female_suits": 4, "male_suits": 8, "shoes": 6, "hair": 2} | counts
    return Wardrobe(**{kind: garments(kind, count) for kind, count in kinds.items()})


def test_no_garment_is_worn_on_both_sides():
    for seed in range(5):
        full = wardrobe()
        train, test = split_wardrobe(full, np.random.default_rng(seed))
        for kind, all_of_it in vars(full).items():
            sides = [{g.name for g in vars(part)[kind]} for part in (train, test)]
            assert not sides[0] & sides[1]
            assert sides[0] | sides[1] == {g.name for g in all_of_it}
            assert min(len(side) for side in sides) >= 1
            assert len(sides[0]) >= len(sides[1])


def test_a_wardrobe_too_small_to_split_is_refused():
    with pytest.raises(ValueError, match=r"at least 2 garments of shoes.*--test-bodies 0"):
        split_wardrobe(wardrobe(shoes=1), np.random.default_rng(0))


def test_both_sexes_are_on_both_sides():
    held_out = bodies_held_out(40, 8)
    is_female = np.arange(40) % 2 == 1
    assert held_out.sum() == 8
    for side in (held_out, ~held_out):
        assert is_female[side].any() and not is_female[side].all()
    assert not bodies_held_out(3, 0).any()
    for count, tests in ((40, 1), (3, 2), (2, 2)):
        with pytest.raises(ValueError, match="--test-bodies"):
            bodies_held_out(count, tests)


def test_held_out_bodies_wear_only_their_own_clothes():
    vertices = np.random.default_rng(0).random((4, 19158, 3)).astype(np.float32)
    base = BaseBodies(
        vertices=vertices,
        bone_heads=np.random.default_rng(1).random((4, 8, 3)),
        faces=np.array([[0, 1, 2]]),
        weights=np.full((19158, 8), 1 / 8),
        is_female=np.arange(4) % 2 == 1,
    )
    names = ("spine04", "spine05", "eye.L", "eye.R", "a", "b", "c", "d")
    rig = Rig(names, (-1, *range(7)))
    parts = split_wardrobe(wardrobe(), np.random.default_rng(0))
    rng, held_out = np.random.default_rng(1), bodies_held_out(4, 2)
    dressed = list(dressed_bodies(rig, base, parts, held_out, rng))
    assert [body.held_out for body in dressed] == [False, False, True, True]
    for body in dressed:
        known = {g.name for kind in vars(parts[int(body.held_out)]).values() for g in kind}
        sex, *worn = body.description.split()
        assert len(worn) == 3 and set(worn) <= known
        assert worn[0].startswith(f"{sex}_suits")


def test_committed_clip_matches_its_truth():
    with np.load(DEMO / "walk.npz", allow_pickle=False) as truth:
        joints, K, rate = truth["joints"], truth["K"], float(truth["fps"])
    capture = cv2.VideoCapture(str(DEMO / "walk.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(rate, abs=0.1)
    frames = []
    while True:
        found, frame = capture.read()
        if not found:
            break
        frames.append(frame)
    assert joints.shape == (len(frames), 17, 3)
    assert joints.dtype == np.float32
    assert sum(path.stat().st_size for path in DEMO.iterdir()) <= 1_000_000
    pixels = project(joints.astype(np.float64), K.astype(np.float64))
    height, width = frames[0].shape[:2]
    assert ((pixels >= 0) & (pixels < (width, height))).all()
    # Where a joint is, the picture differs from the empty room, which the median shows.
    columns, rows = np.round(pixels[:, [J["thorax"], J["pelvis"], J["left_knee"]]]).astype(int).T
    on_person = [
        np.ptp(
            [frame[row, column], np.median([other[row, column] for other in frames], 0)], 0
        ).max()
        > 12
        for frame, joint_columns, joint_rows in zip(
            frames[::7], columns.T[::7], rows.T[::7], strict=True
        )
        for column, row in zip(joint_columns, joint_rows, strict=True)
    ]
    assert np.mean(on_person) > 0.95
