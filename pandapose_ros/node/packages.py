"""Check for ROS packages that launch files start nodes of."""

import os

from ament_index_python.packages import PackageNotFoundError, get_package_prefix


def require_package(package: str, otherwise: str = "", apt_name: str = "") -> None:
    """Raise an error that says how to install a missing package, or how to do without.

    Args:
        package: Its name in the ament index.
        otherwise: What else can be done, as the end of a sentence.
        apt_name: Of the apt package after `ros-DISTRO-`; empty: the package's own.

    Raises:
        RuntimeError: If the package is missing.
    """
    try:
        get_package_prefix(package)
    except PackageNotFoundError as error:
        distro = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
        name = f"ros-{distro}-{(apt_name or package).replace('_', '-')}"
        ending = f", or {otherwise}" if otherwise else ""
        raise RuntimeError(
            f"{package} is not installed: sudo apt install {name}{ending}"
        ) from error
