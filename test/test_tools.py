import json
import os
import subprocess
import sys
from dataclasses import is_dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from clip_images import CLIP, clip_frames, declare_1000_hz, write_video
from followed_people import bare_pose

from pandapose_ros.drawing import compose_picture, view_of
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.people.track import lost_pose
from pandapose_ros.recording import Recording, Result
from pandapose_ros.tools import demo, estimate, main

ROOT = Path(__file__).parents[1]


def run_tool(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "pandapose_ros.tools.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=200,
        check=False,
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / "first.png", folder / "second.png"]
    for path, image in zip(paths, clip_frames(21)[::20], strict=True):
        cv2.imwrite(str(path), image[..., ::-1])
    return paths


def test_help_lists_every_command():
    listed = run_tool("--help")
    assert listed.returncode == 0
    paths = (ROOT / "pandapose_ros" / "tools").glob("*.py")
    modules = [path.stem for path in paths if "def add_arguments" in path.read_text()]
    assert len(modules) > 10
    for module in modules:
        assert module.replace("_", "-") in listed.stdout


@pytest.mark.parametrize("command", sorted(main._COMMANDS))
def test_every_command_tells_its_options(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main([command, "--help"])
    assert stopped.value.code == 0
    assert command in capsys.readouterr().out


def test_estimate_writes_pictures_and_json(pictures, tmp_path):
    done = run_tool("estimate", *pictures, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    records = json.loads((tmp_path / "poses.json").read_text())
    assert [record["frame"] for record in records] == ["first", "second"]
    for record in records:
        assert len(record["people"]) == 1
        assert np.shape(record["people"][0]["joints"]) == (17, 3)
        assert cv2.imread(str(tmp_path / f"{record['frame']}.jpg")) is not None


@pytest.mark.parametrize("name", ["slow.mp4", "slow.MPG", "browser.mkv"])
def test_a_video_keeps_its_own_time_and_the_lost_are_not_counted(name, tmp_path, capsys):
    seen = clip_frames(3)
    write_video(tmp_path / name, seen + 8 * [np.full_like(seen[0], 90)])
    if name == "browser.mkv":
        declare_1000_hz(tmp_path / name)
    command = ["estimate", str(tmp_path / name), "--out", str(tmp_path / "out")]
    assert main.main(command) == 0
    records = json.loads((tmp_path / "out" / "poses.json").read_text())
    states = [person["state"] for record in records for person in record["people"]]
    assert states[:3] == ["NEW", "TRACKED", "TRACKED"]
    # prediction_time is 0.3 s: three images at 10 Hz, the last of which may be a rounding late.
    assert states[3:] in (["PREDICTED"] * 2, ["PREDICTED"] * 3)
    assert f"11 frames, {len(states)} skeletons" in capsys.readouterr().out
    drawn = cv2.VideoCapture(str(tmp_path / "out" / "annotated.mp4"))
    assert drawn.get(cv2.CAP_PROP_FPS) == pytest.approx(10, abs=0.01)


def held(part):
    """Bytes that are kept for a pose, with the arrays that its own are views of."""
    if isinstance(part, np.ndarray):
        return part.nbytes if part.base is None else part.base.nbytes
    return sum(map(held, vars(part).values())) if is_dataclass(part) else 0


def test_a_long_video_fits_into_memory_and_looks_alike(pictures):
    image = cv2.imread(str(pictures[0]))[..., ::-1].copy()
    (pose,) = PoseEstimator().estimate(image)
    kept = estimate.without_spare(pose)
    assert held(kept) < 0.35 * held(pose)
    before, after = (compose_picture(image, [p], view_of([p])).astype(int) for p in (pose, kept))
    assert abs(before - after).max() < 20  # at the edges of anchors
    assert abs(before - after).mean() < 0.01
    assert estimate._record(kept) == estimate._record(pose)


def test_names_may_hold_a_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "12:30.mp4", clip_frames(1))
    assert main.main(["estimate", "12:30.mp4", "--out", "12:31"]) == 0
    assert (tmp_path / "12:31" / "annotated.mp4").is_file()
    assert demo.count_frames("12:30.mp4") == 1


@pytest.mark.parametrize("name", ["missing.png", "missing.mp4"])
def test_estimate_names_an_unreadable_input(name, tmp_path, capsys):
    assert main.main(["estimate", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert name in told
    assert "Traceback" not in told


def test_nothing_that_is_read_is_overwritten(pictures, tmp_path, capsys):
    for picture in pictures:
        image = cv2.imread(str(picture))
        for folder in ("own", "other"):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f"{picture.stem}.jpg"), image)
    own, other = tmp_path / "own" / "first.jpg", tmp_path / "other" / "first.jpg"
    before = own.read_bytes()
    for inputs in ([own], [own, other]):
        assert main.main(["estimate", *map(str, inputs), "--out", str(tmp_path / "own")]) == 1
        assert "first.jpg" in capsys.readouterr().err
    assert own.read_bytes() == before
    video = tmp_path / "annotated.mp4"
    video.write_bytes(CLIP.read_bytes())
    for tool in ("estimate", "demo"):
        assert main.main([tool, str(video), "--out", str(tmp_path)]) == 1
        assert "annotated.mp4 would be overwritten" in capsys.readouterr().err
    picture = tmp_path / "00000.jpg"  # as the demo calls its own, which it deletes
    picture.write_bytes(before)
    assert main.main(["demo", str(picture), "--out", str(tmp_path)]) == 1
    assert picture.read_bytes() == before
    assert video.read_bytes() == CLIP.read_bytes()


def test_demo_summary_without_people_has_no_error_to_report():
    recording = Recording(
        [0, 10**8], [b"", b""], [Result(0, 3 * 10**7, []), Result(10**8, 2 * 10**8, [])]
    )
    summary = demo.summarise(recording, {"joints": np.zeros((2, 17, 3))})
    assert summary["skeletons"] == 0
    assert summary["mpjpe_mm"] is None
    assert summary["latency_ms"]["p50"] == 65.0


def test_demo_counts_and_measures_no_one_who_is_lost():
    joints = np.random.default_rng(0).normal(size=(17, 3))
    joints -= joints[0]
    seen = bare_pose(joints, joints[0])
    recording = Recording([0], [b""], [Result(0, 10, [seen, lost_pose(seen)])])
    summary = demo.summarise(recording, {"joints": joints[None]})
    assert summary["skeletons"] == 1
    assert summary["mpjpe_mm"] == 0


def test_demo_gives_no_error_when_frames_cannot_be_told_apart():
    recording = Recording([0], [b""], [Result(0, 10, [])])
    assert demo.measure_error(recording, np.zeros((2, 17, 3)))["mpjpe_mm"] is None


def test_demo_without_a_truth_knows_no_field_of_view_and_no_error():
    assert "field_of_view" not in demo.describe_camera(str(CLIP), None, 5.0)
    recording = Recording([0], [b""], [Result(0, 10, [])])
    assert "mpjpe_mm" not in demo.summarise(recording, None)


def test_demo_runs_real_nodes_and_writes_its_summary(tmp_path):
    # The first images of the clip, at half its speed; three processes over DDS. And apostrophes.
    video, out = tmp_path / "it's short.mp4", tmp_path / "o'ut"
    write_video(video, clip_frames(15))
    truth = np.load(CLIP.with_suffix(".npz"), allow_pickle=False)
    np.savez(video.with_suffix(".npz"), joints=truth["joints"][:15], K=truth["K"], fps=10.0)
    out.mkdir()
    old, photograph = (out / name for name in ("99990.jpg", "20240101_120000.jpg"))
    replaced = [out / name for name in ("recording.npz", "00000.jpg", "annotated.mp4")]
    for path in (old, photograph, *replaced):
        path.write_text("old")
    files = (video, "--truth", video.with_suffix(".npz"), "--out", out)
    done = run_tool("demo", *files, "--rate", "5")
    assert not old.exists()
    assert photograph.exists()
    assert done.returncode == 0, done.stderr
    assert all(path.read_bytes() != b"old" for path in replaced)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"] == 15
    assert 1 <= summary["skeletons"] <= 15
    recording = Recording.load(out / "recording.npz")
    # The node is idle then, so only a listener that came late can have missed it.
    assert recording.results[0].stamp_ns == recording.image_stamps_ns[0]
    assert summary["people"] >= 1
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p95"]
    assert 0 < summary["pa_mpjpe_mm"] <= summary["mpjpe_mm"] < 400
    assert (out / "annotated.mp4").stat().st_size > 0
