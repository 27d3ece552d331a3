"""Start a camera whose images and calibration come on the topics that are asked for."""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from pandapose_ros.node.launch_arguments import input_topics
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

# Of each driver: package, program, its topics, its parameters for the device and for the frame.
DRIVERS = {
    "usb_cam": ("usb_cam", "usb_cam_node_exe", "", "video_device", "frame_id"),
    "v4l2_camera": ("v4l2_camera", "v4l2_camera_node", "", "video_device", "camera_frame_id"),
    "camera_ros": ("camera_ros", "camera_node", "~/", "camera", "frame_id"),
    "realsense2_camera": (
        "realsense2_camera",
        "realsense2_camera_node",
        "~/color/",
        "serial_no",
        "",
    ),
}


def start_camera(context: LaunchContext) -> list[Node]:
    """Return the camera's node, if there is one."""
    values = {name: LaunchConfiguration(name).perform(context) for name in NAMES}
    camera, image_topic = values["camera"], values["image_topic"]
    topics = input_topics(image_topic, values["camera_info_topic"], values["depth_topic"])
    camera_info_topic = topics["camera_info"]
    if camera == "none":
        return []
    if values["cameras"]:
        raise RuntimeError(
            f"camera:={camera} starts one camera only: give camera:=none and start those of "
            f"cameras:={values['cameras']} by themselves"
        )
    files = [values["camera_params_file"]] if values["camera_params_file"] else []
    if camera == "video":
        return [video_camera(values, files, image_topic, camera_info_topic)]
    package, program, names, device, frame = DRIVERS[camera]
    require_package(package)
    parameters = {}
    if values["camera_device"] and device == "camera" and values["camera_device"].isdigit():
        parameters[device] = int(values["camera_device"])
    elif values["camera_device"]:
        parameters[device] = values["camera_device"]
    if frame:
        parameters[frame] = values["camera_frame"]
    if camera == "realsense2_camera":
        parameters["align_depth.enable"] = True
    return [
        Node(
            package=package,
            executable=program,
            name="camera",
            namespace=values["namespace"],
            parameters=[parameters, *files],
            remappings=[
                (f"{names}image_raw", image_topic),
                (f"{names}image_raw/compressed", f"{image_topic}/compressed"),
                (f"{names}camera_info", camera_info_topic),
                ("~/aligned_depth_to_color/image_raw", values["depth_topic"]),
            ],
            output="screen",
        )
    ]


def video_camera(
    values: dict[str, str], files: list[str], image_topic: str, camera_info_topic: str
) -> Node:
    """Return our own camera, which plays a file or a webcam."""
    if values["source"].isdigit() is False and not Path(values["source"]).is_file():
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
        remappings=[("image_raw", image_topic), ("camera_info", camera_info_topic)],
        output="screen",
        emulate_tty=True,
    )


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_camera)])
