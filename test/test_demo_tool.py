"""What `pandapose demo` makes of its arguments, before and while it runs."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from clip_images import clip_frames, write_video

from pandapose_ros.tools import main
from pandapose_ros.tools.processes import node_command, node_environment


@pytest.fixture
def short(tmp_path):
    """Five images of the clip, in a file whose name has an apostrophe."""
    path = tmp_path / "it's short.mp4"
    write_video(path, clip_frames(5))
    return path


@pytest.fixture
def old(tmp_path):
    """Results of an earlier run."""
    out = tmp_path / "o'ut"
    out.mkdir()
    files = [out / name for name in ("recording.npz", "00000.jpg", "annotated.mp4")]
    for file in files:
        file.write_text("old")
    return files


def run(*arguments):
    return main.main(["demo", *map(str, arguments)])


@pytest.mark.parametrize("text", ["it's", "''", "plain", "0", "a: b # c"])
def test_a_node_reads_any_text(text):
    argument = node_command("viewer", "", {"source": text}, {})[-1]
    assert yaml.safe_load(argument.removeprefix("source:=")) == text


def test_nothing_is_removed_for_a_video_that_is_not_there(old, tmp_path, capsys):
    assert run(tmp_path / "none.mp4", "--out", old[0].parent) == 1
    assert "none.mp4: not a video, or not there" in capsys.readouterr().err
    assert [file.read_text() for file in old] == ["old"] * 3


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"joints": np.zeros((5, 17, 3))}, "is no truth of a clip: expected a .npz with joints"),
        ({"joints": np.zeros((5, 17)), "K": np.eye(3)}, "shapes [5, 17] and [3, 3]: expected"),
        ({"joints": np.zeros((4, 17, 3)), "K": np.eye(3)}, "of 4 images, but it has 5"),
        (None, "is no truth of a clip: expected a .npz with joints"),
    ],
)
def test_a_truth_of_another_kind_is_told_before_the_work(short, old, capsys, arrays, reason):
    truth = short.with_name("truth.npz")
    truth.write_text("no arrays")
    if arrays is not None:
        np.savez(truth, **arrays)
    assert run(short, "--truth", truth, "--out", old[0].parent) == 1
    assert re.search(re.escape(reason), capsys.readouterr().err)
    assert [file.read_text() for file in old] == ["old"] * 3


def test_a_place_that_cannot_be_written_is_told_before_the_work(short, capsys):
    assert run(short, "--out", "/proc") == 1  # which takes no files from anybody
    assert "'/proc/recording.npz'" in capsys.readouterr().err


def test_nodes_have_enough_shared_memory_for_images_unless_told_otherwise(monkeypatch):
    names = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    (profile,) = {node_environment()[name] for name in names}
    size = ElementTree.parse(profile).find(".//{*}segment_size")
    assert size is not None
    assert int(size.text or 0) > 4 * 1920 * 1080 * 3
    monkeypatch.setenv(names[1], "/etc/mine.xml")
    assert [node_environment()[name] for name in names] == ["/etc/mine.xml"] * 2
