import re

import numpy as np
import pytest

from pandapose_ros.config import SkeletonSampleConfig
from pandapose_ros.data.body_joints import put_together, random_bodies
from pandapose_ros.data.bvh import read_bvh
from pandapose_ros.data.motion import read_motion, take_apart
from pandapose_ros.skeleton import H36M_17

INDEX = {name: i for i, name in enumerate(H36M_17.joint_names)}
ROTATIONS = "CHANNELS 3 Zrotation Yrotation Xrotation"


def joint(name, offset, *children, end=None):
    inner = "\n".join(children)
    if end:
        inner += f"\nEnd Site\n{{\n OFFSET {end}\n}}"
    return f"JOINT {name}\n{{\n OFFSET {offset}\n {ROTATIONS}\n{inner}\n}}"


def limb(side, sign, parts, offsets):
    text = ""
    for part, offset in reversed(list(zip(parts, offsets, strict=True))):
        x, y, z = offset
        text = joint(f"{side}{part}", f"{sign * x} {y} {z}", *([text] if text else []))
    return text


def hierarchy():
    """A person in a T pose who faces +z, in centimetres."""
    legs = ("UpLeg", "Leg", "Foot"), ((10, -5, 0), (0, -40, 0), (0, -42, 0))
    arms = ("Arm", "ForeArm", "Hand"), ((18, -5, 0), (28, 0, 0), (25, 0, 0))
    head = joint("Head", "0 10 0", end="0 18 4")
    parts = [
        limb("Left", 1, *legs),
        limb("Right", -1, *legs),
        joint(
            "Spine",
            "0 15 0",
            joint("Neck", "0 30 0", head),
            limb("Left", 1, arms[0], ((18, 25, 0), *arms[1][1:])),
            limb("Right", -1, arms[0], ((18, 25, 0), *arms[1][1:])),
        ),
    ]
    body = "\n".join(parts)
    return (
        "HIERARCHY\nROOT Hips\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition "
        f"Zrotation Yrotation Xrotation\n{body}\n}}\n"
    )


def write(path, frames, rate=30.0, text=None):
    rows = "\n".join(" ".join(f"{value:.6f}" for value in frame) for frame in frames)
    path.write_text(
        f"{text or hierarchy()}MOTION\nFrames: {len(frames)}\nFrame Time: {1 / rate:.8f}\n{rows}\n"
    )
    return path


def frames(count):
    channels = 6 + 3 * 15
    values = np.zeros((count, channels))
    values[:, 1] = 95
    return values


def test_rest_pose_is_where_offsets_put_it(tmp_path):
    clip = read_bvh(write(tmp_path / "rest.bvh", frames(1)), metres_per_unit=0.01)
    assert clip.shape == (1, 17, 3)
    assert clip.dtype == np.float32
    expected = {
        "pelvis": (0, 0.9, 0),
        "left_hip": (0.1, 0.9, 0),
        "right_ankle": (-0.1, 0.08, 0),
        "spine": (0, 1.1, 0),
        "thorax": (0, 1.4, 0),
        "nose": (0, 1.5, 0),
        "head": (0, 1.68, 0.04),
        "left_wrist": (0.71, 1.35, 0),
        "right_elbow": (-0.46, 1.35, 0),
    }
    for name, place in expected.items():
        np.testing.assert_allclose(clip[0, INDEX[name]], place, atol=1e-6, err_msg=name)


def test_rotations_are_multiplied_in_the_channels_order(tmp_path):
    motion = frames(2)
    # The left thigh points down; Rz(90) Rx(90) turns down to back, and leaves back alone.
    motion[1, 6:9] = (90, 0, 90)
    clip = read_bvh(write(tmp_path / "turn.bvh", motion), metres_per_unit=0.01)
    thigh = clip[:, INDEX["left_knee"]] - clip[:, INDEX["left_hip"]]
    np.testing.assert_allclose(thigh, ((0, -0.4, 0), (0, 0, -0.4)), atol=1e-6)
    shank = clip[1, INDEX["left_ankle"]] - clip[1, INDEX["left_knee"]]
    np.testing.assert_allclose(shank, (0, 0, -0.42), atol=1e-6)


def test_root_moves_and_turns_everything(tmp_path):
    motion = frames(2)
    motion[1, :6] = (100, 95, -50, 0, 90, 0)
    clip = read_bvh(write(tmp_path / "root.bvh", motion), metres_per_unit=0.01)
    turned = clip[0] @ np.array(((0, 0, 1), (0, 1, 0), (-1, 0, 0))).T + (1, 0, -0.5)
    np.testing.assert_allclose(clip[1], turned, atol=1e-6)


@pytest.mark.parametrize(("rate", "count", "expected"), [(120, 9, 3), (60, 4, 2), (25, 6, 7)])
def test_clips_are_resampled(tmp_path, rate, count, expected):
    motion = frames(count)
    motion[:, 0] = np.arange(count) / rate * 100
    clip = read_bvh(write(tmp_path / "walk.bvh", motion, rate), metres_per_unit=0.01)
    np.testing.assert_allclose(clip[:, 0, 0], np.arange(expected) / 30, atol=1e-4)


