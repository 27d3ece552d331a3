"""Defaults of training data and training."""

from dataclasses import dataclass
from typing import Literal

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class SkeletonSampleConfig:
    """Set how skeleton-only training samples are drawn."""

    stature: tuple[float, float] = option((1.45, 1.95), "Least and greatest stature [m]")
    limb_variation: float = option(0.1, "Greatest relative change of a limb's length", low=0.0)
    elevation: tuple[float, float] = option(
        (-0.5, 0.6), "Angle by which the camera looks down on the pelvis, least, greatest [rad]"
    )
    distance: tuple[float, float] = option((1.5, 8.0), "Camera to pelvis, least, greatest [m]")
    region_size_jitter: float = option(0.12, "Relative, uniform", low=0.0)
    region_centre_jitter: float = option(0.04, "Share of the region's size, uniform", low=0.0)
    region_angle_jitter: float = option(0.17, "Uniform [rad]", low=0.0)
    mirrored: float = option(0.5, "Share of images that are mirrored", low=0.0, high=1.0)
    noise: float = option(1.0, "Scale of the keypoints' noise; 0: none", low=0.0)
    clean: float = option(0.1, "Share of samples without noise", low=0.0, high=1.0)
    swapped: float = option(0.02, "Share of limbs whose left and right are mixed up", low=0.0)


@dataclass(frozen=True)
class LossConfig:
    """Set what the lifter is trained for.

    Attributes:
        pose_weight: Of the mean joint error in metres (paper: 2).
        depth_weight: Of the depth loss (paper: 0.1).
        depth_loss: How a depth distribution is compared with the true bin: ordinal, as the paper
            writes it; binary cross-entropy against one bin; or cross-entropy.
        deep_supervision: Whether every decoder layer's joints count, equally, not just the last.
    """

    pose_weight: float = 2.0
    depth_weight: float = 0.1
    depth_loss: Literal["ordinal", "one_hot", "cross_entropy"] = "ordinal"
    deep_supervision: bool = False


@dataclass(frozen=True)
class TrainDataConfig:
    """Set what the lifter is trained on."""

    motion: str = option("", "npz of clips [T, 17, 3], y up, metres; AMC or BVH file; folder")
    images: str = option("", "Folder that `pandapose synthesize` filled; empty: none")
    human36m: str = option("", "Label file of Human3.6M to train on (h36m_train.pkl)")
    mpi_inf_3dhp: str = option("", "Label file of MPI-INF-3DHP to train on (data_train_3dhp.npz)")
    photographs: str = option("", "Image folder of these two")
    backbone_weights: str = option(
        "", "COCO file of HRNet, for networks on it (pose_hrnet_w32_256x192.pth)"
    )
    readers: int = option(8, "Threads that read photographs for HRNet", low=1)
    bodies: str = option(
        "", "File of `pandapose bake`: people are rendered while training, no images are needed"
    )
    landmarks: str = option(
        "",
        "Fine-tuned landmark net (landmarks.safetensors) to see images with; empty: MediaPipe's",
    )
    features: str = option("", "Folder to keep the images' features in; empty: below the run's")
    views: int = option(1, "Jittered crops per image", low=1)


@dataclass(frozen=True)
class TrainConfig:
    """Set how the lifter is trained; a batch is that of all processes together."""

    steps: int = option(6000, "Optimiser steps of the whole schedule", low=1)
    batch: int = option(64, "Skeleton-only samples in a step", low=1)
    image_batch: int = option(32, "Samples with image features in a step", low=1)
    skeleton_steps: int = option(
        1, "Skeleton-only steps after each step with images; 0: images only", low=0
    )
    held_out_share: float = option(
        0.2, "Share of the clips of each kind of motion, kept for testing", low=0.0, high=0.9
    )
    learning_rate: float = option(4e-4, "Greatest, of AdamW", low=0.0)
    schedule: str = option(
        "cosine",
        "After the warm-up: cosine to the end, or exponential, once per epoch",
        choices=("cosine", "exponential"),
    )
    final_learning_rate: float = option(
        0.02, "Share of it that the cosine leaves at the end", low=0.0
    )
    epoch_steps: int = option(1000, "Steps of an epoch", low=1)
    epoch_decay: float = option(
        0.98, "Share of it that an epoch of the exponential leaves", low=0.0, high=1.0
    )
    offset_rate: float = option(
        1.0, "Share of it for the layers that move sampling points", low=0.0, high=1.0
    )
    weight_decay: float = option(0.1, "Of AdamW", low=0.0)
    warm_up: int = option(300, "Steps over which the learning rate rises", low=1)
    clip: float = option(1.0, "Greatest norm of the gradient", low=0.0)
    average: float = option(0.998, "Decay per step of the averaged weights", low=0.0, high=1.0)
    dropout: float = option(0.0, "In attention and feed-forward blocks", low=0.0, high=1.0)
    bfloat16: bool = option(True, "On CUDA, where it does no harm")
    seed: int = option(0, "Of all chance", low=0)
    save_every: int = option(200, "Steps between checkpoints", low=1)
