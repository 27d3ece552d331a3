from pathlib import Path

import cv2
import numpy as np
import pytest
from clip_images import write_video

from pandapose_ros.data.dataset import read_image, rendered_clips, synthetic_images
from pandapose_ros.data.rendered_images import read_chunk

K = np.array(((40.0, 0, 15.5), (0, 40, 11.5), (0, 0, 1)))


def write_chunk(folder, number, grey, **told):
    jpeg = cv2.imencode(".jpg", np.full((24, 32, 3), grey, np.uint8))[1]
    joints = np.random.default_rng(number).normal(0, 0.3, (2, 17, 3)) + np.array((0, 0, 3))
    folder.mkdir(exist_ok=True)
    np.savez(
        folder / f"chunk_{number:04d}.npz",
        jpeg=np.concatenate((jpeg, jpeg)),
        offsets=(0, len(jpeg), 2 * len(jpeg)),
        joints=joints,
        K=np.stack((K, K)),
        **told,
    )
    return joints


def test_rendered_people_are_told_apart_by_family_and_body(tmp_path):
    first = write_chunk(tmp_path / "a", 0, 50, body=[3, 4], clip=["walk_01", "jump_2"])
    second = write_chunk(tmp_path / "b", 0, 90, body=[3, 3], clip=["x", "y"], family=[3, 6])
    write_chunk(tmp_path / "b", 1, 90)
    dataset = synthetic_images([tmp_path / "a", tmp_path / "b"])
    assert dataset.name == "synthetic a b"
    assert dataset.actions == ("walk", "jump", "sitting", "lying", "unknown", "unknown")
    assert dataset.subjects[:3] == ("body 3", "body 4", "body 3")
    assert len(dataset.files) == 3
    for _ in range(2):  # may be read again
        samples = list(dataset.read())
        assert len(samples) == len(dataset) == 6
        np.testing.assert_array_equal(samples[1].joints, first[1])
        np.testing.assert_array_equal(samples[2].joints, second[0])
        assert [read_image(s).mean().round() for s in samples[1:3]] == [50, 90]
        joint = samples[2].joints[5]
        expected = joint[:2] / joint[2] * 40 + K[:2, 2]
        np.testing.assert_allclose(samples[2].true_keypoints[5], expected)


@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_files_that_were_cut_off_are_named(tmp_path, kept):
    folder, clip = tmp_path / "images", tmp_path / "walk.mp4"
    write_chunk(folder, 0, 50, body=[3, 4])
    chunk = folder / "chunk_0000.npz"
    content = chunk.read_bytes()
    chunk.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r"chunk_0000\.npz is not an npz file of plain arrays"):
        synthetic_images([folder])
    with pytest.raises(ValueError, match=r"chunk_0000\.npz is not an npz file of plain arrays"):
        next(read_chunk(chunk))
    chunk.rename(clip.with_suffix(".npz"))
    clip.touch()
    with pytest.raises(ValueError, match=r"walk\.npz is not an npz file of plain arrays"):
        rendered_clips([clip])


def test_truths_that_are_not_finite_are_refused(tmp_path):
    write_chunk(tmp_path, 0, 50)
    path = tmp_path / "chunk_0000.npz"
    with np.load(path) as file:
        content = dict(file)
    content["joints"][0, 3, 1] = np.nan
    np.savez(path, **content)
    with pytest.raises(ValueError, match=r"chunk_0000\.npz: expected finite joints and K"):
        next(read_chunk(path))
    (tmp_path / "walk.mp4").touch()
    for joints in (content["joints"], np.ones((2, 16, 3))):
        np.savez(tmp_path / "walk.npz", joints=joints, K=np.eye(3))
        with pytest.raises(ValueError, match=r"walk\.npz: expected finite joints \[N, 17, 3\]"):
            rendered_clips([tmp_path / "walk.mp4"])


def test_clips_of_one_name_are_told_apart_by_their_folders(tmp_path):
    paths = [tmp_path / name for name in ("a/walk.mp4", "b/walk.mp4", "b/run.mp4")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
        np.savez(path.with_suffix(".npz"), joints=np.ones((2, 17, 3)), K=K)
    expected = ("a/walk", "a/walk", "b/walk", "b/walk", "run", "run")
    assert rendered_clips(paths).actions == rendered_clips(paths).subjects == expected


@pytest.mark.parametrize(("poses", "told"), [(2, "has more frames than"), (4, "has 3 frames")])
def test_clips_and_truths_of_other_lengths_are_refused(tmp_path, monkeypatch, poses, told):
    monkeypatch.chdir(tmp_path)  # by an absolute path a colon would be no trouble
    write_video(tmp_path / "12:30.mp4", [np.zeros((24, 32, 3), np.uint8)] * 3)
    np.savez(tmp_path / "12:30.npz", joints=np.ones((poses, 17, 3)), K=K)
    with pytest.raises(ValueError, match=rf"12:30\.mp4 {told}"):
        list(rendered_clips([Path("12:30.mp4")]).read())


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="pandapose synthesize"):
        synthetic_images([tmp_path])
    np.savez(tmp_path / "chunk_0000.npz", joints=np.zeros((1, 17, 3)))
    with pytest.raises(ValueError, match=r"lacks \['offsets'\]"):
        synthetic_images([tmp_path])
    with pytest.raises(FileNotFoundError, match=r"expected a clip .*none\.mp4"):
        rendered_clips([tmp_path / "none.mp4"])
    np.savez(tmp_path / "none.npz", joints=np.zeros((1, 17, 3)))
    (tmp_path / "none.mp4").touch()
    with pytest.raises(ValueError, match=r"none\.npz lacks \['K'\]"):
        rendered_clips([tmp_path / "none.mp4"])
