"""What `pandapose estimate` leaves where something cannot be read or written."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from clip_images import CLIP, clip_frames, write_video

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.tools import main, pictures


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "person.png"
    cv2.imwrite(str(path), clip_frames(1)[0][..., ::-1])
    return path


def run(*arguments):
    return main.main(["estimate", *map(str, arguments)])


def test_a_missing_picture_is_told_before_the_work(picture, tmp_path, capsys):
    assert run(picture, tmp_path / "none.png", "--out", tmp_path / "out") == 1
    assert "none.png" in capsys.readouterr().err
    assert run(picture.parent, "--out", tmp_path / "out") == 1
    assert "is a folder: name the pictures" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_told_before_the_work(picture, tmp_path, capsys):
    (tmp_path / "poses.json").mkdir()
    assert run(picture, "--out", tmp_path) == 1
    told = capsys.readouterr().err
    assert "poses.json is a folder; give the name of a file to write" in told
    assert "frame/s" not in told


def test_several_videos_are_not_taken_for_pictures(picture, tmp_path, capsys):
    for other in (CLIP, picture):
        assert run(CLIP, other, "--out", tmp_path / "out") == 1
        assert "walk.mp4 is a video: estimate it by itself" in capsys.readouterr().err


def test_an_unreadable_picture_does_not_cost_the_others(picture, tmp_path, capsys):
    broken, last = tmp_path / "broken.png", tmp_path / "last.png"
    broken.write_bytes(b"no picture")
    last.write_bytes(picture.read_bytes())
    assert run(picture, broken, last, "--out", tmp_path / "out") == 1
    told = capsys.readouterr()
    assert "2 frames, 2 skeletons" in told.out
    assert f"1 pictures cannot be read: {broken}" in told.err
    records = json.loads((tmp_path / "out" / "poses.json").read_text())
    assert [record["frame"] for record in records] == ["person", "last"]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"poses.json", "person.jpg", "last.jpg"}


def test_poses_are_there_though_the_picture_cannot_be_written(picture, tmp_path, capsys):
    (tmp_path / "person.jpg").mkdir()
    assert run(picture, "--out", tmp_path) == 1
    told = capsys.readouterr()
    assert f"cannot write {tmp_path / 'person.jpg'}" in told.err
    assert "written to" not in told.out
    (record,) = json.loads((tmp_path / "poses.json").read_text())
    assert len(record["people"]) == 1


def test_pictures_of_a_longer_video_do_not_stay(picture, tmp_path):
    out, names = tmp_path / "out", []
    others = ("00007.jpg", "00990.jpg", "notes.jpg")  # which no run has written
    for count in (21, 11, 1):
        video = tmp_path / f"{count}.avi"
        write_video(video, [np.zeros((48, 64, 3), np.uint8)] * count)
        assert run(video, "--out", out) == 0
        names.append(sorted(path.name for path in out.glob("*.jpg")))
        for other in others:
            (out / other).write_bytes(b"of somebody else")
    assert names[0] == ["00000.jpg", "00010.jpg", "00020.jpg"]
    assert names[1] == sorted(["00000.jpg", "00010.jpg", *others])
    assert names[2] == sorted(["00000.jpg", *others])
    assert run(picture, "--out", out) == 0  # pictures are collected
    assert sorted(path.name for path in out.glob("*.jpg")) == [*names[2], "person.jpg"]
    assert run(video, "--out", out) == 0
    assert sorted(path.name for path in out.glob("*.jpg")) == [*names[2], "person.jpg"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b'  "frame": "00000",\n  "frame": "2",'])
def test_what_is_no_result_of_a_video_names_no_pictures(tmp_path, content):
    (tmp_path / "poses.json").write_bytes(content)
    assert pictures.pictures_of_video(tmp_path / "poses.json") == set()
    assert pictures.pictures_of_video(tmp_path) == set()


def test_an_interrupted_video_leaves_the_poses_of_its_first_frames(tmp_path):
    command = [sys.executable, "-m", "pandapose_ros.tools.main", "estimate", str(CLIP)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        [*command, "--out", str(tmp_path)], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        begun = ""
        while not re.search(r" [1-9]\d*frame", begun):
            assert process.poll() is None
            begun += process.stderr.read(1)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    records = json.loads((tmp_path / "poses.json").read_text())
    assert f"has {len(records)} frames" in told
    assert 1 <= len(records) < 140
    assert all(len(record["people"]) == 1 for record in records)


def test_a_video_that_was_cut_off_is_told(tmp_path, capsys):
    video = tmp_path / "download.avi"
    write_video(video, clip_frames(12))
    for told in ("", rf"{video} could be read up to 0\.\d of 1\.2 s: is it damaged\?\n"):
        assert run(video, "--out", tmp_path / "out") == 0
        assert re.search(rf"/s\]\n{told}$", capsys.readouterr().err)
        video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])


def test_a_video_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "annotated.mp4").mkdir()
    frames = [("0", np.zeros((48, 64, 3), np.uint8))]
    with pytest.raises(OSError, match=r"cannot write .*annotated.mp4 of 128x48 pixels"):
        pictures.write_pictures(iter(frames), [[]], tmp_path, 10.0)


def test_a_rate_that_the_codec_cannot_have_is_rounded(tmp_path):
    frames = [(f"{number}", np.zeros((48, 64, 3), np.uint8)) for number in range(3)]
    pictures.write_pictures(iter(frames), [[]] * 3, tmp_path, 119.8812)
    drawn = cv2.VideoCapture(str(tmp_path / "annotated.mp4"))
    assert drawn.get(cv2.CAP_PROP_FPS) == pytest.approx(119.88, abs=0.1)


def test_a_full_disk_is_an_error(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], check=False
    ).returncode:
        pytest.skip("only root may mount a small disk")
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    try:
        with pytest.raises(OSError, match=r"00.jpg: No space left"):
            pictures.write_pictures(iter([("00", noise)]), [[]], disk, None)
        assert not list(disk.iterdir())
        frames = [("00", np.zeros((48, 64, 3), np.uint8))]
        frames += [(f"{i}", noise[:48, :64]) for i in range(1, 100) if i % 10]
        frames = [(name, cv2.resize(image, (640, 480))) for name, image in frames]
        with pytest.raises(OSError, match=r"annotated.mp4 lacks frames|cannot write"):
            pictures.write_pictures(iter(frames), [[]] * len(frames), disk, 10.0)
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("rate", "name", "widest"), [(10.0, "annotated.mp4", 8190), (None, "0.jpg", 65500)]
)
def test_what_is_too_wide_for_the_codec_is_shrunk(tmp_path, rate, name, widest):
    image = np.full((100, widest // 2 + 500, 3), 90, np.uint8)
    pictures.write_pictures(iter([("0", image)]), [[]], tmp_path, rate)
    seen = (
        cv2.VideoCapture(str(tmp_path / name)).read()[1]
        if rate
        else cv2.imread(str(tmp_path / name))
    )
    assert seen is not None
    assert seen.shape[1] == widest


def test_several_crops_are_the_estimators(picture, tmp_path):
    image = clip_frames(1)[0]
    estimator = PoseEstimator(EstimatorConfig(tracking=False, detection_tiles=100))
    (other,) = estimator.estimate(image)
    for crops, options in ((8, ()), (3, ("--crops-per-person", 3))):
        out = tmp_path / str(crops)
        assert run(picture, "--out", out, *options) == 0
        ((record,),) = [frame["people"] for frame in json.loads((out / "poses.json").read_text())]
        estimator.update(replace(estimator.config, crops_per_person=crops))
        (pose,) = estimator.estimate(image)
        np.testing.assert_allclose(record["joints"], pose.joints, atol=1e-3)
        assert np.abs(np.array(record["joints"]) - other.joints).max() > 2e-3
