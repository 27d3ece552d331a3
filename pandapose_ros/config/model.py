"""Defaults of the network."""

from dataclasses import dataclass
from typing import Literal

_HRNET_WIDTHS = {"hrnet_w32": 32, "hrnet_w48": 48}
_POSITIVE = (
    "crop_height",
    "crop_width",
    "level_kernel",
    "window_fraction",
    "width",
    "heads",
    "layers",
    "feedforward",
    "depth_feedforward",
    "local_anchors",
    "global_anchor_rows",
    "global_anchor_columns",
    "sampling_points",
    "depth_blocks",
    "depth_bins",
    "depth_range",
)


@dataclass(frozen=True)
class ModelConfig:
    """Describe one PandaPose network; the default fits BlazePose features and two CPU cores.

    The paper leaves open the width, heads, sampling points, local anchors per joint and the
    depth range; those are our choice, in `paper()` such that its parameter counts are met.

    The default is sized for a robot's CPU: on two cores of an AMD EPYC (Zen 4) it lifts one person
    in 8 to 10 ms, five in 27 to 34. Cost goes with tokens first: a quarter of the paper's width,
    84 anchors instead of 528, 256 depth tokens instead of 768. Twice this width with 200 anchors
    takes twice the time, for 0.2 % less error on renders and 2 to 5 % less on the few real images
    (model card, 0.9.0). Two decoder layers cost the paper 0.5 mm (Table 9). The 64 bins stay: 16
    cost the paper 0.9 mm (Table 6).

    Attributes:
        backbone: Which frozen network gives the feature levels.
        anchors: Which anchors vote: the local and the global ones, one kind alone, or none: then
            each joint has one query, from which it is regressed directly (Table 4).
        joint_places: Without anchors, the reference points of the joints' queries: the keypoints,
            which gives the queries the 2D prior that local anchors have, or learned ones, the
            same for everybody. The paper does not say.
        lifting: How features become 3D: by a depth distribution per joint, by one for the whole
            person, or not at all: then there is no depth net, and anchors attend to the features
            in 2D (Table 5).
        depth_head: What the depth net predicts per pixel: a distribution over bins, or one depth,
            which the volume then holds between its two nearest bins (Table 6).
        sampling: Which pixels of the finest levels become tokens: windows around the keypoints,
            as many random ones, or all (Table 7).
        crop_height, crop_width: Input size in pixels.
        level_channels: Channels of the backbone's feature levels, finest first.
        level_strides: Strides of these levels in pixels.
        level_kernel: Side of the convolution that projects a level to `width` channels. 1 by
            default: at stride 4 a 3x3 one, to 128 channels, would cost 5 ms on two cores.
        windowed_levels: How many of the finest levels keep only windows around the keypoints.
        window_fraction: Side of a window as a fraction of the crop's height (the paper's 1/16).
        width: Channels of queries and tokens.
        heads: Attention heads.
        layers: Decoder layers.
        feedforward: Hidden width of the decoder's feed-forward blocks.
        depth_feedforward: The same in the depth encoder.
        dropout: Dropout in attention and feed-forward blocks, in training only.
        local_anchors: Local anchors per joint.
        global_anchor_rows, global_anchor_columns: The fixed grid on the root's plane.
        sampling_points: Samples per head and level in the 3D deformable attention.
        depth_level: Index of the level that the depth net reads. Default: stride 16, as its
            256 tokens cost a quarter of the 1,024 at the paper's stride 8.
        depth_blocks: Residual blocks in the depth net's trunk.
        depth_dilations: Dilations of the 3x3 branches of the ASPP.
        depth_bins: Bins of the depth distribution, uniform over the depth range.
        depth_range: Half the depth range in metres: bins cover root depth -range to +range.
        metric_scale: Metres per unit of the crop's [-1, 1] grid (u, v) and depth axis.
        metric_shift: Metres added after scaling.

    Raises:
        ValueError: If no such network can be built; the message names the field.
    """

    backbone: Literal["blazepose", "hrnet_w32", "hrnet_w48"] = "blazepose"
    anchors: Literal["both", "local", "global", "none"] = "both"
    joint_places: Literal["keypoints", "learned"] = "keypoints"
    lifting: Literal["joint", "shared", "none"] = "joint"
    depth_head: Literal["bins", "regression"] = "bins"
    sampling: Literal["prior", "random", "all"] = "prior"
    crop_height: int = 256
    crop_width: int = 256
    level_channels: tuple[int, ...] = (48, 48, 48)
    level_strides: tuple[int, ...] = (4, 8, 16)
    level_kernel: int = 1
    windowed_levels: int = 2
    window_fraction: float = 1 / 16
    width: int = 64
    heads: int = 4
    layers: int = 2
    feedforward: int = 256
    depth_feedforward: int = 256
    dropout: float = 0.1
    local_anchors: int = 4
    global_anchor_rows: int = 4
    global_anchor_columns: int = 4
    sampling_points: int = 4
    depth_level: int = 2
    depth_blocks: int = 1
    depth_dilations: tuple[int, ...] = (2, 4, 6)
    depth_bins: int = 64
    depth_range: float = 1.0
    metric_scale: tuple[float, float, float] = (1.1, 1.1, 1.0)
    metric_shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        """Refuse values that would fail, or give another network, only later."""
        for name in _POSITIVE:
            _expect(self, name, "a positive number", is_met=getattr(self, name) > 0)
        _check_levels(self)
        most = min(1.0, self.crop_width / self.crop_height)  # windows are squares in the crop
        is_met = self.window_fraction <= most
        _expect(self, "window_fraction", f"at most {most:g}", is_met=is_met)
        _expect(self, "level_kernel", "an odd number", is_met=self.level_kernel % 2 == 1)
        _expect(
            self,
            "width",
            f"a multiple of 4 and of the {self.heads} heads",
            is_met=not (self.width % 4 or self.width % self.heads),
        )
        _expect(self, "dropout", "0 to 1", is_met=0 <= self.dropout <= 1)
        for name in ("metric_scale", "metric_shift"):
            _expect(self, name, "3 numbers", is_met=len(getattr(self, name)) == 3)

    @staticmethod
    def paper(
        layers: int = 3, backbone: Literal["hrnet_w32", "hrnet_w48"] = "hrnet_w32"
    ) -> "ModelConfig":
        """Return the paper's configuration: HRNet-W32, 256x192, 15.229 M parameters to train.

        Args:
            layers: Decoder layers, 3 or 2 (Table 9).
            backbone: HRNet-W32 or HRNet-W48 (Table 10).
        """
        width = _HRNET_WIDTHS[backbone]
        return ModelConfig(
            backbone=backbone,
            crop_height=256,
            crop_width=192,
            level_channels=(width, 2 * width, 4 * width, 8 * width),
            level_strides=(4, 8, 16, 32),
            level_kernel=3,
            width=256,
            heads=8,
            layers=layers,
            feedforward=2048,
            depth_feedforward=2048,
            local_anchors=16,
            global_anchor_rows=16,
            global_anchor_columns=16,
            sampling_points=8,
            depth_level=1,
            depth_blocks=2,
            depth_dilations=(6, 12, 18),
            # The Human3.6M crop is metric at the root's depth: 95.5 px = 1 m, centre 0.1 m below.
            metric_scale=(96 / 95.5, 128 / 95.5, 1.0),
            metric_shift=(0.0, 0.1, 0.0),
        )


