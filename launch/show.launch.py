"""Show people, bones and anchors: in RViz, in Foxglove, in a browser."""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from pandapose_ros.node.launch_arguments import camera_names, images_frame, upright_frame
from pandapose_ros.node.packages import require_package

SHARE = Path(__file__).resolve().parents[1]
CAMERA_HEIGHT = "1.0"  # m, only a guess for the floor that RViz draws
# Absolute topics of config/pandapose.rviz, which are remapped to the namespace.
RVIZ_TOPICS = ("markers", "anchor_markers", "depth_markers", "debug_image")

ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of all nodes"),
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="Names of the node's cameras; RViz and view show the first; empty: one camera",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="",
        choices=["", "true", "false", "True", "False"],  # Nav2's launch files pass the latter
        description="Use the time of /clock, for recordings and simulators; empty: what an "
        "including launch file has set, for pose_node the value in params_file",
    ),
    DeclareLaunchArgument(
        "rviz", default_value="false", choices=["true", "false"], description="Start RViz"
    ),
    DeclareLaunchArgument(
        "fixed_frame",
        default_value="",
        description="RViz's fixed frame; for a camera frame, a frame with z up is published, for "
        "Foxglove too; empty: that of a camera that is started, else camera_optical_frame",
    ),
    DeclareLaunchArgument(
        "foxglove",
        default_value="false",
        choices=["true", "false"],
        description="Start foxglove_bridge on port 8765",
    ),
    DeclareLaunchArgument(
        "view",
        default_value="false",
        choices=["true", "false"],
        description="Start the browser view on port 8080",
    ),
    DeclareLaunchArgument(
        "host",
        default_value="127.0.0.1",
        description="Address that view and foxglove serve on; 0.0.0.0: all interfaces, so that "
        "everybody who can reach the port sees the camera",
    ),
]
NAMES = [argument.name for argument in ARGUMENTS]


def start_displays(context: LaunchContext) -> list[Node]:
    """Return the nodes of the displays asked for."""
    values = {name: LaunchConfiguration(name).perform(context) for name in NAMES}
    values["use_sim_time"] = values["use_sim_time"].lower()
    values["fixed_frame"] = values["fixed_frame"] or started_frame(context)
    displays = {"rviz": rviz, "foxglove": foxglove, "view": viewer}
    nodes = [start(values) for name, start in displays.items() if values[name] == "true"]
    if needs_upright(values):
        nodes.append(upright_publisher(values["fixed_frame"]))
    return nodes


def started_frame(context: LaunchContext) -> str:
    """Return the frame of the camera that camera.launch.py starts, if it is included too."""
    camera = LaunchConfiguration("camera", default="none").perform(context)
    frame = LaunchConfiguration("camera_frame", default="camera_optical_frame").perform(context)
    return images_frame(camera, frame)


def rviz(values: dict[str, str]) -> Node:
    """Return RViz with this package's displays, in pose_node's namespace."""
    require_package("rviz2", "give rviz:=false, or view:=true for a browser")
    topics = topics_of(values)
    fixed_frame = upright_frame(values["fixed_frame"]) or values["fixed_frame"]
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=values["namespace"],
        arguments=["-d", str(SHARE / "config" / "pandapose.rviz"), "-f", fixed_frame],
        parameters=[clock_of(values)],
        remappings=[(f"/pose_node/{topic}", f"{topics}/{topic}") for topic in RVIZ_TOPICS],
    )


def needs_upright(values: dict[str, str]) -> bool:
    """Return whether a display that has z up is started, for people in a camera's frame."""
    has_z_up = "true" in (values["rviz"], values["foxglove"])
    return has_z_up and upright_frame(values["fixed_frame"]) != ""


def upright_publisher(camera: str) -> Node:
    """Return the static transform to a frame with z up, on the floor below a level camera.

    Args:
        camera: Its frame; the new one is its child, as it may have a parent already.
    """
    require_package("tf2_ros", "give fixed_frame:= a frame in which z is up")
    rotation = ["--qx", "0.5", "--qy", "-0.5", "--qz", "0.5", "--qw", "0.5"]
    frames = ["--frame-id", camera, "--child-frame-id", upright_frame(camera)]
    return Node(
        package="tf2_ros",
        executable="static_transform_publisher",
        arguments=["--y", CAMERA_HEIGHT, *rotation, *frames],
    )


def foxglove(values: dict[str, str]) -> Node:
    """Return the bridge that Foxglove connects to."""
    require_package("foxglove_bridge", "give foxglove:=false, or view:=true for a browser")
    return Node(
        package="foxglove_bridge",
        executable="foxglove_bridge",
        parameters=[{"address": values["host"]}, clock_of(values)],
        output="screen",
    )


def viewer(values: dict[str, str]) -> Node:
    """Return the server of the browser view."""
    return Node(
        package="pandapose_ros",
        executable="viewer",
        namespace=values["namespace"],
        parameters=[
            {
                "host": values["host"],
                "skeletons": f"{topics_of(values)}/skeletons",
            },
            clock_of(values),
        ],
        output="screen",
        emulate_tty=True,
    )


def clock_of(values: dict[str, str]) -> dict[str, bool]:
    """Return use_sim_time if it is given: else it would hide that of SetParameter."""
    is_given = values["use_sim_time"] != ""
    return {"use_sim_time": values["use_sim_time"] == "true"} if is_given else {}


def topics_of(values: dict[str, str]) -> str:
    """Return the prefix of the topics of pose_node, or of its first camera.

    Relative: an including launch file may have pushed a namespace, which all nodes here are in.
    """
    return "/".join(["pose_node", *camera_names(values["cameras"])[:1]])


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_displays)])
