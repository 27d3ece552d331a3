"""Defaults of fine-tuning the landmark net."""

from dataclasses import dataclass

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class LandmarkTrainConfig:
    """Set how the landmark net is fine-tuned on rendered people."""

    steps: int = option(2000, "Optimiser steps in the whole schedule", low=1)
    batch: int = option(32, "Crops per step", low=1)
    learning_rate: float = option(
        1.2e-4, "Peak learning rate of AdamW, relative to the magnitude of each tensor", low=0.0
    )
    final_learning_rate: float = option(
        0.02, "Final learning rate of the cosine schedule, as a fraction of the peak", low=0.0
    )
    warm_up: int = option(100, "Warm-up steps of the learning rate", low=1)
    weight_decay: float = option(0.0, "Weight decay of AdamW", low=0.0)
    clip: float = option(1.0, "Maximum gradient norm; 0: no limit", low=0.0)
    average: float = option(0.995, "Decay per step of the averaged weights", low=0.0, high=1.0)
    background: float = option(0.12, "Fraction of crops without a person", low=0.0, high=1.0)
    misplaced: float = option(
        0.25, "Fraction of crops that are rotated by any angle and scaled", low=0.0, high=1.0
    )
    covered: float = option(
        0.3, "Fraction of crops in which joints are occluded", low=0.0, high=1.0
    )
    cut: float = option(
        0.0,
        "Fraction of crops that the edge of an image cuts off, mostly below",
        low=0.0,
        high=1.0,
    )
    teacher_weight: float = option(
        0.25, "Weight of the original net's outputs, where there is no ground truth", low=0.0
    )
    refined: bool = option(
        False, "Train a head that refines keypoints with the net, at ten times its rate"
    )
    fixed_filters: bool = option(
        False,
        "Leave depthwise filters as they are: on a CPU their gradients take up to half the time",
    )
    bfloat16: bool = option(
        False, "Use bfloat16 where accuracy allows; faster on CPUs with AMX, and meant for GPUs"
    )
    visibilities_only: bool = option(
        False, "Train the visibilities only; a lifter that was trained on this net still fits"
    )
    keypoints_only: bool = option(False, "Train only the head that refines keypoints")
    presence_only: bool = option(
        False, "Train only the head that verifies whether somebody is there"
    )
    seed: int = option(0, "Random seed", low=0)
    save_every: int = option(100, "Steps between checkpoints", low=1)
