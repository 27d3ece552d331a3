import argparse
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.evaluation import speed
from pandapose_ros.evaluation.network_speed import measure_networks
from pandapose_ros.evaluation.speed import crowd, group, measure_frames
from pandapose_ros.evaluation.tables import draw_table
from pandapose_ros.timings import summarise
from pandapose_ros.tools import benchmark, main


@pytest.fixture(scope="module")
def estimator():
    return PoseEstimator(EstimatorConfig(device="cpu", threads=1, runtime="onnxruntime"))


def test_series_is_told_in_the_words_of_ros2_benchmark():
    told = summarise([10.0, 20.0, 30.0, 100.0])
    assert (told["mean"], told["min"], told["max"], told["p50"]) == (40, 10, 100, 25)
    assert told["jitter"] == pytest.approx(np.std([10, 20, 30, 100]), abs=1e-3)
    assert told["repeats"] == 4
    assert summarise([]) == {"repeats": 0}


@pytest.mark.parametrize(("people", "width", "height"), [(1, 640, 480), (5, 640, 480)])
def test_crowd_shows_everybody_unstretched(walker, people, width, height):
    image = crowd(walker, people, width, height)
    assert image.shape == (height, width, 3)
    cell = width // people
    part = image[:, :cell]
    for number in range(1, people):
        np.testing.assert_array_equal(image[:, number * cell : (number + 1) * cell], part)
    # The middle column of the clip's image is the middle of every cell.
    middle = cv2.resize(walker, (round(walker.shape[1] * height / walker.shape[0]), height))
    shown = middle[:, (middle.shape[1] - cell) // 2 :][:, :cell].astype(float)
    assert np.abs(shown - part).mean() < 8


@pytest.mark.parametrize("size", ["640x480", "1280x720"])
def test_everybody_in_the_benchmarks_crowd_is_found(estimator, size):
    images = benchmark.crowds(benchmark.clip_images()[:3], 5, size)
    shown = [image[..., ::-1] for image in images]
    told = measure_frames(estimator, shown, 5, repeats=3, warm_up=1, seconds=60.0)
    assert told["people"] == 5


# In a wide image, where nobody is as large in the detector's square input, a look finds fewer.
@pytest.mark.parametrize(("size", "least"), [("640x480", 10), ("1280x720", 8)])
def test_ten_people_are_found_one_look_after_another_and_kept(estimator, size, least, monkeypatch):
    monkeypatch.setattr(speed, "_PATIENCE", 40)
    images = benchmark.crowds(benchmark.clip_images(), 10, size)
    shown = [image[..., ::-1] for image in images]
    estimator.update(replace(estimator.config, max_people=10, detection_interval=1))
    told = measure_frames(estimator, shown, 10, repeats=3, warm_up=2, seconds=600.0)
    assert least <= told["people"] <= 10


def test_a_group_stands_in_two_rows_unstretched(walker):
    height, width = walker.shape[:2]
    image = group(walker, 10, width, height, (width // 2, 0, height))
    tall = width // 2
    assert image.shape == walker.shape
    cell = image[:tall, : width // 6]
    for number in range(1, 6):
        part = image[:tall, number * (width // 6) : (number + 1) * (width // 6)]
        np.testing.assert_array_equal(part, cell)
    small = cv2.resize(walker, None, fx=tall / height, fy=tall / height)
    left = (small.shape[1] - width // 6) // 2
    assert np.abs(small[:, left : left + width // 6].astype(float) - cell).mean() < 8
    in_front = image[tall:, : width // 4]
    left = (small.shape[1] - width // 4) // 2
    expected = small[: height - tall, left : left + width // 4].astype(float)
    assert np.abs(expected - in_front).mean() < 8


def test_one_command_measures_one_five_and_ten_people():
    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    args = parser.parse_args(["--out", "result.json"])
    assert args.people == [1, 5, 10]
    assert benchmark._settings(args)["max_people"] == 10


@pytest.mark.parametrize(
    "arguments",
    [("--sizes", "640"), ("--sizes", "0x480"), ("--people", "0"), ("--batches", "0"),
     ("--frame-sizes", "axb"), ("--repeats", "-1"), ("--paper-batches", "two")],
)  # fmt: skip
def test_arguments_that_cannot_be_measured_are_refused(arguments, capsys):
    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--out", "result.json", *arguments])
    assert (
        f"expected a {'size' if 'sizes' in arguments[0] else 'whole'}" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--out", "."), ". is a folder; give the name of a file to write"),
        (("--out", "result.json", "--mediapipe", "none/python"), "none/python is no program"),
    ],
)
def test_what_would_fail_in_the_end_is_said_before_the_work(
    arguments, told, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main.main(["benchmark", *arguments]) == 1
    assert re.fullmatch(f"pandapose benchmark: [^\n]*{told}[^\n]*\n", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_fast_runtime_is_not_slower_than_eager(estimator):
    told = measure_networks(estimator, people=1, repeats=5, seconds=60.0)
    ours = told["runtime_landmarks"]["min"] + told["runtime_lifter"]["min"]
    eager = told["eager_landmarks"]["min"] + told["eager_lifter"]["min"]
    assert ours < 1.05 * eager


def test_benchmark_measures_stages_and_the_way_through_dds(tmp_path):
    out = tmp_path / "result.json"
    options = "--people 1 --sizes 640x480 --frame-sizes --batches 1 --local-anchors 2 16"
    options += " --paper-batches"
    few = "--repeats 4 --seconds 3 --threads 1"
    assert main.main(["benchmark", "--out", str(out), *options.split(), *few.split()]) == 0
    result = json.loads(out.read_text())
    (frames,) = result["frames"]
    stages = sum(frames[stage]["mean"] for stage in ("landmarks", "lifter", "place_and_track"))
    assert frames["people"] == 1
    assert stages == pytest.approx(frames["frame"]["mean"], rel=0.01)
    assert result["networks"][0]["memory_mb"]["rss_peak"] > 100
    assert [case["anchors"] for case in result["anchors"]] == [17 * 2 + 16, 17 * 16 + 16]
    assert [case["input_hz"] for case in result["end_to_end"]] == [30, "saturation"]
    for case in result["end_to_end"]:
        assert case["people"] == 1
        assert case["latency"]["repeats"] >= 3
        assert case["missed_frames"] < case["sent"]
        assert case["cpu_cores"] > 0
        assert 100 < case["rss_mb"] < 1200
    # One image at a time: from end to end there is all of the node's work, and little else.
    case = result["end_to_end"][1]
    assert case["missed_frames"] == 0
    steps = ("decode", "estimate", "message", "publish")
    assert all(0 < case["steps"][step]["p50"] <= case["steps"][step]["p95"] for step in steps)
    work = sum(case["steps"][step]["p50"] for step in steps)
    assert 0.5 * work < case["latency"]["p50"] < 3 * work


def test_benchmark_measures_one_pass_and_the_papers_network_without_ros(tmp_path):
    # As on a GPU, but for the graphs and fp16, which takes a CPU seconds an image; a process that
    # cannot import rclpy.
    (tmp_path / "rclpy.py").write_text("raise ImportError('there is no ROS')")
    out = tmp_path / "result.json"
    options = (
        "--no-ros --device cpu --runtime one_pass --precision fp32 --people 1 --sizes 320x240"
    )
    few = "--frame-sizes --batches 3 --local-anchors --repeats 1 --seconds 1 --threads 1"
    command = ["-m", "pandapose_ros.tools.main", "benchmark", "--out", str(out)]
    paths = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[1])))
    subprocess.run(
        [sys.executable, *command, *options.split(), *few.split()],
        env={**os.environ, "PYTHONPATH": paths},
        check=True,
    )
    result = json.loads(out.read_text())
    assert result["runtime"] == "one_pass"
    assert result["end_to_end"] == []
    assert set(result["precision"]) == {"name", "graphs", "people", "error_mm"}
    assert result["precision"]["name"] == "fp32"
    assert result["precision"]["people"] >= 15  # in 17 images
    assert 0 <= result["precision"]["error_mm"] < 0.1
    (frames,), (networks,), (paper,) = (result[kind] for kind in ("frames", "networks", "paper"))
    stages = frames["one_pass"]["mean"] + frames["place_and_track"]["mean"]
    assert stages == pytest.approx(frames["frame"]["mean"], rel=0.01)
    assert networks["people_per_s"] == pytest.approx(
        3e3 / networks["runtime_both"]["p50"], rel=0.1
    )
    assert paper["people_per_s"]["runtime"] > 0 and paper["eager"]["repeats"] == 1
    assert draw_table("one_pass", result)[1][0] == "3"
    assert draw_table("paper", result)[1][1] == "fp32"
    assert draw_table("stages", result)[0][-2:] == ["one_pass p50 ms", "place_and_track p50 ms"]
