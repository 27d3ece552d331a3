"""A second check whether a person is there: do the feature maps at the keypoints look like one?

The landmark net's own presence score comes from a vector that describes how somebody would stand
there, and is as high for some chairs, plants and coats as for people. The feature maps tell these
apart, at the positions where wrists and knees should be.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pandapose_ros.geometry import pixel_to_grid
from pandapose_ros.model.precision import finite_place, full_precision

_WIDTH = 64


class PresenceVerifier(nn.Module):
    """Decide from the feature maps at the keypoints whether they are those of a person.

    score = sigmoid(W2 relu(W1 norm(features at all keypoints)))

    Args:
        joints: How many keypoints, J.
        channels: Of all feature maps together, C.
        crop_size: Side of the crop, pixels.

    Source:
        Our choice: BlazePose has one presence score, the paper none.
    """

    def __init__(self, joints: int, channels: int, crop_size: int) -> None:
        super().__init__()
        self.crop_size = crop_size
        self.norm = nn.LayerNorm(joints * channels)
        self.hidden = nn.Linear(joints * channels, _WIDTH)
        self.answer = nn.Linear(_WIDTH, 1)

    def forward(self, features: list[Tensor], keypoints: Tensor) -> Tensor:
        """Judge B crops.

        Args:
            features: Maps [B, c, S, S], their channels together C.
            keypoints: [B, J, 2], crop pixels; those outside the crop are moved to its edge.

        Returns:
            [B] in [0, 1], the confidence that they are those of a person.
        """
        with full_precision(keypoints.device):
            grid = finite_place(pixel_to_grid(keypoints, self.crop_size, self.crop_size))[:, None]
            read = [
                functional.grid_sample(
                    level.float(), grid, padding_mode="border", align_corners=False
                )[:, :, 0]
                for level in features
            ]
            seen = torch.cat(read, dim=1).transpose(1, 2).flatten(1)  # [B, J * C]
            return self.answer(functional.relu(self.hidden(self.norm(seen)))).sigmoid()[:, 0]
