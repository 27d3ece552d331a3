import numpy as np
import pytest

from pandapose_ros.data.asf_amc import read_asf_amc
from pandapose_ros.data.motion import read_motion
from pandapose_ros.skeleton import H36M_17

INDEX = {name: i for i, name in enumerate(H36M_17.joint_names)}
UNIT = 0.0254 / 0.45
# Name, parent, vector in metres, axes, freedoms.
LEFT = [
    ("lhipjoint", "root", (0.1, -0.05, 0), "0 0 0 XYZ", ""),
    ("lfemur", "lhipjoint", (0, -0.4, 0), "0 90 0 XYZ", "rx ry rz"),
    ("ltibia", "lfemur", (0, -0.42, 0), "0 0 0 XYZ", "rx"),
    ("lclavicle", "thorax", (0.18, -0.05, 0), "0 0 0 XYZ", "ry rz"),
    ("lhumerus", "lclavicle", (0.28, 0, 0), "0 0 0 XYZ", "rx ry rz"),
    ("lradius", "lhumerus", (0.25, 0, 0), "0 0 0 XYZ", "rx"),
]
MIDDLE = [
    ("lowerback", "root", (0, 0.15, 0), "0 0 0 XYZ", "rx ry rz"),
    ("upperback", "lowerback", (0, 0.15, 0), "0 0 0 XYZ", ""),
    ("thorax", "upperback", (0, 0.15, 0), "0 0 0 XYZ", ""),
    ("lowerneck", "thorax", (0, 0.05, 0), "0 0 0 XYZ", ""),
    ("upperneck", "lowerneck", (0, 0.05, 0), "0 0 0 XYZ", ""),
    ("head", "upperneck", (0, 0.18, 0.04), "0 0 0 XYZ", ""),
]
BONES = [
    *MIDDLE,
    *LEFT,
    *(
        ("r" + name[1:], parent if parent in ("root", "thorax") else "r" + parent[1:], *rest)
        for name, parent, *rest in LEFT
    ),
]


def asf():
    bones, lines = "", {}
    for number, (name, parent, (x, y, z), axis, freedoms) in enumerate(BONES):
        vector = np.array((-x if name[0] == "r" else x, y, z))
        length = np.linalg.norm(vector)
        direction = " ".join(str(value) for value in vector / length)
        bones += (
            f"  begin\n     id {number}\n     name {name}\n     direction {direction}\n"
            f"     length {length / UNIT}\n     axis {axis}\n"
        )
        if freedoms:
            bones += f"    dof {freedoms}\n    limits (-180.0 180.0)\n"
        bones += "  end\n"
        lines.setdefault(parent, []).append(name)
    # Children may be listed before their parents.
    tree = "".join(f"    {p} {' '.join(c)}\n" for p, c in reversed(lines.items()))
    return (
        "# AST/ASF file\n:version 1.10\n:name VICON\n:units\n  mass 1.0\n  length 0.45\n"
        "  angle deg\n:documentation\n   name of a model\n:root\n   order TX TY TZ RX RY RZ\n"
        "   axis XYZ\n   position 0 0 0\n   orientation 0 0 0\n"
        f":bonedata\n{bones}:hierarchy\n  begin\n{tree}  end\n"
    )


def amc(frames):
    text = "#!OML:ASF VICON\n:FULLY-SPECIFIED\n:DEGREES\n"
    for number, changes in enumerate(frames, 1):
        values = {"root": (0, 0.95 / UNIT, 0, 0, 0, 0)}
        values |= {name: (0,) * len(dof.split()) for name, *_, dof in BONES if dof}
        values |= changes
        text += f"{number}\n"
        text += "".join(f"{n} {' '.join(map(str, v))}\n" for n, v in values.items())
    return text


def write(folder, frames=({},), skeleton=None):
    paths = folder / "01.asf", folder / "01_01.amc"
    paths[0].write_text(skeleton or asf())
    paths[1].write_text(amc(frames))
    return paths


def bone(clip, start, end):
    return clip[:, INDEX[end]] - clip[:, INDEX[start]]


def test_rest_pose_is_where_the_bones_put_it(tmp_path):
    clip = read_asf_amc(*write(tmp_path), rate_hz=120)
    assert clip.shape == (1, 17, 3)
    assert clip.dtype == np.float32
    expected = {
        "pelvis": (0, 0.9, 0),
        "right_hip": (-0.1, 0.9, 0),
        "left_ankle": (0.1, 0.08, 0),
        "spine": (0, 1.1, 0),
        "thorax": (0, 1.4, 0),
        "nose": (0, 1.5, 0),
        "head": (0, 1.68, 0.04),
        "left_wrist": (0.71, 1.35, 0),
        "right_elbow": (-0.46, 1.35, 0),
    }
    for name, place in expected.items():
        np.testing.assert_allclose(clip[0, INDEX[name]], place, atol=1e-6, err_msg=name)


def test_a_bone_turns_about_its_own_axes(tmp_path):
    # The thigh's x axis is the world's -z: turned by 90 degrees about it, down is right.
    clip = read_asf_amc(*write(tmp_path, [{"lfemur": (90, 0, 0)}]), rate_hz=30)
    np.testing.assert_allclose(bone(clip, "left_hip", "left_knee"), [(-0.4, 0, 0)], atol=1e-6)
    np.testing.assert_allclose(bone(clip, "left_knee", "left_ankle"), [(-0.42, 0, 0)], atol=1e-6)


