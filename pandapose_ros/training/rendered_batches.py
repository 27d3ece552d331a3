"""Samples with image features of people rendered on the fly, on any device, without files."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pandapose_ros.config import RenderConfig, SkeletonSampleConfig
from pandapose_ros.data.image_samples import ImageSamples, look, random_view
from pandapose_ros.geometry import pixel_to_grid
from pandapose_ros.model.blazepose import CROP_SIZE, BlazePose
from pandapose_ros.synthetic.body import Body, load_bodies
from pandapose_ros.synthetic.bystanders import random_bystanders
from pandapose_ros.synthetic.compression import compress
from pandapose_ros.synthetic.poses import MotionPool, sample_targets
from pandapose_ros.synthetic.scene import render_samples

Array = NDArray[np.floating]

# People who are not recognised are replaced, until so many were rendered for each that is wanted.
_MOST_EACH = 10


class RenderedBatches:
    """Render people, look at them through the landmark net, and hand out samples.

    Args:
        bodies: File made by `pandapose bake`; the bodies to test on are left out.
        motion: Captured poses to draw from, without the clips held apart.
        landmark_net: Frozen; all work is done on its device.
        config: Images and poses.
        regions: Jitter of the regions.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is of another kind or has bodies to test on only.
    """

    def __init__(
        self,
        bodies: Path,
        motion: MotionPool,
        landmark_net: BlazePose,
        config: RenderConfig,
        regions: SkeletonSampleConfig,
    ) -> None:
        self._rig, known = load_bodies(bodies)
        self._device = next(landmark_net.parameters()).device
        self._bodies = [_on(body, self._device) for body in known if not body.held_out]
        if not self._bodies:
            raise ValueError(f"all bodies in {bodies} are to test on; see `pandapose bake`")
        self._motion, self._net = motion, landmark_net
        self._config, self._regions = config, regions

    def batch(self, number: int, size: int, seed: int) -> ImageSamples:
        """Return a batch, on the landmark net's device.

        Args:
            number: Of the batch; the same number and seed give the same people in the same
                pictures, on a CPU to the last bit.
            size: Samples in it, neither more nor fewer: processes that share a batch have equal
                parts of it, as the mean of their gradients takes them to be.
            seed: Of all chance.

        Raises:
            ValueError: If hardly anyone is recognised.
        """
        rng = np.random.default_rng((seed, number))
        parts: list[ImageSamples] = []
        rendered, missing = 0, size
        while missing and rendered < _MOST_EACH * size:
            for first in range(0, missing, self._config.at_once):
                count = min(self._config.at_once, missing - first)
                parts.append(look(self._net, *self.render(count, rng)))
            rendered += missing
            missing = size - sum(len(part) for part in parts)
        if missing:
            raise ValueError(
                f"the landmark net recognised {size - missing} of {rendered} rendered people, "
                f"too few for a batch of {size}: see whether it is the right one (--landmarks)"
            )
        return ImageSamples(
            **{
                f.name: torch.cat([getattr(p, f.name) for p in parts])
                for f in fields(ImageSamples)
            }
        )

    def render(
        self, count: int, rng: np.random.Generator
    ) -> tuple[Tensor, list[tuple[Array, Array]], list[Array], list[Array]]:
        """Render people and cut out how a tracker would see them.

        Args:
            count: N.
            rng: Source of chance.

        Returns:
            Crops [N, 3, 256, 256] in [0, 1]; of each image the view as of `random_view`, the
            joints [17, 3] in the camera's frame, metres, and the intrinsics [3, 3].
        """
        config = self._config
        targets, _, _ = sample_targets(self._motion, count, rng, config.poses)
        people = [self._bodies[b] for b in rng.integers(len(self._bodies), size=count)]
        size = (config.size, config.size)
        others = random_bystanders(
            count, config.bystanders, self._bodies, self._motion, rng, config.poses
        )
        drawn = render_samples(self._rig, people, targets.to(self._device), size, rng, others)
        quality = torch.as_tensor(rng.uniform(*config.jpeg_quality, count))
        images = compress(drawn.images, quality)
        joints, K = (list(array.double().cpu().numpy()) for array in (drawn.joints, drawn.K))
        views = [
            random_view(pose, intrinsics, self._regions, rng, is_tuned=self._net.is_tuned)
            for pose, intrinsics in zip(joints, K, strict=True)
        ]
        return crop_images(images, [homography for homography, _ in views]), views, joints, K


def crop_images(images: Tensor, homographies: Sequence[Array]) -> Tensor:
    """Cut a crop out of each image where the images are.

    Args:
        images: [B, H, W, 3] uint8.
        homographies: B of [3, 3], from image pixels to crop pixels.

    Returns:
        [B, 3, 256, 256] in [0, 1]; black beyond the image.
    """
    height, width = images.shape[1:3]
    back = torch.as_tensor(np.linalg.inv(np.stack(homographies)), dtype=torch.float32)
    side = torch.arange(CROP_SIZE, device=images.device, dtype=torch.float32)
    v, u = torch.meshgrid(side, side, indexing="ij")
    pixels = torch.stack((u, v, torch.ones_like(u)), dim=-1)
    seen = torch.einsum("bij,hwj->bhwi", back.to(images.device), pixels)
    grid = pixel_to_grid(seen[..., :2] / seen[..., 2:], width, height)
    return functional.grid_sample(
        images.permute(0, 3, 1, 2).float() / 255, grid, align_corners=False
    )


def _on(body: Body, device: torch.device) -> Body:
    """Return the body with its tensors on a device."""
    tensors = {k: v.to(device) for k, v in vars(body).items() if isinstance(v, Tensor)}
    return replace(body, **tensors)
