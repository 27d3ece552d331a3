"""Play the demo clip to pose_node, and show the result."""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription

SHARE = Path(__file__).resolve().parents[1]


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "source",
                default_value=str(SHARE / "config" / "demo" / "walk.mp4"),
                description="Video file or webcam index to play",
            ),
            DeclareLaunchArgument(
                "rviz",
                default_value="true",
                choices=["true", "false"],
                description="Start RViz",
            ),
            DeclareLaunchArgument(
                "view",
                default_value="false",
                choices=["true", "false"],
                description="Start the browser view on port 8080",
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SHARE / "launch" / "pandapose.launch.py")),
                launch_arguments={
                    "camera": "video",
                    "source": LaunchConfiguration("source"),
                    "rviz": LaunchConfiguration("rviz"),
                    "view": LaunchConfiguration("view"),
                }.items(),
            ),
        ]
    )
