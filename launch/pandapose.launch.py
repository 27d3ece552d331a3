"""Start pose_node and, as asked, a camera or a recording, and displays."""

import os
from pathlib import Path

from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from pandapose_ros.node.launch_arguments import (
    camera_names,
    input_topics,
    logger_name,
    misspelt,
    of_cameras,
    parameter_files,
)
from pandapose_ros.node.packages import require_package
from pandapose_ros.packaged_weights import WEIGHTS_CHOICE

SHARE = Path(__file__).resolve().parents[1]
INCLUDED = (
    PythonLaunchDescriptionSource(str(SHARE / "launch" / "camera.launch.py")),
    PythonLaunchDescriptionSource(str(SHARE / "launch" / "show.launch.py")),
)
# Fast DDS reads the first from Kilted on, the second before.
DDS_PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")

ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of all nodes"),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(SHARE / "config" / "pandapose.yaml"),
        description="YAML file with parameters of pose_node",
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
        description="Topic of depth images that are registered to the images; optional",
    ),
    DeclareLaunchArgument(
        "detections_topic",
        default_value="",
        description="Topic of another detector's boxes (vision_msgs/Detection2DArray) to find "
        "people by; empty: `detections`, if params_file sets use_detections",
    ),
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="Names of several cameras, such as left,right; topics get the name as a "
        "prefix (left/image_raw, pose_node/left/skeletons); empty: the value in params_file",
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="",
        choices=["", "raw", "compressed"],
        description="Transport of the images; empty: the value in params_file",
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        description="auto, cpu, cuda or cuda:N; empty: the value in params_file",
    ),
    DeclareLaunchArgument(
        "weights",
        default_value="",
        description=f"{WEIGHTS_CHOICE}; empty: the value in params_file",
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="Minimum severity of pose_node's log messages",
    ),
    DeclareLaunchArgument(
        "bag",
        default_value="",
        description="Recording to play in a loop, with its clock (use_sim_time)",
    ),
    DeclareLaunchArgument(
        "dds_profile",
        default_value=EnvironmentVariable(
            DDS_PROFILES[0],
            default_value=EnvironmentVariable(
                DDS_PROFILES[1], default_value=str(SHARE / "config" / "fastdds.xml")
            ),
        ),
        description="Fast DDS profile with enough shared memory for images",
    ),
]
NAMES = [argument.name for argument in ARGUMENTS]


def start_nodes(context: LaunchContext) -> list[Node | ExecuteProcess]:
    """Return pose_node and, if asked for, a player of a recording."""
    values = {name: LaunchConfiguration(name).perform(context) for name in NAMES}
    warn_of_misspelt(context)
    values["use_sim_time"] = LaunchConfiguration("use_sim_time").perform(context).lower()
    # By an including launch file (PushRosNamespace).
    pushed = context.launch_configurations.get("ros_namespace", "")
    logger = logger_name(pushed, values["namespace"])
    nodes: list[Node | ExecuteProcess] = [pose_node(values, logger)]
    if values["bag"]:
        nodes.append(bag_player(values["bag"]))
    return nodes


def set_use_sim_time(context: LaunchContext) -> None:
    """Set use_sim_time for every node if a recording is played."""
    if LaunchConfiguration("bag").perform(context):
        context.launch_configurations["use_sim_time"] = "true"


def warn_of_misspelt(context: LaunchContext) -> None:
    """Warn of arguments on the command line that launch would silently ignore."""
    known = set(NAMES)
    for source in INCLUDED:
        included = source.get_launch_description(context)
        known |= {argument.name for argument in included.get_launch_arguments()}
    for warning in misspelt(context.argv, known):
        get_logger("pandapose").warning(warning)


def pose_node(values: dict[str, str], logger: str) -> Node:
    """Return pose_node; arguments that are given override the params_file."""
    given: dict[str, str | bool | list[str]] = {
        name: values[name] for name in ("device", "image_transport", "weights") if values[name]
    }
    cameras = camera_names(values["cameras"])
    if cameras:
        given["cameras"] = cameras
    if values["use_sim_time"]:
        given["use_sim_time"] = values["use_sim_time"] == "true"
    if values["detections_topic"]:
        given["use_detections"] = True
    topics = input_topics(
        values["image_topic"],
        values["camera_info_topic"],
        values["depth_topic"],
        values["detections_topic"],
    )
    return Node(
        package="pandapose_ros",
        executable="pose_node",
        name="pose_node",
        namespace=values["namespace"],
        parameters=[*parameter_files("params_file", values["params_file"]), given],
        remappings=of_cameras(topics, cameras).items(),
        ros_arguments=["--log-level", f"{logger}:={values['log_level']}"],
        output="screen",
        emulate_tty=True,
    )


def bag_player(bag: str) -> ExecuteProcess:
    """Return a player of a recording, which publishes /clock too."""
    if not Path(bag).exists():
        raise RuntimeError(f"bag:={bag} is not there")
    require_package("ros2bag", "estimate without playing it: pandapose bag", apt_name="rosbag2")
    command = ["ros2", "bag", "play", bag, "--clock", "--loop"]
    if os.environ.get("ROS_DISTRO") != "humble":  # whose player cannot leave topics out
        # Results that were recorded would be mixed with the new ones.
        command += ["--exclude-regex", ".*/pose_node/.*"]
    return ExecuteProcess(cmd=command, output="screen")


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    return LaunchDescription(
        [
            *ARGUMENTS,
            *(
                SetEnvironmentVariable(variable, LaunchConfiguration("dds_profile"))
                for variable in DDS_PROFILES
            ),
            OpaqueFunction(function=set_use_sim_time),
            *(IncludeLaunchDescription(source) for source in INCLUDED),
            OpaqueFunction(function=start_nodes),
        ]
    )
