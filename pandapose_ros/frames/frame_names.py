"""What the names of frames mean, by the conventions of ROS."""

# REP 103 has `_optical`; drivers and simulators append the kind of frame to that.
_OPTICAL = ("optical", "optical_frame", "optical_link")


def is_optical(frame: str) -> bool:
    """Return whether a frame is a camera's optical one by its name: z forward, y down.

    Args:
        frame: As in a header.
    """
    return frame.endswith(_OPTICAL)


def is_z_up(frame: str) -> bool:
    """Return whether z is up in a frame by its name: in those of robots and maps (REP 103, 105).

    Args:
        frame: As in a header; in all others -y is taken to be up, as in a camera's images.
    """
    if is_optical(frame):
        return False
    name = frame.split("/")[-1]
    is_known = name in ("map", "odom", "earth", "world", "base")
    return is_known or name.startswith("base_") or name.endswith("_link")


def is_of_camera(frame: str, image_frame: str) -> bool:
    """Return whether people are in the frame of the camera, which is then at its origin.

    Args:
        frame: Of the people.
        image_frame: Of the image; empty: none is given.
    """
    # pose_node calls images without a frame, or in a link's, by its parameter frame_id.
    is_renamed = not image_frame or is_z_up(image_frame)
    return frame == image_frame or (is_renamed and not is_z_up(frame))


def has_optical_axes(frame: str, image_frame: str) -> bool:
    """Return whether people are in a camera's axes, z forward and y down.

    Args:
        frame: Of the people.
        image_frame: Of the image; empty: none is given.
    """
    return is_optical(frame) or is_of_camera(frame, image_frame)
