"""Samples with image features: what the frozen landmark net makes of rendered people, on disk.

Features are computed once, as the backbone is frozen; each image is looked at through one or more
jittered regions, as a tracker would have them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor

from pandapose_ros.config import SkeletonSampleConfig
from pandapose_ros.data.rendered_images import RenderedImage, mirrored, region_round_person
from pandapose_ros.geometry import perspective_crop, project, transform_pixels
from pandapose_ros.model.blazepose import CROP_SIZE, BlazePose
from pandapose_ros.people.region import Region
from pandapose_ros.whole_files import write_shared

Array = NDArray[np.floating]

_PRESENCE = 0.5  # below, the tracker would drop the person
_SOMEBODY_ELSE = 0.1  # of the crop's side: a person further off, by the median, is another
# Share of regions that hold the hands. BlazePose's do half of the time; a fine-tuned net is taught
# that they always do (`landmark_crops`), and follows people by nearly such.
_WITH_HANDS, _WITH_HANDS_TUNED = 0.5, 0.9


@dataclass(frozen=True)
class ImageSamples:
    """Hold N samples with image features.

    Attributes:
        fine: [N, 48, 64, 64], float16.
        middle: [N, 48, 32, 32], float16.
        coarse: [N, 48, 16, 16], float16.
        keypoints: [N, 17, 2], as detected, crop pixels.
        clean_keypoints: [N, 17, 2], of the true joints.
        joints: [N, 17, 3], metres, root-relative, crop-camera axes.
    """

    fine: Tensor
    middle: Tensor
    coarse: Tensor
    keypoints: Tensor
    clean_keypoints: Tensor
    joints: Tensor

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.joints)


class ImageSampleSet:
    """Draw from files of samples, which are mapped into memory and not read before they are used.

    Args:
        folder: Holds the files that `save_image_samples` wrote.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If there is no sample in them.
    """

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise FileNotFoundError(f"no image samples in {folder}; expected *.safetensors")
        self._shards = [ImageSamples(**load_file(path)) for path in files]
        self._ends = np.cumsum([len(shard) for shard in self._shards])
        if not len(self):
            raise ValueError(
                f"nobody was recognised in the images that {folder} is of; see whether joints and "
                "cameras are those of the images, and delete the folder"
            )

    def __len__(self) -> int:
        """Return the number of samples."""
        return int(self._ends[-1])

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> ImageSamples:
        """Return the samples of some indices, in [0, len)."""
        places = [self._place(int(i)) for i in indices]
        return ImageSamples(
            **{
                field.name: torch.stack(
                    [getattr(self._shards[s], field.name)[i] for s, i in places]
                )
                for field in fields(ImageSamples)
            }
        )

    def indices(self, number: int, size: int, seed: int) -> NDArray[np.integer]:
        """Return those of a batch, as of `batch_indices`."""
        return batch_indices(len(self), number, size, seed)

    def _place(self, index: int) -> tuple[int, int]:
        """Return the shard of a sample and its place in it."""
        shard = int(np.searchsorted(self._ends, index, side="right"))
        return shard, index - (int(self._ends[shard - 1]) if shard else 0)


def batch_indices(count: int, number: int, size: int, seed: int) -> NDArray[np.integer]:
    """Return the samples of a batch: each comes once per round, every round in its own order.

    Args:
        count: Of all samples.
        number: Of the batch, from 0.
        size: Samples in it, at most `count`.
        seed: Decides the orders.
    """
    per_round = max(1, count // size)
    order = order_of_round(count, number // per_round, seed)
    first = number % per_round * size
    return order[first : first + size].copy()


@lru_cache(4)  # of some data sets; of Human3.6M it takes as long as reading a batch
def order_of_round(count: int, number: int, seed: int) -> NDArray[np.integer]:
    """Return the order of `count` samples in the round of a number; not to be written to."""
    return np.random.default_rng((seed, number)).permutation(count)


def check_enough(count: int, size: int) -> None:
    """Raise ValueError if there are fewer samples than in a batch.

    Args:
        count: Of all samples.
        size: Samples in a batch, of all processes together.
    """
    if count < size:
        raise ValueError(
            f"expected at least the {size} samples of a batch, got {count}; lower --image-batch"
        )


def save_image_samples(path: Path, samples: ImageSamples) -> None:
    """Write samples to a file, whole or not at all."""
    # save_file's can be read by their owner only.
    write_shared(path, save({k: v.contiguous() for k, v in vars(samples).items()}))


def make_image_samples(
    images: Iterable[RenderedImage],
    landmark_net: BlazePose,
    config: SkeletonSampleConfig,
    rng: np.random.Generator,
    views: int = 1,
) -> ImageSamples:
    """Look at rendered people through the landmark net.

    Some images are mirrored first. The regions are those of the true joints, jittered; people
    not recognised there are left out.

    Args:
        images: Rendered people.
        landmark_net: Frozen; may be on any device.
        config: Share of mirrored images, jitter of the regions.
        rng: Source of chance.
        views: Jittered regions per image.

    Returns:
        At most `views` samples per image, on the CPU.

    Source:
        Our choice: a region from true joints is within 8 % in size, 3 % of it in place and
        5 degrees of the one that the landmark net itself asks for, in 9 images of 10.
    """
    seen_as, crops, views_of = [], [], []
    for item in images:
        for _ in range(views):
            shown = mirrored(item) if rng.random() < config.mirrored else item
            homography, R = random_view(
                shown.joints, shown.K, config, rng, is_tuned=landmark_net.is_tuned
            )
            seen_as.append(shown)
            views_of.append((homography, R))
            crops.append(cv2.warpPerspective(shown.image, homography, (CROP_SIZE, CROP_SIZE)))
    batch = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    joints, K = ([getattr(item, name) for item in seen_as] for name in ("joints", "K"))
    found = look(landmark_net, batch, views_of, joints, K)
    return ImageSamples(**{name: tensor.cpu() for name, tensor in vars(found).items()})


def hands_share(*, is_tuned: bool) -> float:
    """Return the share of regions that hold the hands, as a landmark net asks for them."""
    return _WITH_HANDS_TUNED if is_tuned else _WITH_HANDS


def random_view(
    joints: Array,
    K: Array,
    config: SkeletonSampleConfig,
    rng: np.random.Generator,
    *,
    is_tuned: bool,
) -> tuple[Array, Array]:
    """Draw the crop through which a tracker might see a person.

    Args:
        joints: [17, 3], camera frame, metres.
        K: [3, 3], pixels.
        config: Jitter of the region.
        rng: Source of chance.
        is_tuned: Whether the landmark net, by which people are tracked, is fine-tuned.

    Returns:
        Homography and rotation, as of `geometry.perspective_crop`.
    """
    share = hands_share(is_tuned=is_tuned)
    region = region_round_person(joints, K, with_hands=rng.random() < share)
    region = jitter_region(region, config, rng)
    return perspective_crop(region.crop_from_image(CROP_SIZE), (CROP_SIZE, CROP_SIZE), K)


def look(
    landmark_net: BlazePose,
    crops: Tensor,
    views: Sequence[tuple[Array, Array]],
    joints: Sequence[Array],
    K: Sequence[Array],
) -> ImageSamples:
    """Run the landmark net on crops of people.

    Args:
        landmark_net: Frozen.
        crops: [N, 3, 256, 256] in [0, 1], any device.
        views: N of homography and rotation, as of `random_view`.
        joints: N of [17, 3], image camera frame, metres.
        K: N of [3, 3], of the images, pixels.

    Returns:
        Samples of those that are recognised, on the net's device; without those for whom the net
        sees a bystander, about one in forty where a fifth of the images has bystanders.
    """
    device = next(landmark_net.parameters()).device
    with torch.inference_mode():
        seen = landmark_net(crops.to(device))
    relative = [(pose - pose[0]) @ R for pose, (_, R) in zip(joints, views, strict=True)]
    clean = [
        transform_pixels(homography, project(pose, intrinsics))
        for pose, intrinsics, (homography, _) in zip(joints, K, views, strict=True)
    ]
    told = (seen.keypoints_px.cpu().numpy(), np.stack(clean), np.stack(relative))
    off = np.median(np.linalg.norm(told[0] - told[1], axis=-1), axis=-1)
    is_asked = torch.from_numpy(off < _SOMEBODY_ELSE * CROP_SIZE).to(device)
    kept = (seen.presences >= _PRESENCE) & is_asked
    return ImageSamples(
        *(level[kept].half() for level in seen.features),
        *(torch.from_numpy(part.astype(np.float32)).to(device)[kept] for part in told),
    )


def jitter_region(
    region: Region, config: SkeletonSampleConfig, rng: np.random.Generator
) -> Region:
    """Return the region moved, resized and turned a little at random."""
    jitter, shift = config.region_size_jitter, config.region_centre_jitter * region.size
    du, dv = rng.uniform(-shift, shift, 2)
    turn = rng.uniform(-config.region_angle_jitter, config.region_angle_jitter)
    return replace(
        region,
        centre=(region.centre[0] + du, region.centre[1] + dv),
        size=region.size * rng.uniform(1 - jitter, 1 + jitter),
        angle=region.angle + turn,
    )
