"""Start a camera, and remap its images and calibration to the topics asked for."""

from pathlib import Path
from typing import NamedTuple

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from pandapose_ros.node.launch_arguments import (
    device_value,
    driver_remappings,
    input_topics,
    parameter_files,
)
from pandapose_ros.node.packages import require_package

ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of all nodes"),
    DeclareLaunchArgument(
        "camera",
        default_value="none",
        choices=["none", "video", "usb_cam", "v4l2_camera", "camera_ros", "realsense2_camera"],
        description="Camera driver to start; video: a webcam or a file, see source",
    ),
    DeclareLaunchArgument(
        "cameras", default_value="", description="Must be empty if a camera is started here"
    ),
    DeclareLaunchArgument(
        "image_topic", default_value="image_raw", description="Topic of the camera's images"
    ),
    DeclareLaunchArgument(
        "camera_info_topic",
        default_value="",
        description="Topic of camera_info; empty: camera_info in the namespace of image_topic",
    ),
    DeclareLaunchArgument(
        "depth_topic",
        default_value="depth",
        description="Topic for the depth images of realsense2_camera",
    ),
    DeclareLaunchArgument(
        "source", default_value="0", description="Video file or webcam index for camera:=video"
    ),
    DeclareLaunchArgument(
        "loop",
        default_value="true",
        choices=["true", "false"],
        description="Play a video file in a loop",
    ),
    DeclareLaunchArgument(
        "camera_device",
        default_value="",
        description="Camera device: such as /dev/video0 for usb_cam and v4l2_camera, an index or "
        "name for camera_ros, a serial number for realsense2_camera; empty: the driver's default",
    ),
    DeclareLaunchArgument(
        "camera_params_file",
        default_value="",
        description="YAML file with parameters of the camera driver",
    ),
    DeclareLaunchArgument(
        "camera_frame",
        default_value="camera_optical_frame",
        description="frame_id of the images; realsense2_camera uses its own",
    ),
]
NAMES = [argument.name for argument in ARGUMENTS]


class Driver(NamedTuple):
    """Name what differs between the drivers' packages.

    Attributes:
        executable: The program to run.
        prefix: What stands before its topics.
        device: Parameter that chooses the camera.
        frame: Parameter for the frame_id; empty: it has none.
    """

    executable: str
    prefix: str
    device: str
    frame: str


DRIVERS = {
    "usb_cam": Driver("usb_cam_node_exe", "", "video_device", "frame_id"),
    "v4l2_camera": Driver("v4l2_camera_node", "", "video_device", "camera_frame_id"),
    "camera_ros": Driver("camera_node", "~/", "camera", "frame_id"),
    "realsense2_camera": Driver("realsense2_camera_node", "~/color/", "serial_no", ""),
}
# As in the driver's own launch file: the program by itself starts every stream of the camera.
REALSENSE_PARAMETERS = {
    "align_depth.enable": True,
    "enable_infra": False,
    "enable_infra1": False,
    "enable_infra2": False,
    "enable_gyro": False,
    "enable_accel": False,
    "enable_motion": False,
}


def start_camera(context: LaunchContext) -> list[Node]:
    """Return the camera's node, if there is one."""
    values = {name: LaunchConfiguration(name).perform(context) for name in NAMES}
    camera = values["camera"]
    if camera == "none":
        return []
    if values["cameras"]:
        raise RuntimeError(
            f"camera:={camera} starts one camera only: give camera:=none and start those of "
            f"cameras:={values['cameras']} by themselves"
        )
    topics = input_topics(
        values["image_topic"], values["camera_info_topic"], values["depth_topic"]
    )
    files = parameter_files("camera_params_file", values["camera_params_file"])
    start = video_camera if camera == "video" else driver_node
    return [start(values, topics, files)]


def driver_node(values: dict[str, str], topics: dict[str, str], files: list[str]) -> Node:
    """Return the node of a camera driver."""
    camera, device = values["camera"], values["camera_device"]
    require_package(camera)
    driver = DRIVERS[camera]
    parameters: dict[str, str | int | bool] = {}
    if device:
        parameters[driver.device] = device_value(camera, device)
    if driver.frame:
        parameters[driver.frame] = values["camera_frame"]
    if camera == "realsense2_camera":
        parameters |= REALSENSE_PARAMETERS
    return Node(
        package=camera,
        executable=driver.executable,
        name="camera",
        namespace=values["namespace"],
        parameters=[parameters, *files],
        remappings=driver_remappings(driver.prefix, topics),
        output="screen",
    )


def video_camera(values: dict[str, str], topics: dict[str, str], files: list[str]) -> Node:
    """Return this package's camera node, which plays a file or a webcam."""
    if not values["source"].isdigit() and not Path(values["source"]).is_file():
        raise RuntimeError(f"source:={values['source']} is neither a file nor a webcam's index")
    return Node(
        package="pandapose_ros",
        executable="video_camera",
        namespace=values["namespace"],
        parameters=[
            {
                "source": values["source"],
                "loop": values["loop"] == "true",
                "frame_id": values["camera_frame"],
            },
            *files,
        ],
        remappings=[("image_raw", topics["image"]), ("camera_info", topics["camera_info"])],
        output="screen",
        emulate_tty=True,
    )


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_camera)])
