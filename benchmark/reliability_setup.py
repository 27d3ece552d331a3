"""What has to be set before rclpy, OpenCV and PyTorch are loaded."""

import os
from pathlib import Path

# Nothing leaves the machine, and images fit into shared memory.
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
os.environ.setdefault(
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    str(Path(__file__).resolve().parents[1] / "config" / "fastdds.xml"),
)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