def _check_levels(config: ModelConfig) -> None:
    """Raise ValueError if the levels do not fit the backbone, the crop or each other."""
    for name in ("level_channels", "level_strides", "depth_dilations"):
        values = getattr(config, name)
        is_met = len(values) > 0 and all(isinstance(v, int) and v > 0 for v in values)
        _expect(config, name, "positive whole numbers", is_met=is_met)
    levels = len(config.level_channels)
    _expect(
        config,
        "level_strides",
        f"as many as the {levels} level_channels",
        is_met=len(config.level_strides) == levels,
    )
    # Only the width of another HRNet is refused: others fail when HRNet's file is loaded.
    first, own = config.level_channels[0], _HRNET_WIDTHS.get(config.backbone)
    is_another = own is not None and first != own and first in _HRNET_WIDTHS.values()
    expected = f"{own} first, as the backbone is {config.backbone}"
    _expect(config, "level_channels", expected, is_met=not is_another)
    for name in ("crop_height", "crop_width"):
        stride = max(config.level_strides)
        is_met = getattr(config, name) % stride == 0
        _expect(config, name, f"a multiple of the greatest stride, {stride}", is_met=is_met)
    last = levels - 1
    _expect(config, "depth_level", f"0 to {last}", is_met=0 <= config.depth_level <= last)
    is_met = 0 <= config.windowed_levels <= levels
    _expect(config, "windowed_levels", f"0 to {levels}", is_met=is_met)


def _expect(config: ModelConfig, name: str, expected: str, *, is_met: bool) -> None:
    """Raise ValueError naming a field unless a condition on it is met."""
    if not is_met:
        raise ValueError(f"{name}: expected {expected}; got {getattr(config, name)}")