def test_clip_can_be_taken_apart(tmp_path):
    clip = read_bvh(write(tmp_path / "rest.bvh", frames(1)), metres_per_unit=0.01)
    lengths = random_bodies(1, SkeletonSampleConfig(), np.random.default_rng(0))
    pose = put_together(take_apart(clip), lengths)[0]
    assert pose[INDEX["nose"], 2] > pose[INDEX["thorax"], 2] + 0.05
    assert pose[INDEX["left_wrist"], 0] > 0.45
    assert pose[INDEX["head"], 1] > pose[INDEX["thorax"], 1] > pose[INDEX["pelvis"], 1]


LIMBS = ("UpLeg", "Leg", "Foot", "Arm", "ForeArm", "Hand")


@pytest.mark.parametrize(
    ("left", "right", "limbs", "middle"),
    [
        (
            "Left",
            "Right",
            ("Hip", "Knee", "Ankle", "Shoulder", "Elbow", "Wrist"),
            "Chest Neck Head",
        ),
        ("l", "r", ("Thigh", "Shin", "Foot", "Shldr", "ForeArm", "Hand"), "chest neck head"),
    ],
)
def test_joints_may_have_the_names_of_other_exporters(tmp_path, left, right, limbs, middle):
    names = dict(zip(("Spine", "Neck", "Head"), middle.split(), strict=True))
    for here, there in zip(LIMBS, limbs, strict=True):
        names |= {f"Left{here}": left + there, f"Right{here}": right + there}
    text = re.sub(r"(?<=JOINT )\w+", lambda match: names[match[0]], hierarchy())
    clip = read_bvh(write(tmp_path / "other.bvh", frames(1), text=text), metres_per_unit=0.01)
    same = read_bvh(write(tmp_path / "rest.bvh", frames(1)), metres_per_unit=0.01)
    np.testing.assert_array_equal(clip, same)


def test_unknown_skeleton_names_what_is_missing(tmp_path):
    text = hierarchy().replace("LeftForeArm", "Elle")
    path = write(tmp_path / "odd.bvh", frames(1), text=text)
    with pytest.raises(ValueError, match=r"odd\.bvh: unknown .* lacks \['LeftForeArm'\].*Elle"):
        read_bvh(path, metres_per_unit=0.01)


def test_wrong_unit_is_told(tmp_path):
    path = write(tmp_path / "rest.bvh", frames(1))
    with pytest.raises(ValueError, match=r"legs of 0\.4 to 1\.4 m, got 82 m"):
        read_bvh(path, metres_per_unit=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "no", "expected 'HIERARCHY'"),
        (lambda text: text[: len(text) // 3], "early"),
        (lambda text: text.replace("Zrotation", "Wrotation"), "expected channels"),
        (lambda text: text.replace("Frames: 1", "Frames: 2"), "expected frames of 51 numbers"),
        (lambda text: text.replace("95.0", "x95.0"), "is not a BVH file"),
        (lambda text: text.replace("95.000000", "nan"), "expected finite positions"),
        (lambda text: text.replace("MOTION", "}\nMOTION"), "brace too many"),
    ],
)
def test_broken_files_are_refused(tmp_path, change, message):
    path = write(tmp_path / "broken.bvh", frames(1))
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=message):
        read_bvh(path, metres_per_unit=0.01)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.bvh"):
        read_bvh(tmp_path / "none.bvh", metres_per_unit=0.01)


@pytest.mark.parametrize("unit", [1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45])
def test_the_unit_is_told_by_the_legs(tmp_path, unit):
    def scaled(match):
        return " ".join(str(float(value) * 0.01 / unit) for value in match[0].split())

    text = re.sub(r"(?<=OFFSET )[-\d. ]+", scaled, hierarchy())
    motion = frames(1)
    motion[:, 1] *= 0.01 / unit
    clip = read_bvh(write(tmp_path / "clip.bvh", motion, text=text))
    expected = read_bvh(write(tmp_path / "cm.bvh", frames(1)), metres_per_unit=0.01)
    np.testing.assert_allclose(clip, expected, atol=1e-4)


def test_legs_of_no_adult_are_refused(tmp_path):
    text = re.sub("-4[02]", "-900", hierarchy())
    with pytest.raises(ValueError, match=r"giant\.bvh: legs of 1.8e\+03 units"):
        read_bvh(write(tmp_path / "giant.bvh", frames(1), text=text))


def test_motion_may_be_a_file_or_a_folder_of_them(tmp_path):
    (tmp_path / "dance").mkdir()
    write(tmp_path / "dance" / "turn_1.bvh", frames(2))
    walk = write(tmp_path / "walk.BVH", frames(3))
    assert {name: len(clip) for name, clip in read_motion(tmp_path).items()} == {
        "dance_turn_1": 2,
        "walk": 3,
    }
    assert list(read_motion(walk)) == ["walk"]
    assert len(take_apart(read_motion(walk)["walk"])) == 3
    (tmp_path / "folder.bvh").mkdir()  # is no file
    write(tmp_path / "dance_turn_1.bvh", frames(1))
    with pytest.raises(ValueError, match="two clips would be called 'dance_turn_1'"):
        read_motion(tmp_path)
