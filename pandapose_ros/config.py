"""Every default of the package, once, in frozen dataclasses.

ROS parameters and command lines are declared from these; YAML files hold only what differs.
Metadata of a field: `doc` (one line), `low` and `high` (inclusive bounds), `live` (may change
while the node runs; read at the next frame).
"""

from dataclasses import dataclass, field
from typing import Any, Literal


def _option(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    live: bool = False,
) -> Any:
    return field(default=default, metadata={"doc": doc, "low": low, "high": high, "live": live})


@dataclass(frozen=True)
class ModelConfig:
    """Describe one PandaPose network; the default fits BlazePose features and two CPU cores.

    The paper leaves open the width, heads, sampling points, local anchors per joint and the
    depth range; those are our choice, in `paper()` such that its parameter counts are met.

    The default is sized for 80 ms a person on two CPU cores, landmark net included (measured: 33
    ms for the lifter and 23 ms for the landmark net on one core). Cost goes with tokens first:
    half the width, 200 anchors instead of 528, 256 depth tokens instead of 768. Two decoder
    layers cost the paper 0.5 mm (Table 9), and a third 6 ms here. The 64 bins stay: 16 cost the
    paper 0.9 mm (Table 6), and as a 1x1 convolution over 256 pixels they take 1 ms.

    Attributes:
        backbone: Which frozen network gives the feature levels.
        crop_height, crop_width: Input size in pixels.
        level_channels: Channels of the backbone's feature levels, finest first.
        level_strides: Strides of these levels in pixels.
        level_kernel: Side of the convolution that brings a level to `width` channels. 1 in the
            default: at stride 4 a 3x3 one alone would cost 5 ms on two cores.
        windowed_levels: How many of the finest levels keep only windows round the keypoints.
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
    """

    backbone: Literal["blazepose", "hrnet_w32"] = "blazepose"
    crop_height: int = 256
    crop_width: int = 256
    level_channels: tuple[int, ...] = (48, 48, 48)
    level_strides: tuple[int, ...] = (4, 8, 16)
    level_kernel: int = 1
    windowed_levels: int = 2
    window_fraction: float = 1 / 16
    width: int = 128
    heads: int = 4
    layers: int = 2
    feedforward: int = 512
    depth_feedforward: int = 512
    dropout: float = 0.1
    local_anchors: int = 8
    global_anchor_rows: int = 8
    global_anchor_columns: int = 8
    sampling_points: int = 4
    depth_level: int = 2
    depth_blocks: int = 1
    depth_dilations: tuple[int, ...] = (2, 4, 6)
    depth_bins: int = 64
    depth_range: float = 1.0
    metric_scale: tuple[float, float, float] = (1.1, 1.1, 1.0)
    metric_shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @staticmethod
    def paper(layers: int = 3) -> "ModelConfig":
        """Return the paper's configuration: HRNet-W32, 256x192, 15.229 M parameters to train.

        Args:
            layers: Decoder layers, 3 or 2 (Table 9).
        """
        return ModelConfig(
            backbone="hrnet_w32",
            crop_height=256,
            crop_width=192,
            level_channels=(32, 64, 128, 256),
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


@dataclass(frozen=True)
class EstimatorConfig:
    """Set how people are found in an image and lifted to 3D."""

    weights: str = _option("", "Lifter weights (.safetensors); empty: those of the package")
    model_dir: str = _option("", "Folder of the BlazePose files; empty: the per-user data folder")
    device: str = _option("auto", "auto, cpu, cuda or cuda:N; auto takes CUDA when there is one")
    threads: int = _option(0, "CPU threads; 0 lets PyTorch choose", low=0, high=256)
    max_people: int = _option(
        5, "People followed at a time, best first", low=1, high=30, live=True
    )
    detection_score: float = _option(
        0.5, "Least score of the person detector", low=0.0, high=1.0, live=True
    )
    presence_score: float = _option(
        0.5, "Least score of the landmark net to keep a person", low=0.0, high=1.0, live=True
    )
    tracking: bool = _option(
        True, "Take regions from the last frame; detect when needed", live=True
    )
    detection_interval: int = _option(
        15,
        "Frames between looks for new people while some are tracked",
        low=1,
        high=1000,
        live=True,
    )
    field_of_view: float = _option(
        1.05,
        "Horizontal field of view assumed without intrinsics; 0: none [rad]",
        low=0.0,
        high=3.0,
    )


@dataclass(frozen=True)
class NodeConfig:
    """Set how `pose_node` treats images and draws markers."""

    autostart: bool = _option(True, "Configure and activate at start, without a lifecycle manager")
    frame_id: str = _option("", "Optical frame to publish in; empty: the image's frame_id")
    rectified: bool = _option(
        False, "Images are rectified: camera_info's P counts, not its K and distortion", live=True
    )
    max_image_age: float = _option(
        0.0,
        "Drop images older than this when their turn comes; 0: none [s]",
        low=0.0,
        high=3600.0,
        live=True,
    )
    image_timeout: float = _option(
        5.0,
        "Time without images after which a warning is logged [s]",
        low=0.1,
        high=3600.0,
        live=True,
    )
    marker_score: float = _option(
        0.3, "Least joint score for a joint to be drawn as a marker", low=0.0, high=1.0, live=True
    )
    marker_lifetime: float = _option(
        0.5,
        "Time after which RViz forgets markers of a node that is gone [s]",
        low=0.0,
        high=3600.0,
        live=True,
    )


@dataclass(frozen=True)
class VideoCameraConfig:
    """Set what `video_camera` publishes as a camera."""

    source: str = _option("0", "Video or image file, or the index of a webcam")
    rate: float = _option(0.0, "Images per second; 0: the source's own [Hz]", low=0.0, high=1000.0)
    loop: bool = _option(False, "Start a file again at its end")
    frame_id: str = _option("camera_optical_frame", "Optical frame of the images")
    calibration: str = _option("", "Calibration file (YAML) for camera_info; empty: field_of_view")
    field_of_view: float = _option(
        1.05, "Horizontal field of view for camera_info; 0: publish none [rad]", low=0.0, high=3.0
    )
    width: int = _option(
        0, "Image width asked of a webcam; 0: its default [px]", low=0, high=16384
    )
    height: int = _option(
        0, "Image height asked of a webcam; 0: its default [px]", low=0, high=16384
    )
    wait_for_subscribers: int = _option(
        0, "Wait for this many subscribers before the first image", low=0, high=100
    )


@dataclass(frozen=True)
class RecorderConfig:
    """Set what `recorder`, the demo's listener, writes."""

    out: str = _option("recording.npz", "File to write at the end")
    frames: int = _option(0, "Images to expect, for the progress bar; 0: unknown", low=0)
    seconds: float = _option(0.0, "Stop this long after the first image; 0: never [s]", low=0.0)


@dataclass(frozen=True)
class SkeletonSampleConfig:
    """Set how skeleton-only training samples are drawn."""

    stature: tuple[float, float] = _option((1.45, 1.95), "Least and greatest stature [m]")
    limb_variation: float = _option(0.1, "Greatest relative change of a limb's length", low=0.0)
    elevation: tuple[float, float] = _option(
        (-0.5, 0.6), "Angle by which the camera looks down on the pelvis, least, greatest [rad]"
    )
    distance: tuple[float, float] = _option((1.5, 8.0), "Camera to pelvis, least, greatest [m]")
    lying: float = _option(0.04, "Share of people tilted by any angle", low=0.0, high=1.0)
    region_size_jitter: float = _option(0.12, "Relative, uniform", low=0.0)
    region_centre_jitter: float = _option(0.04, "Share of the region's size, uniform", low=0.0)
    region_angle_jitter: float = _option(0.17, "Uniform [rad]", low=0.0)
    noise: float = _option(1.0, "Scale of the keypoints' noise; 0: none", low=0.0)
    clean: float = _option(0.1, "Share of samples without noise", low=0.0, high=1.0)
    swapped: float = _option(0.02, "Share of limbs whose left and right are mixed up", low=0.0)


@dataclass(frozen=True)
class TrainConfig:
    """Set how the lifter is trained."""

    steps: int = _option(6000, "Optimiser steps of the whole schedule", low=1)
    batch: int = _option(64, "Skeleton-only samples in a step", low=1)
    image_batch: int = _option(32, "Samples with image features in a step", low=1)
    skeleton_steps: int = _option(
        1, "Skeleton-only steps after each step with images; 0: images only", low=0
    )
    held_out_clips: int = _option(20, "Last clips by name, kept for testing", low=1)
    learning_rate: float = _option(4e-4, "Greatest, of AdamW", low=0.0)
    final_learning_rate: float = _option(0.02, "Share of it that is left at the end", low=0.0)
    weight_decay: float = _option(0.1, "Of AdamW", low=0.0)
    warm_up: int = _option(300, "Steps over which the learning rate rises", low=1)
    clip: float = _option(1.0, "Greatest norm of the gradient", low=0.0)
    average: float = _option(0.998, "Decay per step of the averaged weights", low=0.0, high=1.0)
    dropout: float = _option(0.0, "In attention and feed-forward blocks", low=0.0, high=1.0)
    seed: int = _option(0, "Of all chance", low=0)
    save_every: int = _option(200, "Steps between checkpoints", low=1)
