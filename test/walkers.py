"""Files of rendered images as `pandapose synthesize` writes them, of frames of the demo's clip."""

from pathlib import Path

import cv2
import numpy as np

from pandapose_ros.data.dataset import rendered_clips
from pandapose_ros.data.rendered_images import RenderedImage

CLIP = Path(__file__).parents[1] / "config" / "demo" / "walk.mp4"


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
