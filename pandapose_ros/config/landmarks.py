"""Defaults of fine-tuning the landmark net."""

from dataclasses import dataclass

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class LandmarkTrainConfig:
    """Set how the landmark net is fine-tuned on rendered people."""

    steps: int = option(2000, "Optimiser steps of the whole schedule", low=1)
    batch: int = option(32, "Crops in a step", low=1)
    learning_rate: float = option(
        1.2e-4, "Greatest, of AdamW, as a share of the size of each tensor", low=0.0
    )
    final_learning_rate: float = option(
        0.02, "Share of it that the cosine leaves at the end", low=0.0
    )
    warm_up: int = option(100, "Steps over which the learning rate rises", low=1)
    weight_decay: float = option(0.0, "Of AdamW", low=0.0)
    clip: float = option(1.0, "Greatest norm of the gradient", low=0.0)
    average: float = option(0.995, "Decay per step of the averaged weights", low=0.0, high=1.0)
    background: float = option(0.12, "Share of crops that show nobody", low=0.0, high=1.0)
    misplaced: float = option(
        0.25, "Share of crops turned by any angle, and of another size", low=0.0, high=1.0
    )
    covered: float = option(0.3, "Share of crops with something before joints", low=0.0, high=1.0)
    teacher_weight: float = option(
        0.25, "Of what the net said before, where the truth is not known", low=0.0
    )
    visibilities_only: bool = option(
        False, "Leave landmarks and features as they are, for a lifter that was trained on them"
    )
    keypoints_only: bool = option(
        False, "Only teach it to refine keypoints by its features; all else stays as it is"
    )
    presence_only: bool = option(
        False, "Only teach it to tell people from all else; all else stays as it is"
    )
    seed: int = option(0, "Of all chance", low=0)
    save_every: int = option(100, "Steps between checkpoints", low=1)
