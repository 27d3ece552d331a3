"""Defaults of the nodes."""

from dataclasses import dataclass

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class NodeConfig:
    """Set how `pose_node` treats images."""

    autostart: bool = option(
        True, "Configure and activate at startup, without a lifecycle manager"
    )
    cameras: tuple[str, ...] = option(
        ("",),
        "Names of several cameras, for topics NAME/image, ~/NAME/skeletons; one empty name: a "
        "single camera without prefix",
    )
    image_transport: str = option(
        "raw",
        "raw: subscribe to `image`; compressed: to `image`/compressed, JPEG or PNG",
        choices=("raw", "compressed"),
    )
    lazy: bool = option(
        False,
        "Process images only while somebody subscribes to a result; publish_tf and publish_hri "
        "count as subscribers",
        live=True,
    )
    frame_id: str = option(
        "", "Optical frame of the images, overrides their frame_id; empty: the image's frame_id"
    )
    rectified: bool = option(
        False, "Images are rectified: use P of camera_info instead of K and distortion", live=True
    )
    depth_window: float = option(
        0.04,
        "Maximum difference between the stamps of an image and its depth image, and maximum wait "
        "for depth; 0: no depth [s]",
        low=0.0,
        high=1.0,
    )
    use_detections: bool = option(
        False,
        "Find people by the boxes of another detector, vision_msgs/Detection2DArray on the topic "
        "`detections`, in place of the built-in one; needs vision_msgs",
    )
    detections_window: float = option(
        1.0,
        "Maximum difference between the stamps of an image and the detections used for it [s]",
        low=0.0,
        high=10.0,
        live=True,
    )
    detections_classes: tuple[str, ...] = option(
        ("person", "0"),
        "Class IDs that mean a person in `detections`; one empty name: every class",
        live=True,
    )
    max_image_age: float = option(
        0.0,
        "Drop images whose stamp is older than this when processing starts; 0: never [s]",
        low=0.0,
        high=3600.0,
        live=True,
    )
    image_timeout: float = option(
        5.0,
        "Time without images, or without detections, until a warning is logged [s]",
        low=0.1,
        high=3600.0,
        live=True,
    )


@dataclass(frozen=True)
class VideoCameraConfig:
    """Set what `video_camera` publishes as a camera."""

    source: str = option("0", "Video or image file, or index of a webcam")
    rate: float = option(
        0.0,
        "Images per second (for a webcam, the maximum); 0: the source's own rate [Hz]",
        low=0.0,
        high=1000.0,
    )
    loop: bool = option(False, "Restart a file at its end")
    frame_id: str = option("camera_optical_frame", "Optical frame of the images")
    calibration: str = option("", "Calibration file (YAML) for camera_info; empty: field_of_view")
    field_of_view: float = option(
        1.05, "Horizontal field of view for camera_info; 0: publish none [rad]", low=0.0, high=3.0
    )
    width: int = option(
        0, "Image width requested from a webcam; 0: its default [px]", low=0, high=16384
    )
    height: int = option(
        0, "Image height requested from a webcam; 0: its default [px]", low=0, high=16384
    )
    wait_for_subscribers: int = option(
        0, "Number of subscribers to wait for before the first image", low=0, high=100
    )


@dataclass(frozen=True)
class RecorderConfig:
    """Set what `recorder`, the demo's listener, writes."""

    out: str = option("recording.npz", "File to write at the end")
    frames: int = option(0, "Images to expect, for the progress bar; 0: unknown", low=0)
    seconds: float = option(0.0, "Stop this long after the first image; 0: never [s]", low=0.0)
