"""Names of rclpy that differ between Humble and later distributions."""

from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.subscription import Subscription

try:
    from rclpy.clock_type import ClockType
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ModuleNotFoundError:
    from rclpy.clock import ClockType  # type: ignore[assignment]
    from rclpy.qos_event import (  # type: ignore[assignment]
        PublisherEventCallbacks,
        SubscriptionEventCallbacks,
    )

__all__ = [
    "PublisherEventCallbacks",
    "SubscriptionEventCallbacks",
    "publisher_count",
    "steady_clock",
]


def steady_clock() -> Clock:
    """Return a clock that neither simulators nor corrections of the time touch."""
    return Clock(clock_type=ClockType.STEADY_TIME)


def publisher_count(node: Node, subscription: Subscription) -> int:
    """Return how many publishers a node's subscription is connected to; in Humble, are there."""
    count = getattr(subscription, "get_publisher_count", None)
    return node.count_publishers(subscription.topic_name) if count is None else count()
