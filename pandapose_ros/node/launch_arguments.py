"""What the arguments of the launch files mean: names of cameras and topics."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from pandapose_ros.frames.frame_names import is_z_up


def camera_names(text: str) -> list[str]:
    """Return the names in `left,right` or `[left, right]`; the node checks them.

    Args:
        text: As given to launch; empty: no names.
    """
    return [name for name in re.split(r"[\s,\[\]'\"]+", text) if name]


def input_topics(image: str, camera_info: str, depth: str, detections: str = "") -> dict[str, str]:
    """Return where the topics that a node subscribes to come from.

    Args:
        image: Topic of the images.
        camera_info: Of their calibration; empty: camera_info beside the image.
        depth: Of the depth images.
        detections: Of another detector's boxes; empty: none are asked for.
    """
    beside_image = "/".join([*image.removesuffix("/compressed").split("/")[:-1], "camera_info"])
    topics = {"image": image, "camera_info": camera_info or beside_image, "depth": depth}
    return topics | ({"detections": detections} if detections else {})


def driver_remappings(prefix: str, topics: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what makes a camera driver publish to the topics that a node subscribes to.

    Args:
        prefix: What stands before the driver's topics.
        topics: As of `input_topics`.
    """
    # From Kilted on, image_transport publishes camera_info beside the remapped images.
    beside_image = input_topics(topics["image"], "", "")["camera_info"]
    return [
        (f"{prefix}image_raw", topics["image"]),
        (f"{prefix}image_raw/compressed", f"{topics['image']}/compressed"),
        (f"{prefix}camera_info", topics["camera_info"]),
        (beside_image, topics["camera_info"]),
        ("~/aligned_depth_to_color/image_raw", topics["depth"]),
    ]


def parameter_files(argument: str, path: str) -> list[str]:
    """Return the files of parameters to start a node with: the one given, or none.

    Args:
        argument: Name of the launch argument.
        path: Its value; empty: no file.

    Raises:
        RuntimeError: If the file is not there: launch would start the node without it.
    """
    if path and not Path(path).is_file():
        raise RuntimeError(f"{argument}:={path} is not there (write $HOME in place of ~)")
    return [path] if path else []


def device_value(driver: str, device: str) -> str | int:
    """Return the value of a driver's parameter that chooses the camera.

    Args:
        driver: Name of its package.
        device: As given to launch.
    """
    if driver == "camera_ros" and device.isdigit():
        return int(device)
    if driver == "realsense2_camera":
        # In the file that launch writes, some serial numbers would be numbers (038322250306),
        # which the driver refuses. It takes a _ away.
        return f"_{device.removeprefix('_')}"
    return device


def images_frame(camera: str, camera_frame: str) -> str:
    """Return the frame_id of the images of a camera that is started.

    Args:
        camera: Its driver.
        camera_frame: What drivers that can choose it were told.
    """
    return "camera_color_optical_frame" if camera == "realsense2_camera" else camera_frame


def upright_frame(frame: str) -> str:
    """Return the name for a frame with z up at a camera, as RViz turns its view about z only.

    Args:
        frame: What RViz was to show everything in.

    Returns:
        Empty if z is up in that frame, which its name tells.
    """
    return "" if is_z_up(frame) else f"{frame}_upright"


def of_cameras(topics: Mapping[str, str], cameras: Sequence[str]) -> dict[str, str]:
    """Return the topics with each camera's name in front; without names the topics as they are.

    Args:
        topics: Where each of the node's topics comes from.
        cameras: The names.

    Raises:
        RuntimeError: If nothing can stand in front of a topic, as it is absolute.
    """
    if not cameras:
        return dict(topics)
    for topic in topics.values():
        if topic.startswith(("/", "~")):
            raise RuntimeError(
                f"no camera's name can stand in front of {topic}: with cameras:= give topics "
                "that do not start with it, and namespace:=NAME for what they share"
            )
    return {
        f"{camera}/{name}": f"{camera}/{topic}"
        for camera in cameras
        for name, topic in topics.items()
    }


def logger_name(pushed: str, namespace: str) -> str:
    """Return the name under which pose_node logs.

    Args:
        pushed: Namespace that an including launch file gives; empty: none.
        namespace: Of the node in it, or an absolute one; empty: none.
    """
    whole = namespace if namespace.startswith("/") else f"{pushed}/{namespace}"
    return ".".join([*filter(None, whole.split("/")), "pose_node"])


def misspelt(typed: Iterable[str], known: Collection[str]) -> list[str]:
    """Return which arguments do not exist, and what may be meant.

    Args:
        typed: NAME:=VALUE, as on the command line of `ros2 launch`; not those set by an including
            launch file, which may have declared others.
        known: Names of the arguments that exist.
    """
    names = sorted({text.partition(":=")[0] for text in typed} - set(known))
    close = {name: difflib.get_close_matches(name, known, n=1) for name in names}
    return [
        f"there is no argument '{name}'; did you mean '{match[0]}'?"
        for name, match in close.items()
        if match
    ]
