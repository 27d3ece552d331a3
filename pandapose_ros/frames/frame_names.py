"""What the names of frames tell, by the conventions of robots."""


def is_z_up(frame: str) -> bool:
    """Tell whether z is up in a frame by its name: in those of robots and maps (REP 103, 105).

    Args:
        frame: As in a header; in all others -y is taken to be up, as in a camera's images.
    """
    name = frame.split("/")[-1]
    is_known = name in ("map", "odom", "earth", "world", "base")
    return is_known or name.startswith("base_") or name.endswith("_link")
