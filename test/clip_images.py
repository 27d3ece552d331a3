"""The demo's clip: its images, and files of them as `pandapose synthesize` writes them."""

from pathlib import Path

import cv2
import numpy as np

from pandapose_ros.data.dataset import rendered_clips
from pandapose_ros.data.rendered_images import RenderedImage
from pandapose_ros.geometry import project

CLIP = Path(__file__).parents[1] / "config" / "demo" / "walk.mp4"


def clip_frames(count):
    """The first images, RGB."""
    capture = cv2.VideoCapture(str(CLIP))
    return [cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB) for _ in range(count)]


def halved(images):
    """Images half as wide, round the person: two side by side are large enough to be found."""
    quarter = images[0].shape[1] // 4
    with np.load(CLIP.with_suffix(".npz")) as truth:
        pelvis = project(truth["joints"][: len(images), 0], truth["K"])
    starts = [max(int(u) - quarter, 0) for u in pelvis[:, 0]]
    return [
        image[:, start : start + 2 * quarter] for image, start in zip(images, starts, strict=True)
    ]


def backdrop(image):
    return np.repeat(image[:, :1], image.shape[1], axis=1)


def side_by_side(first, second):
    return np.concatenate((first, second), axis=1)


def write_video(path, images):
    """Write images, RGB, as a video of 10 Hz."""
    height, width = images[0].shape[:2]
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), code, 10.0, (width, height))
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()


def declare_1000_hz(video):
    """Let a Matroska file of 10 Hz declare another rate, as those that browsers record."""
    duration, content = bytes.fromhex("23e38384"), video.read_bytes()  # of a frame, nanoseconds
    assert content.count(duration + (10**8).to_bytes(4, "big")) == 1
    place = content.index(duration) + len(duration)
    video.write_bytes(content[:place] + (10**6).to_bytes(4, "big") + content[place + 4 :])
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FPS) == 1000


def walkers(every):
    return [
        RenderedImage(sample.image, sample.joints, sample.K)
        for sample in rendered_clips([CLIP]).every(every).read()
    ]


def write_chunk(path, items):
    jpegs = [cv2.imencode(".jpg", item.image[..., ::-1])[1].ravel() for item in items]
    path.parent.mkdir(exist_ok=True)
    np.savez(
        path,
        jpeg=np.concatenate(jpegs),
        offsets=np.cumsum([0, *map(len, jpegs)]),
        joints=np.stack([item.joints for item in items]),
        K=np.stack([item.K for item in items]),
    )


def write_clip_images(folder):
    """Write six frames; return the folder."""
    write_chunk(folder / "chunk_0000.npz", walkers(24))
    return folder
