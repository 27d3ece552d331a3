"""Batches from photographs: people cut out as the paper does, seen by a frozen HRNet.

Nothing is kept: the features of Human3.6M would fill 0.6 TB, so that every step makes its own.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pandapose_ros.config import ModelConfig, SkeletonSampleConfig, TrainConfig, TrainDataConfig
from pandapose_ros.data.dataset import Dataset, human36m, mpi_inf_3dhp, one_after_another
from pandapose_ros.data.image_files import check_images
from pandapose_ros.data.image_samples import batch_indices, check_enough
from pandapose_ros.data.photographs import PaperView, look_as_paper, mirror
from pandapose_ros.model.hrnet import HRNet, load_coco_weights
from pandapose_ros.training.distribution import Share
from pandapose_ros.training.loop import Batch

Image = NDArray[np.uint8]

# Whom results are scored on: of Human3.6M, and of MPI-INF-3DHP's test set.
_TEST_PEOPLE = {"S9", "S11", *(f"TS{number}" for number in range(1, 7))}


class PhotographBatches:
    """Give this process' part of the batches that a network on HRNet is trained on.

    Chance hangs on the seed and the number of the batch alone.

    Args:
        datasets: Whose samples can be taken by index, with their images.
        backbone: Frozen here; its device is where it looks.
        config: Sizes of batches, precision, seed.
        share: Which part is this process'.
        readers: Threads that read and crop.

    Attributes:
        warnings: One line for each data set that shows people of its own test.

    Raises:
        ValueError: If there are fewer samples than in a batch, or the processes cannot share it.

    Source:
        Section 4.1: HRNet is frozen; the 2D poses are the detections that come with the data, of
        MPI-INF-3DHP the true ones. The crops are CA-PF's. Our choice: each sample is mirrored or
        not by itself, as the paper does not tell of augmentation.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset],
        backbone: HRNet,
        config: TrainConfig,
        share: Share,
        readers: int,
    ) -> None:
        counts = [len(dataset) for dataset in datasets]
        self.warnings = tuple(text for dataset in datasets if (text := _shows_test(dataset)))
        self._take = one_after_another(counts, [dataset.at for dataset in datasets])
        self._count = sum(counts)
        check_enough(self._count, config.image_batch)
        share.of(config.image_batch)  # must divide
        self._backbone = backbone.requires_grad_(False).eval()
        self._config, self._share = config, share
        self._readers = ThreadPoolExecutor(readers)

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._count

    def batch(self, number: int) -> Batch:
        """Return this process' part of a batch, its features on the backbone's device.

        Args:
            number: Of the batch, from 0.

        Raises:
            FileNotFoundError: If an image is missing.
            ValueError: If joints or keypoints are unknown.
        """
        size, seed = self._config.image_batch, self._config.seed
        part = self._share.of(size)
        indices = batch_indices(self._count, number, size, seed)[part]
        # Drawn whole by every process; the last number keeps it from being the order's chance.
        drawn = np.random.default_rng((seed, number, 1)).random(size)[part]
        mirrored = drawn < SkeletonSampleConfig().mirrored
        views = list(self._readers.map(self._look, indices, mirrored))
        keypoints = np.stack([view.keypoints for view in views]).astype(np.float32)
        joints = np.stack([view.joints for view in views]).astype(np.float32)
        features = self._features(np.stack([view.crop for view in views]))
        return Batch(torch.from_numpy(keypoints), torch.from_numpy(joints), features)

    def _look(self, index: np.integer, mirrored: np.bool_) -> PaperView:
        """Return a sample as it is or in a mirror."""
        view = look_as_paper(self._take(int(index)))
        return mirror(view) if mirrored else view

    def _features(self, crops: Image) -> list[Tensor]:
        """Run the backbone on crops [B, H, W, 3]."""
        device = next(self._backbone.parameters()).device
        casts = self._config.bfloat16 and device.type == "cuda"
        pixels = torch.from_numpy(crops).to(device).permute(0, 3, 1, 2).float() / 255
        # Not inference mode: its tensors cannot be kept for the lifter's gradients.
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, casts):
            return self._backbone(pixels).features


def _shows_test(dataset: Dataset) -> str:
    """Return a warning if a data set shows people whom results are scored on; else nothing."""
    people = ", ".join(sorted(_TEST_PEOPLE.intersection(dataset.subjects)))
    if not people:
        return ""
    return f"{dataset.name} shows {people}, on whom results are scored: they will be too good"


def open_photographs(
    data: TrainDataConfig, config: TrainConfig, model: ModelConfig, share: Share
) -> PhotographBatches:
    """Open what a network on HRNet is to be trained on.

    Args:
        data: Names label files of Human3.6M or MPI-INF-3DHP, and HRNet's weights.
        config: Of the training.
        model: Names the backbone.
        share: This process' part and device.

    Raises:
        FileNotFoundError: If a file or an image is missing.
        ValueError: If there is nothing to train on, or something that HRNet is not trained on, or
            a file lacks what is needed.
    """
    _refuse_without_effect(data, config, model)
    if not (data.human36m or data.mpi_inf_3dhp):
        raise ValueError("nothing to train on: give --human36m or --mpi-inf-3dhp")
    if not data.backbone_weights:
        raise ValueError(f"networks on {model.backbone} need its COCO file: --backbone-weights")
    backbone = HRNet(width=model.level_channels[0])
    load_coco_weights(backbone, Path(data.backbone_weights))
    folder, datasets = Path(data.photographs), []
    if data.human36m:
        datasets.append(human36m([Path(data.human36m)], folder, data.detections))
    if data.mpi_inf_3dhp:
        datasets.append(mpi_inf_3dhp([Path(data.mpi_inf_3dhp)], folder))
    for dataset in datasets:
        check_images(dataset.name, dataset.images)
    return PhotographBatches(datasets, backbone.to(share.device), config, share, data.readers)


def _refuse_without_effect(data: TrainDataConfig, config: TrainConfig, model: ModelConfig) -> None:
    """Raise ValueError if something is given that networks on HRNet are not trained on."""
    others = (data.motion, data.images, data.bodies, data.landmarks, data.features)
    if any(others) or config.skeleton_steps:
        raise ValueError(
            f"networks on {model.backbone} are trained on photographs alone: leave out --motion, "
            "--images, --bodies, --landmarks and --features, and give --skeleton-steps 0"
        )
    given = {
        "--views": data.views != TrainDataConfig().views,
        "--held-out-share": config.held_out_share != TrainConfig().held_out_share,
        "--final-learning-rate": config.schedule == "exponential"
        and config.final_learning_rate != TrainConfig().final_learning_rate,
    }
    if in_vain := ", ".join(name for name, is_given in given.items() if is_given):
        raise ValueError(
            f"{in_vain}: without effect on networks on {model.backbone} with the "
            f"{config.schedule} schedule; leave it out"
        )
