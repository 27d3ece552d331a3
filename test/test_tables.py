import json
from pathlib import Path

import numpy as np
import pytest
from clip_images import CLIP

from pandapose_ros.evaluation import plots
from pandapose_ros.evaluation.tables import draw_table, markdown, redraw
from pandapose_ros.tools import evaluate, main

ROOT = Path(__file__).parents[1]


def scores(error, samples=10):
    values = {"mpjpe_mm": error, "pa_mpjpe_mm": error / 2, "pck_150mm": 0.9, "auc_150mm": 0.5}
    return {"samples": samples, **values, "mean_over_actions": values}


def result(name, error, **config):
    joints = {joint: scores(error + i) for i, joint in enumerate(("pelvis", "head"))}
    return {
        "name": name,
        "config": {"depth_bins": 64, "depth_head": "bins", **config},
        "all": scores(error),
        "challenging": scores(error + 20, 4),
        "rest": {"samples": 0, "mean_over_actions": {}},
        "by_joint": joints,
        "by_action": {"sit": scores(error - 1)},
        "pck_curve": list(np.linspace(0, 0.9, 31)),
        "anchor_offsets_mm": {"all": 71.26} if config.get("anchors") == "both" else {},
        "noise": [{"noise_px": level, "mpjpe_mm": error + level} for level in (0, 1)],
    }


@pytest.fixture
def report():
    return {
        "command": "pandapose evaluate --dataset synthetic",
        "dataset": {"name": "synthetic test", "samples": 12, "found": 10},
        "results": [
            result("direct", 60.04, anchors="none", layers=2),
            result("full", 55.0, anchors="both", layers=2),
        ],
        "videos": [
            {
                "video": "squats.mp4",
                "frames": 65,
                "found": 64,
                "results": [
                    {
                        "name": "full",
                        "bone_length_cv": 0.0514,
                        "by_bone": {"left_knee": 0.0514},
                        "reprojection_share": None,
                        "reprojection_share_p95": None,
                        "flips": 0,
                        "leg_flips": 2,
                        "arm_flips": 1,
                    }
                ],
            }
        ],
    }


def test_ablations_stand_beside_the_papers_numbers(report):
    rows = draw_table("anchors", report)
    assert [row[0] for row in rows[1:]] == ["none", "both"]
    assert rows[1][1:] == ["60.0", "80.0", "30.0", "40.0", "-", "42.1", "81.9", "-"]
    assert rows[2][5:] == ["71.3", "39.8", "73.1", "69.7"]
    assert draw_table("depth_head", report)[1][0] == "64"
    report["results"].append(result("flat", 50.0, anchors="both", lifting="none", layers=2))
    assert [row[0] for row in draw_table("anchors", report)[1:]] == ["none", "both"]
    assert draw_table("layers", report)[1][6:8] == ["40.3", "75.6"]
    places = ("keypoints", "learned")
    report["results"] = [result(p, 60.0, anchors="none", joint_places=p) for p in places]
    rows = draw_table("anchors", report)[1:]
    assert [row[0] for row in rows] == ["none", "none, without 2D prior"]
    assert rows[0][1:] == rows[1][1:]


def test_arms_of_other_tables_are_left_out(report):
    whole = {"anchors": "both", "layers": 3}
    arms = [
        whole,
        {**whole, "depth_bins": 16},
        {**whole, "layers": 2},
        {**whole, "anchors": "none"},
    ]
    report["results"] = [result(str(i), 50.0 + i, **arm) for i, arm in enumerate(arms)]
    for kind, expected in (
        ("anchors", [["both", "50.0"], ["none", "53.0"]]),
        ("depth_head", [["64", "50.0"], ["16", "51.0"]]),
        ("layers", [["3", "50.0"], ["2", "52.0"]]),
    ):
        assert [row[:2] for row in draw_table(kind, report)[1:]] == expected


def test_tables_hold_what_was_measured(report):
    table = draw_table("scores", report)
    assert table[1] == ["direct, all", "10", "60.0", "30.0", "0.900", "0.500"]
    assert [row[0] for row in table[1:]] == [
        "direct, all",
        "full, all",
        "direct, challenging",
        "full, challenging",
    ]
    assert draw_table("joints", report)[2] == ["head", "61.0 / 30.5", "56.0 / 28.0"]
    assert [row[0] for row in draw_table("actions", report)] == ["action", "sit", "mean"]
    assert draw_table("noise", report)[2] == ["full", "55.0", "56.0"]
    assert draw_table("video", report)[1] == [
        "squats.mp4, full", "64/65", "5.1", "-", "0", "2", "1",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="unknown table 'other'"):
        draw_table("other", report)


