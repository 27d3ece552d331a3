"""Start pose_node and, as asked, a camera and RViz."""

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

SHARE = Path(__file__).resolve().parents[1]
# Absolute topics of config/pandapose.rviz that move with the namespace.
RVIZ_TOPICS = ("markers", "anchor_markers", "depth_markers", "debug_image")

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
        description="Topic of the camera's calibration; empty: camera_info beside the image",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="false",
        choices=["true", "false"],
        description="Take the time from /clock, for recordings and simulators",
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="Least severity that pose_node logs",
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        description="auto, cpu, cuda or cuda:N; empty: as the params_file says",
    ),
    DeclareLaunchArgument(
        "camera",
        default_value="none",
        choices=["none", "video"],
        description="Camera to start too; video: a webcam or a file, see source",
    ),
    DeclareLaunchArgument(
        "source", default_value="0", description="Video file or webcam index for camera:=video"
    ),
    DeclareLaunchArgument(
        "loop",
        default_value="true",
        choices=["true", "false"],
        description="Play a video file again and again",
    ),
    DeclareLaunchArgument(
        "rviz", default_value="false", choices=["true", "false"], description="Start RViz too"
    ),
    DeclareLaunchArgument(
        "fixed_frame",
        default_value="camera_optical_frame",
        description="Frame that RViz shows everything in",
    ),
    DeclareLaunchArgument(
        "dds_profile",
        default_value=EnvironmentVariable(
            "FASTRTPS_DEFAULT_PROFILES_FILE", default_value=str(SHARE / "config" / "fastdds.xml")
        ),
        description="Fast DDS profile with room for images in shared memory",
    ),
]
NAMES = [argument.name for argument in ARGUMENTS]


def start_nodes(context: LaunchContext) -> list[Node]:
    """Return the nodes; a function, as topics and parameters depend on the arguments."""
    values = {name: LaunchConfiguration(name).perform(context) for name in NAMES}
    image_topic = values["image_topic"]
    beside_image = "/".join([*image_topic.split("/")[:-1], "camera_info"])
    camera_info_topic = values["camera_info_topic"] or beside_image
    nodes = [pose_node(values, image_topic, camera_info_topic)]
    if values["camera"] == "video":
        nodes.append(video_camera(values, image_topic, camera_info_topic))
    if values["rviz"] == "true":
        nodes.append(rviz(values))
    return nodes


def pose_node(values: dict[str, str], image_topic: str, camera_info_topic: str) -> Node:
    """Return the node itself; arguments win over the params_file only where they are given."""
    return Node(
        package="pandapose_ros",
        executable="pose_node",
        name="pose_node",
        namespace=values["namespace"],
        parameters=[
            values["params_file"],
            {"use_sim_time": values["use_sim_time"] == "true"},
            {"device": values["device"]} if values["device"] else {},
        ],
        remappings=[("image", image_topic), ("camera_info", camera_info_topic)],
        ros_arguments=[
            "--log-level",
            f"{logger_name(values['namespace'])}:={values['log_level']}",
        ],
        output="screen",
        emulate_tty=True,
    )


def logger_name(namespace: str) -> str:
    """Return the name under which pose_node logs."""
    return ".".join([*namespace.strip("/").split("/"), "pose_node"]).lstrip(".")


def video_camera(values: dict[str, str], image_topic: str, camera_info_topic: str) -> Node:
    """Return a camera that plays a file or a webcam."""
    return Node(
        package="pandapose_ros",
        executable="video_camera",
        namespace=values["namespace"],
        parameters=[{"source": values["source"], "loop": values["loop"] == "true"}],
        remappings=[("image_raw", image_topic), ("camera_info", camera_info_topic)],
        output="screen",
        emulate_tty=True,
    )


def rviz(values: dict[str, str]) -> Node:
    """Return RViz with our displays, in the clock and namespace of the node."""
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError as error:
        raise RuntimeError(
            "RViz is not installed: sudo apt install ros-$ROS_DISTRO-rviz2, or give rviz:=false"
        ) from error
    namespace = values["namespace"].strip("/")
    prefix = f"/{namespace}" if namespace else ""
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=values["namespace"],
        arguments=["-d", str(SHARE / "config" / "pandapose.rviz"), "-f", values["fixed_frame"]],
        parameters=[{"use_sim_time": values["use_sim_time"] == "true"}],
        remappings=[
            (f"/pose_node/{topic}", f"{prefix}/pose_node/{topic}") for topic in RVIZ_TOPICS
        ],
    )


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    return LaunchDescription(
        [
            *ARGUMENTS,
            SetEnvironmentVariable(
                "FASTRTPS_DEFAULT_PROFILES_FILE", LaunchConfiguration("dds_profile")
            ),
            OpaqueFunction(function=start_nodes),
        ]
    )
