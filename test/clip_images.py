"""Frames of the demo's clip as a folder of `pandapose synthesize`."""

from pathlib import Path

import cv2
import numpy as np

from pandapose_ros.data.dataset import rendered_clips

CLIP = Path(__file__).parents[1] / "config" / "demo" / "walk.mp4"


def write_clip_images(folder):
    """Write six frames; return the folder."""
    samples = list(rendered_clips([CLIP]).every(24).read())
    files = [cv2.imencode(".jpg", sample.image[..., ::-1])[1] for sample in samples]
    np.savez(
        folder / "chunk_0000.npz",
        jpeg=np.concatenate(files),
        offsets=np.cumsum([0, *map(len, files)]),
        joints=np.stack([sample.joints for sample in samples]),
        K=np.stack([sample.K for sample in samples]),
    )
    return folder
