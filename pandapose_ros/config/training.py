"""Defaults of training data and training."""

from dataclasses import dataclass
from typing import Literal

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class SkeletonSampleConfig:
    """Set how skeleton-only training samples are drawn."""

    stature: tuple[float, float] = option((1.45, 1.95), "Minimum and maximum stature [m]")
    limb_variation: float = option(0.1, "Maximum relative change of a limb's length", low=0.0)
    elevation: tuple[float, float] = option(
        (-0.5, 0.6),
        "Angle by which the camera looks down on the pelvis, minimum and maximum [rad]",
    )
    distance: tuple[float, float] = option(
        (1.5, 8.0), "Distance from camera to pelvis, minimum and maximum [m]"
    )
    region_size_jitter: float = option(
        0.12, "Jitter of the region's size: relative, uniform", low=0.0
    )
    region_centre_jitter: float = option(
        0.04, "Jitter of the region's centre: fraction of its size, uniform", low=0.0
    )
    region_angle_jitter: float = option(
        0.17, "Jitter of the region's angle: uniform [rad]", low=0.0
    )
    mirrored: float = option(0.5, "Fraction of images that are mirrored", low=0.0, high=1.0)
    noise: float = option(1.0, "Scale of the keypoint noise; 0: none", low=0.0)
    clean: float = option(0.1, "Fraction of samples without noise", low=0.0, high=1.0)
    swapped: float = option(0.02, "Fraction of limbs with left and right swapped", low=0.0)


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

    motion: str = option(
        "", "Motion: npz of clips [T, 17, 3], y up, metres; AMC or BVH file; or a folder of these"
    )
    images: str = option("", "Output folder of `pandapose synthesize`; empty: none")
    human36m: str = option("", "Label file of Human3.6M to train on (h36m_train.pkl)")
    mpi_inf_3dhp: str = option("", "Label file of MPI-INF-3DHP to train on (data_train_3dhp.npz)")
    photographs: str = option("", "Image folder of Human3.6M or MPI-INF-3DHP")
    backbone_weights: str = option(
        "", "COCO weights of HRNet, for networks that use it (pose_hrnet_w32_256x192.pth)"
    )
    detections: str = option(
        "cpn",
        "Whose 2D poses of Human3.6M to train HRNet networks on (hrnet: Table 10)",
        choices=("cpn", "hrnet"),
    )
    readers: int = option(8, "Number of threads that read photographs for HRNet", low=1)
    bodies: str = option(
        "", "Output file of `pandapose bake`: people are rendered while training, without images"
    )
    landmarks: str = option(
        "",
        "Fine-tuned landmark net (landmarks.safetensors); empty: MediaPipe's",
    )
    features: str = option("", "Cache folder for image features; empty: inside the run's folder")
    views: int = option(1, "Number of jittered crops per image", low=1)


@dataclass(frozen=True)
class TrainConfig:
    """Set how the lifter is trained; a batch is that of all processes together."""

    steps: int = option(6000, "Optimiser steps in the whole schedule", low=1)
    batch: int = option(64, "Skeleton-only samples per step", low=1)
    image_batch: int = option(32, "Samples with image features per step", low=1)
    skeleton_steps: int = option(
        1, "Skeleton-only steps after each step with images; 0: images only", low=0
    )
    held_out_share: float = option(
        0.2,
        "Fraction of the clips of each kind of motion that is held out for testing",
        low=0.0,
        high=0.9,
    )
    learning_rate: float = option(4e-4, "Peak learning rate of AdamW", low=0.0)
    schedule: str = option(
        "cosine",
        "Learning rate after the warm-up: cosine, or exponential decay once per epoch",
        choices=("cosine", "exponential"),
    )
    final_learning_rate: float = option(
        0.02, "Final learning rate of the cosine schedule, as a fraction of the peak", low=0.0
    )
    epoch_steps: int = option(1000, "Steps per epoch", low=1)
    epoch_decay: float = option(
        0.98,
        "Factor on the learning rate after each epoch of the exponential schedule",
        low=0.0,
        high=1.0,
    )
    offset_rate: float = option(
        1.0,
        "Relative learning rate of the layers that predict sampling offsets",
        low=0.0,
        high=1.0,
    )
    weight_decay: float = option(0.1, "Weight decay of AdamW", low=0.0)
    warm_up: int = option(300, "Warm-up steps of the learning rate", low=1)
    clip: float = option(1.0, "Maximum gradient norm; 0: no limit", low=0.0)
    average: float = option(0.998, "Decay per step of the averaged weights", low=0.0, high=1.0)
    dropout: float = option(0.0, "Dropout in attention and feed-forward blocks", low=0.0, high=1.0)
    bfloat16: bool = option(True, "Use bfloat16 on CUDA, where accuracy allows")
    seed: int = option(0, "Random seed", low=0)
    save_every: int = option(200, "Steps between checkpoints", low=1)
