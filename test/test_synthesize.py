import argparse
import io

import cv2
import numpy as np
import pytest
import torch
from synthetic_people import RIG, made_up_body

from pandapose_ros.data.motion_files import motion_files
from pandapose_ros.data.pose_sampler import Family
from pandapose_ros.data.rendered_images import read_names
from pandapose_ros.synthetic.body import save_bodies
from pandapose_ros.synthetic.rig import gather, rest_joints
from pandapose_ros.tools import synthesize
from pandapose_ros.tools.main import main


def synthesize_arguments(folder, *more):
    parser = argparse.ArgumentParser()
    synthesize.add_arguments(parser)
    paths = [str(folder / "bodies.safetensors"), str(folder / "motion.npz")]
    common = ["--out", str(folder / "out"), "--count", "6", "--chunk", "4", "--size", "64"]
    return parser.parse_args([*paths, *common, *more])


def test_synthesize_writes_chunks_of_its_half_and_resumes(tmp_path):
    bodies = [made_up_body(), made_up_body(), made_up_body(held_out=True)]
    save_bodies(tmp_path / "bodies.safetensors", RIG, bodies)
    rest = rest_joints(RIG, gather(bodies[:1], torch.device("cpu")))[0].numpy()
    y_up = np.stack((rest[:, 0], rest[:, 2], -rest[:, 1]), axis=-1)
    np.savez(tmp_path / "motion.npz", a_1=y_up[None], a_2=y_up[None], b=y_up[None])
    assert synthesize.run(synthesize_arguments(tmp_path)) == 0
    chunks = sorted((tmp_path / "out").glob("*.npz"))
    assert [path.name for path in chunks] == ["chunk_0000.npz", "chunk_0001.npz"]
    with np.load(chunks[1], allow_pickle=False) as chunk:
        assert chunk["joints"].shape == (2, 17, 3)
        assert chunk["K"].shape == (2, 3, 3)
        assert set(chunk["body"]) <= {0, 1}
        assert set(chunk["clip"]) <= {"a_1", "b"}
        assert set(chunk["family"]) <= set(Family)
        start, end = chunk["offsets"][1:3]
        image = cv2.imdecode(chunk["jpeg"][start:end], cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape == (64, 64, 3)
        first = chunk["jpeg"]
    chunks[1].unlink()
    untouched = chunks[0].stat().st_mtime_ns
    assert synthesize.run(synthesize_arguments(tmp_path)) == 0
    assert chunks[0].stat().st_mtime_ns == untouched
    with np.load(chunks[1], allow_pickle=False) as chunk:
        np.testing.assert_array_equal(chunk["jpeg"], first)
    crowded = synthesize_arguments(tmp_path, "--bystanders", "1", "--batch", "4")
    crowded.out = tmp_path / "crowded"
    assert synthesize.run(crowded) == 0
    with np.load(crowded.out / "chunk_0001.npz", allow_pickle=False) as chunk:
        assert chunk["joints"].shape == (2, 17, 3)
        assert not np.array_equal(chunk["jpeg"], first)
    other = synthesize_arguments(tmp_path, "--test")
    other.out = tmp_path / "test"
    assert synthesize.run(other) == 0
    with np.load(tmp_path / "test" / "chunk_0000.npz", allow_pickle=False) as chunk:
        assert set(chunk["body"]) == {2}
        assert set(chunk["clip"]) == {"a_2"}


def test_images_of_another_kind_are_not_mixed_in(tmp_path):
    save_bodies(tmp_path / "bodies.safetensors", RIG, [made_up_body(), made_up_body()])
    np.savez(tmp_path / "motion.npz", a=np.zeros((1, 17, 3)), a_1=np.zeros((1, 17, 3)))
    bodies = (tmp_path / "bodies.safetensors").read_bytes()
    modes = [(tmp_path / name).stat().st_mode for name in ("bodies.safetensors", "motion.npz")]
    assert modes[0] == modes[1]  # others can read them
    assert synthesize.run(synthesize_arguments(tmp_path, "--count", "0")) == 0
    with pytest.raises(ValueError, match=r"out was rendered with other options \(seed;"):
        synthesize.run(synthesize_arguments(tmp_path, "--seed", "1", "--count", "0"))
    save_bodies(tmp_path / "bodies.safetensors", RIG, [made_up_body()])
    with pytest.raises(ValueError, match=r"\(bodies_sha256;"):
        synthesize.run(synthesize_arguments(tmp_path, "--count", "0"))
    (tmp_path / "bodies.safetensors").write_bytes(bodies)
    np.savez(tmp_path / "motion.npz", a=np.ones((1, 17, 3)), a_1=np.zeros((1, 17, 3)))
    with pytest.raises(ValueError, match=r"\(motion_sha256;"):
        synthesize.run(synthesize_arguments(tmp_path, "--count", "0"))


def test_pictures_are_part_of_what_was_asked(tmp_path):
    save_bodies(tmp_path / "bodies.safetensors", RIG, [made_up_body()])
    rest = rest_joints(RIG, gather([made_up_body()], torch.device("cpu")))[0].numpy()
    np.savez(tmp_path / "motion.npz", a=np.stack((rest[:, 0], rest[:, 2], -rest[:, 1]), -1)[None])
    (tmp_path / "pictures").mkdir()
    asked = ["--pictures", str(tmp_path / "pictures")]
    with pytest.raises(FileNotFoundError, match="no pictures"):
        synthesize.run(synthesize_arguments(tmp_path, *asked))
    assert not (tmp_path / "out").exists()
    noise = np.random.default_rng(0).integers(0, 256, (2, 90, 90, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), noise[0])
    assert synthesize.run(synthesize_arguments(tmp_path, *asked)) == 0
    with pytest.raises(ValueError, match=r"\(pictures_sha256;"):
        synthesize.run(synthesize_arguments(tmp_path))
    cv2.imwrite(str(tmp_path / "pictures" / "b.png"), noise[1])
    with pytest.raises(ValueError, match=r"\(pictures_sha256;"):
        synthesize.run(synthesize_arguments(tmp_path, *asked))


def test_a_longer_run_fills_up_the_last_chunk_of_a_shorter_one(tmp_path):
    save_bodies(tmp_path / "bodies.safetensors", RIG, [made_up_body()])
    rest = rest_joints(RIG, gather([made_up_body()], torch.device("cpu")))[0].numpy()
    np.savez(tmp_path / "motion.npz", a=np.stack((rest[:, 0], rest[:, 2], -rest[:, 1]), -1)[None])
    for count, sizes in ((6, [4, 2]), (9, [4, 4, 1]), (6, [4, 4, 1])):
        assert synthesize.run(synthesize_arguments(tmp_path, "--count", str(count))) == 0
        chunks = [read_names(path) for path in sorted((tmp_path / "out").glob("*.npz"))]
        assert [len(chunk.actions) for chunk in chunks] == sizes
    first, second, _ = sorted((tmp_path / "out").glob("*.npz"))
    whole = second.read_bytes()
    for content in (b"", whole[: len(whole) // 2]):  # cut off, as by a power failure
        second.write_bytes(content)
        assert synthesize.run(synthesize_arguments(tmp_path, "--count", "9")) == 0
        assert np.array_equal(
            *(np.load(io.BytesIO(b))["jpeg"] for b in (whole, second.read_bytes()))
        )
    assert first.stat().st_mtime_ns < second.stat().st_mtime_ns


def test_all_files_of_motion_count(tmp_path):
    (tmp_path / "clips" / "more").mkdir(parents=True)
    for name in ("01.asf", "01_02.AMC", "more/03.bvh", "README"):
        (tmp_path / "clips" / name).touch()
    listed = motion_files(tmp_path / "clips")
    names = [str(path.relative_to(tmp_path / "clips")) for path in listed]
    assert names == ["01.asf", "01_02.AMC", "more/03.bvh"]
    assert motion_files(listed[1]) == [listed[1], listed[0]]
    assert motion_files(listed[2]) == [listed[2]]


def test_synthesize_needs_bodies_of_its_half(tmp_path):
    save_bodies(tmp_path / "bodies.safetensors", RIG, [made_up_body()])
    np.savez(tmp_path / "motion.npz", a=np.zeros((1, 17, 3)), a_1=np.zeros((1, 17, 3)))
    with pytest.raises(ValueError, match="expected bodies held out, got none among 1"):
        synthesize.run(synthesize_arguments(tmp_path, "--test"))


@pytest.mark.parametrize("option", ["--size=0", "--chunk=0", "--batch=0", "--bystanders=30"])
def test_options_out_of_their_bounds_are_named_before_anything_is_written(tmp_path, option):
    with pytest.raises(ValueError, match=option.split("=")[0]):
        synthesize.run(synthesize_arguments(tmp_path, option))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("body", ["1", "-1"])
def test_a_body_that_the_file_lacks_is_named(tmp_path, capsys, body):
    save_bodies(tmp_path / "bodies.safetensors", RIG, [made_up_body()])
    words = ["render-demo", str(tmp_path / "bodies.safetensors"), "--body", body]
    assert main([*words, "--out", str(tmp_path)]) == 1
    assert f"render-demo: no body {body} of 1 in" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_named_before_anything_is_written(tmp_path):
    save_bodies(tmp_path / "bodies.safetensors", RIG, [made_up_body()])
    np.savez(tmp_path / "motion.npz", a=np.zeros((1, 17, 3)))
    with pytest.raises(ValueError, match="device 'cuda:99' not found"):
        synthesize.run(synthesize_arguments(tmp_path, "--device", "cuda:99"))
    assert not (tmp_path / "out").exists()