def test_marked_tables_are_redrawn_and_the_rest_is_left(tmp_path, report):
    (tmp_path / "results").mkdir()
    path = tmp_path / "results" / "the a.json"
    path.write_text(json.dumps(report))
    page = tmp_path / "docs" / "PAGE.md"
    page.parent.mkdir()
    mark, end = "<!-- table: noise results/the a.json -->\n", "<!-- end of table -->\nafter\n"
    page.write_text(f"before\n{mark}old\n{end}")
    assert main.main(["tables", str(page), "--check"]) == 1
    assert "old" in page.read_text()
    assert main.main(["tables", str(page)]) == 0
    text = page.read_text()
    assert markdown(draw_table("noise", report)) in text
    assert "`pandapose evaluate --dataset synthetic`" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith(end)
    assert main.main(["tables", str(page), "--check"]) == 0
    assert redraw(text, page.parent) == text
    del report["results"]
    path.write_text(json.dumps(report))
    with pytest.raises(ValueError, match="no numbers for 'noise'"):
        redraw(text, page.parent)
    path.write_text("{broken")
    with pytest.raises(ValueError, match=r"results/the a\.json is no JSON"):
        redraw(text, page.parent)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no file results/the a\.json"):
        redraw(text, page.parent)


@pytest.mark.parametrize("mark", ["<!-- table: scores -->", "<!-- table: scores a.json-->"])
def test_no_mark_is_passed_over(tmp_path, mark):
    with pytest.raises(ValueError, match=f"KIND FILE -->', got '{mark}'"):
        redraw(f"{mark}\n<!-- end of table -->\n", tmp_path)


@pytest.mark.parametrize("after", ["", "<!-- table: scores b.json -->\n<!-- end of table -->\n"])
def test_a_mark_without_an_end_swallows_no_text(tmp_path, report, after):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(report))
    text = f"<!-- table: scores a.json -->\nold\n\ntext\n{after}"
    with pytest.raises(ValueError, match=r"no '<!-- end of table -->' after .*a\.json"):
        redraw(text, tmp_path)


def test_speed_tables_hold_what_was_measured():
    path = ROOT / "benchmark" / "results" / "cpu_xeon_2_cores.json"
    measured = json.loads(path.read_text())
    head, *rows = draw_table("speed", measured)
    assert len(rows) == len(measured["end_to_end"])
    assert rows[0][0] == "640x480, 1, 30 Hz"
    assert rows[0][head.index("p95 ms")] == f"{measured['end_to_end'][0]['latency']['p95']:.1f}"
    assert all(len(row) == len(head) for row in rows)
    # Written before messages were timed by themselves: nothing is made up.
    steps = measured["end_to_end"][0]["steps"]
    shown = [rows[0][head.index(f"{step} p50 ms")] for step in ("message", "publish")]
    assert shown == ["-", f"{steps['publish']['p50']:.1f}"]
    steps["message"] = {"p50": 0.25, "p95": 0.5}
    measured["end_to_end"][0]["people"] = 0.9
    row = draw_table("speed", measured)[1]
    assert row[head.index("message p50 ms")] == "0.2"
    assert row[0] == "640x480, 1 (0.9 seen), 30 Hz"
    stages = draw_table("stages", measured)
    assert len(stages) == 1 + len(measured["frames"]) + len(measured["mediapipe"])
    assert len({len(row) for row in stages}) == 1
    assert [row[0] for row in draw_table("networks", measured)][1:] == ["1", "2", "5", "10", "16"]
    assert draw_table("anchor_cost", measured)[0][3] == "200"
    assert draw_table("machine", measured)[2][1].startswith(
        str(measured["machine"]["load_before"])
    )


@pytest.mark.parametrize(
    "page", ["README.md", "docs/performance.md", "pandapose_ros/weights/MODEL_CARD.md"]
)
def test_published_tables_are_those_of_the_results(page):
    assert main.main(["tables", str(ROOT / page), "--check"]) == 0


