"""How to install Python packages that are missing or broken."""

import os


def packages_remedy() -> str:
    """Return how to install the dependencies here: beside ROS 2, or everything with pip."""
    if os.environ.get("ROS_DISTRO"):
        # Without requirements.txt, whose wheels of ROS 2 would conflict with the installed one.
        return (
            "rosdep install --from-paths src --ignore-src -y, then, in the virtual environment of "
            f"docs/ros.md, {pip_command('requirements-python.txt')}"
        )
    return pip_command("requirements.txt", "requirements-python.txt")


def pip_command(*files: str) -> str:
    """Return the pip command that installs requirements files here.

    Args:
        files: Their names.
    """
    # OpenCV and cv_bridge of ROS 2 are built for NumPy 1, but pip would install NumPy 2.
    constraint = ["'numpy<2'"] if os.environ.get("ROS_DISTRO") else []
    return " ".join(["pip install", *constraint, *(f"-r {file}" for file in files)])
