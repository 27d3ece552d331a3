"""What to do about Python packages that are missing or broken."""

import os


def packages_remedy() -> str:
    """Say how what the package needs is installed here: beside a ROS 2, or all by pip."""
    if os.environ.get("ROS_DISTRO"):
        # The wheels of ROS 2 in requirements.txt must not come beside the ROS 2 that is there.
        return (
            "rosdep install --from-paths src --ignore-src -y, then, in the virtual environment of "
            "docs/ros.md, pip install 'numpy<2' -r requirements-python.txt"
        )
    return "pip install -r requirements.txt -r requirements-python.txt"