def test_freedoms_turn_the_first_one_first(tmp_path):
    # Rx leaves an arm along x alone, then Rz lifts it.
    clip = read_asf_amc(*write(tmp_path, [{"lhumerus": (90, 0, 90)}]), rate_hz=30)
    np.testing.assert_allclose(
        bone(clip, "left_shoulder", "left_elbow"), [(0, 0.28, 0)], atol=1e-6
    )


def test_root_moves_and_turns_everything(tmp_path):
    frames = [{}, {"root": (1 / UNIT, 0.95 / UNIT, 0, 0, 90, 0)}]
    clip = read_asf_amc(*write(tmp_path, frames), rate_hz=30)
    turned = clip[0] @ np.array(((0, 0, 1), (0, 1, 0), (-1, 0, 0))).T + (1, 0, 0)
    np.testing.assert_allclose(clip[1], turned, atol=1e-6)


def test_clips_are_resampled(tmp_path):
    frames = [{"root": (i / UNIT, 0.95 / UNIT, 0, 0, 0, 0)} for i in range(10)]
    clip = read_asf_amc(*write(tmp_path, frames), rate_hz=120)
    np.testing.assert_allclose(clip[:, 0, 0], (0, 4, 8), atol=1e-5)


def test_radians_are_understood(tmp_path):
    paths = write(tmp_path, [{"lhumerus": (0, 0, np.pi / 2)}])
    paths[1].write_text(paths[1].read_text().replace(":DEGREES", ":RADIANS"))
    clip = read_asf_amc(*paths, rate_hz=30)
    np.testing.assert_allclose(
        bone(clip, "left_shoulder", "left_elbow"), [(0, 0.28, 0)], atol=1e-6
    )


def test_unknown_skeleton_names_what_is_missing(tmp_path):
    paths = write(tmp_path, skeleton=asf().replace("upperneck", "hals"))
    with pytest.raises(ValueError, match=r"01\.asf: unknown skeleton.*lacks \['upperneck'\]"):
        read_asf_amc(*paths, rate_hz=120)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "no", "not an ASF file"),
        (lambda text: text.replace("dof rx ry rz", "dof rx ry l"), r"move by .*got \['l'\]"),
        (lambda text: text.replace("axis 0 90 0 XYZ", "axis 0 90 XYZ"), "not an ASF file"),
        (lambda text: text.replace("thorax lowerneck", "thorax root lowerneck"), "themselves"),
        (lambda text: text.replace("length 0.45", "length 0"), "not an ASF file"),
    ],
)
def test_broken_skeletons_are_refused(tmp_path, change, message):
    paths = write(tmp_path)
    paths[0].write_text(change(paths[0].read_text()))
    with pytest.raises(ValueError, match=message):
        read_asf_amc(*paths, rate_hz=120)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: ":DEGREES\n", "no frames"),
        (lambda text: text.replace("lfemur 0 0 0", "lfemur 0 0"), "3 numbers for 'lfemur' in fra"),
        (lambda text: text.replace("ltibia 0\n", ""), "1 numbers for 'ltibia' in frame 1, got 0"),
        (lambda text: text.replace("ltibia 0", "ltibia x"), "not a motion of"),
    ],
)
def test_broken_motions_are_refused(tmp_path, change, message):
    paths = write(tmp_path)
    paths[1].write_text(change(paths[1].read_text()))
    with pytest.raises(ValueError, match=message):
        read_asf_amc(*paths, rate_hz=120)


def test_missing_files_and_rates_are_named(tmp_path):
    paths = write(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none\.amc"):
        read_asf_amc(paths[0], tmp_path / "none.amc", rate_hz=120)
    with pytest.raises(ValueError, match="positive frame rate"):
        read_asf_amc(*paths, rate_hz=0)


def test_motion_may_be_a_folder_of_skeletons_and_motions(tmp_path):
    with pytest.raises(FileNotFoundError, match="AMC files with ASF, or BVH"):
        read_motion(tmp_path)
    for subject in ("01", "02"):
        (tmp_path / subject).mkdir()
        write(tmp_path / subject, [{}] * 5)
    (tmp_path / "02" / "01.asf").rename(tmp_path / "02" / "walker.asf")
    clips = read_motion(tmp_path)
    assert list(clips) == ["01_01_01", "02_01_01"]
    assert clips["01_01_01"].shape == (2, 17, 3)
    (alone,) = read_motion(tmp_path / "01" / "01_01.amc").values()
    np.testing.assert_array_equal(alone, clips["01_01_01"])
    (tmp_path / "02" / "other.asf").write_text("")
    with pytest.raises(FileNotFoundError, match=r"no skeleton for .*01_01\.amc; expected 01\.asf"):
        read_motion(tmp_path)


def test_a_motion_does_not_take_the_skeleton_of_another_subject(tmp_path):
    skeleton, motion = write(tmp_path, [{}] * 5)
    for number in ("10", "1"):
        (tmp_path / f"{number}.asf").write_text(asf())
    missing = motion.rename(tmp_path / "105_01.amc")
    with pytest.raises(FileNotFoundError, match=r"no skeleton for .*105_01\.amc; expected 105\."):
        read_motion(tmp_path)
    longer = asf().replace("length 0.45", "length 0.9")
    skeleton.rename(tmp_path / "105.asf").write_text(longer)
    (clip,) = read_motion(missing).values()
    np.testing.assert_array_equal(clip, read_asf_amc(tmp_path / "105.asf", missing, rate_hz=120))
    whole = missing.rename(tmp_path / "105.amc")  # a skeleton of the very same name
    (again,) = read_motion(whole).values()
    np.testing.assert_array_equal(clip, again)