def test_plots_show_all_networks(tmp_path, report):
    pytest.importorskip("matplotlib")
    written = plots.draw_plots(report, tmp_path)
    assert [path.stem for path in written] == ["pck", "joints", "subsets", "noise", "bones"]
    for path in written:
        image = plots_pixels(path)
        assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20
    one = report | {"results": report["results"][:1], "videos": []}
    plots.draw_plots(one, tmp_path / "one")
    assert not (tmp_path / "one" / "bones.png").exists()
    assert (plots_pixels(tmp_path / "one" / "pck.png") != plots_pixels(written[0])).any()


def plots_pixels(path):
    import cv2

    return cv2.imread(str(path))


def test_a_clip_and_a_video_are_scored_from_the_command_line(tmp_path, capsys):
    out = tmp_path / "clip.json"
    arguments = ["evaluate", "--dataset", "clip", "--data", str(CLIP), "--every", "60"]
    options = ["--noise", "5", "--flip-test", "--threads", "1"]
    subset = tmp_path / "subset.json"
    first = [*options, "--challenging-threshold", "1", "--challenging-out", str(subset)]
    assert main.main([*arguments, *first, "--out", str(out)]) == 0
    record = json.loads(out.read_text())
    assert record["dataset"] == {"name": "clip walk.mp4, every 60", "samples": 3, "found": 3}
    assert record["flip_test"] is True
    net, blazepose = record["results"]
    assert (net["name"], blazepose["name"]) == ("default", "blazepose_world")
    assert 20 < net["all"]["mpjpe_mm"] < 120
    assert net["challenging"]["samples"] == 3
    assert net["noise"][1]["noise_px"] == 5
    assert "walk.mp4, every 60: found 3 of 3 people" in capsys.readouterr().out
    again = [*arguments, "--challenging-in", str(subset), "--out", str(out)]
    assert main.main(again) == 0
    plain = json.loads(out.read_text())
    assert plain["results"][0]["challenging"]["samples"] == 3
    assert plain["results"][0]["all"] != net["all"]
    assert plain["challenging"]["threshold"] == 1
    assert str(subset) in plain["command"]


def test_several_crops_are_scored_from_the_command_line(tmp_path):
    scores = []
    for crops in ("1", "4"):
        out = tmp_path / f"{crops}.json"
        arguments = ["evaluate", "--dataset", "clip", "--data", str(CLIP), "--every", "20"]
        options = ["--crops-per-person", crops, "--threads", "1", "--out", str(out)]
        assert main.main([*arguments, *options]) == 0
        record = json.loads(out.read_text())
        assert ("--crops-per-person" in record["command"]) == (crops != "1")
        assert record["dataset"]["found"] == 7
        scores.append([result["all"]["mpjpe_mm"] for result in record["results"]])
    (net, blazepose), (net_of_4, blazepose_of_4) = scores
    assert net_of_4 < net
    assert blazepose_of_4 < blazepose


@pytest.mark.parametrize(
    "options",
    [
        ["--flip-test"],
        ["--noise"],
        ["--cache", "x"],
        ["--video", "x.mp4"],
        ["--keypoints", "true"],
    ],
)
def test_options_for_one_crop_are_refused_with_several(options, capsys):
    data = ["--dataset", "clip", "--data", str(CLIP), "--out", "x.json"]
    assert main.main(["evaluate", *data, "--crops-per-person", "2", *options]) == 1
    error = capsys.readouterr().err
    assert f"--crops-per-person is not for {options[0]}" in error


def test_evaluating_nothing_is_refused(capsys):
    assert main.main(["evaluate", "--out", "x.json"]) == 1
    assert "give --dataset with --data, or --video" in capsys.readouterr().err
    assert main.main(["evaluate", "--out", "x.json", "--data", "somewhere"]) == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--challenging-in", "missing.json", "--out", "x.json"], "no subset missing.json"),
        (["--out", "."], ". is a folder; give the name of a file to write"),
        (["--challenging-out", ".", "--out", "x.json"], ". is a folder"),
        (["--out", "/proc/x.json"], "/proc/x.json"),  # where nobody can write
    ],
)
def test_what_cannot_be_read_or_written_is_told_before_the_work(
    options, text, monkeypatch, capsys
):
    def compare(*_arguments, **_options):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(evaluate, "compare", compare)
    assert main.main(["evaluate", "--dataset", "clip", "--data", str(CLIP), *options]) == 1
    assert text in capsys.readouterr().err
