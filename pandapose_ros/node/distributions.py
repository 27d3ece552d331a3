"""Names of rclpy that differ between Humble and later distributions."""

from rclpy.clock import Clock

try:
    from rclpy.clock_type import ClockType
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ModuleNotFoundError:
    from rclpy.clock import ClockType  # type: ignore[assignment]
    from rclpy.qos_event import (  # type: ignore[assignment]
        PublisherEventCallbacks,
        SubscriptionEventCallbacks,
    )

__all__ = ["PublisherEventCallbacks", "SubscriptionEventCallbacks", "steady_clock"]


def steady_clock() -> Clock:
    """Return a clock that neither simulators nor corrections of the time touch."""
    return Clock(clock_type=ClockType.STEADY_TIME)
