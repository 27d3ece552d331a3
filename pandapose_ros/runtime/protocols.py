"""What the estimator requires of networks, whichever runtime they run in."""

from typing import Protocol

import torch
from torch import Tensor

from pandapose_ros.config import ModelConfig
from pandapose_ros.model.blazepose import LandmarkOutput


class LandmarkNet(Protocol):
    """Find landmarks in crops, as `BlazePose` does."""

    @property
    def device(self) -> torch.device:
        """The device on which the crops have to be."""
        ...

    def __call__(self, crops: Tensor) -> LandmarkOutput:
        """Find the landmarks in crops [B, 3, 256, 256]."""
        ...


class LiftedJoints(Protocol):
    """What the estimator reads of a lifter's result; as in `PandaPoseOutput`."""

    @property
    def joints(self) -> Tensor: ...  # noqa: D102
    @property
    def anchors(self) -> Tensor: ...  # noqa: D102
    @property
    def weights(self) -> Tensor: ...  # noqa: D102
    @property
    def offsets(self) -> Tensor: ...  # noqa: D102
    @property
    def anchor_kinds(self) -> Tensor: ...  # noqa: D102
    @property
    def anchor_joints(self) -> Tensor: ...  # noqa: D102
    @property
    def depth_probabilities(self) -> Tensor | None: ...  # noqa: D102


class Lifter(Protocol):
    """Lift 2D poses, as `PandaPose` does."""

    config: ModelConfig

    def lift(self, features: list[Tensor], keypoints: Tensor) -> LiftedJoints:
        """Lift keypoints [B, J, 2] with the landmark net's features."""
        ...
