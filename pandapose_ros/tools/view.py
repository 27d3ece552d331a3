"""Show skeletons, anchors and the camera's image in a browser."""

import argparse
import os

from pandapose_ros.config import ViewerConfig
from pandapose_ros.tools.processes import node_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    defaults = ViewerConfig()
    parser.add_argument(
        "--skeletons", default=defaults.skeletons, help="topic; default: the first there is"
    )
    parser.add_argument(
        "--image", default=defaults.image, help="topic; default: that of the skeletons' node"
    )
    parser.add_argument(
        "--host",
        default=defaults.host,
        help=f"address to serve on (default: {defaults.host}, this computer only; 0.0.0.0: all)",
    )
    parser.add_argument("--port", type=int, default=defaults.port, help=f"({defaults.port})")


def run(args: argparse.Namespace) -> int:
    """Become the viewer node, so that signals reach it; never returns."""
    parameters = {name: getattr(args, name) for name in ("skeletons", "image", "host", "port")}
    command = node_command("viewer", "", parameters, {})
    os.execv(command[0], command)
