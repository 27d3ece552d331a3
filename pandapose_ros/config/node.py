"""Defaults of the nodes."""

from dataclasses import dataclass

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class NodeConfig:
    """Set how `pose_node` treats images."""

    autostart: bool = option(True, "Configure and activate at start, without a lifecycle manager")
    cameras: tuple[str, ...] = option(
        ("",),
        "Names of several cameras: topics NAME/image, ~/NAME/skeletons; one empty name: none",
    )
    image_transport: str = option(
        "raw",
        "raw: Image on `image`; compressed: JPEG or PNG on `image`/compressed",
        choices=("raw", "compressed"),
    )
    lazy: bool = option(
        False,
        "Take images only while somebody subscribes to a result; publish_tf and publish_hri count",
        live=True,
    )
    frame_id: str = option("", "Optical frame to publish in; empty: the image's frame_id")
    rectified: bool = option(
        False, "Images are rectified: camera_info's P counts, not its K and distortion", live=True
    )
    depth_window: float = option(
        0.04,
        "Greatest difference of an image's and its depth's stamps, longest wait; 0: no depth [s]",
        low=0.0,
        high=1.0,
    )
    max_image_age: float = option(
        0.0,
        "Drop images older than this when their turn comes; 0: none [s]",
        low=0.0,
        high=3600.0,
        live=True,
    )
    image_timeout: float = option(
        5.0,
        "Time without images after which a warning is logged [s]",
        low=0.1,
        high=3600.0,
        live=True,
    )


@dataclass(frozen=True)
class VideoCameraConfig:
    """Set what `video_camera` publishes as a camera."""

    source: str = option("0", "Video or image file, or the index of a webcam")
    rate: float = option(
        0.0,
        "Images per second, of a webcam at most; 0: the source's own [Hz]",
        low=0.0,
        high=1000.0,
    )
    loop: bool = option(False, "Start a file again at its end")
    frame_id: str = option("camera_optical_frame", "Optical frame of the images")
    calibration: str = option("", "Calibration file (YAML) for camera_info; empty: field_of_view")
    field_of_view: float = option(
        1.05, "Horizontal field of view for camera_info; 0: publish none [rad]", low=0.0, high=3.0
    )
    width: int = option(0, "Image width asked of a webcam; 0: its default [px]", low=0, high=16384)
    height: int = option(
        0, "Image height asked of a webcam; 0: its default [px]", low=0, high=16384
    )
    wait_for_subscribers: int = option(
        0, "Wait for this many subscribers before the first image", low=0, high=100
    )


@dataclass(frozen=True)
class RecorderConfig:
    """Set what `recorder`, the demo's listener, writes."""

    out: str = option("recording.npz", "File to write at the end")
    frames: int = option(0, "Images to expect, for the progress bar; 0: unknown", low=0)
    seconds: float = option(0.0, "Stop this long after the first image; 0: never [s]", low=0.0)
