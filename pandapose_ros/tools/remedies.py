"""What to do about Python packages that are missing or broken."""

import os


def packages_remedy() -> str:
    """Say how what the package needs is installed here: beside a ROS 2, or all by pip."""
    if os.environ.get("ROS_DISTRO"):
        # The wheels of ROS 2 in requirements.txt must not come beside the ROS 2 that is there.
        return (
            "rosdep install --from-paths src --ignore-src -y, then, in the virtual environment of "
            f"docs/ros.md, {pip_command('requirements-python.txt')}"
        )
    return pip_command("requirements.txt", "requirements-python.txt")


def pip_command(*files: str) -> str:
    """Return what installs files of requirements here.

    Args:
        files: Their names.
    """
    # Else pip would bring NumPy 2, and the OpenCV and cv_bridge of that ROS 2 are built for 1.
    constraint = ["'numpy<2'"] if os.environ.get("ROS_DISTRO") else []
    return " ".join(["pip install", *constraint, *(f"-r {file}" for file in files)])
