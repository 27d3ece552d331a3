"""Defaults of the browser view."""

from dataclasses import dataclass

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class ViewerConfig:
    """Set what `viewer` shows, and on which address."""

    host: str = option(
        "127.0.0.1",
        "Address to serve on; 0.0.0.0: all interfaces, so that everybody who can reach the port "
        "sees the camera",
    )
    port: int = option(
        8080, "Port to serve on, or the next free one if it is taken", low=1, high=65535
    )
    skeletons: str = option("", "Topic of the skeletons; empty: the first one found")
    image: str = option("", "Topic of the images; empty: the input of the skeletons' node")
    rate: float = option(15.0, "Maximum number of pictures per second [Hz]", low=0.1, high=100.0)
    image_width: int = option(
        480, "Maximum width of the image sent to the browser [px]", low=16, high=4096
    )
