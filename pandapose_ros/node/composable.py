"""A lifecycle node that may share its process, and an executor of several threads, with others."""

from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription


class ComposableNode(LifecycleNode):
    """Destroy publishers and subscriptions so that an executor in another thread survives it.

    An executor of several threads collects what to wait for while a callback may destroy some of
    it. Of most things rclpy then waits for the others only; but if an endpoint's handlers of
    events, as of QoS that does not match, have been destroyed, InvalidHandle ends the executor.
    So they are only taken off the node here, and end when nobody refers to them any more.
    """

    def destroy_publisher(self, publisher: Publisher) -> bool:
        """Destroy a publisher; return whether it was the node's."""
        self._release_events(publisher)
        return super().destroy_publisher(publisher)

    def destroy_lifecycle_publisher(self, publisher: LifecyclePublisher) -> bool:
        """Destroy a lifecycle publisher; return whether it was the node's."""
        self._release_events(publisher)
        return super().destroy_lifecycle_publisher(publisher)

    def destroy_subscription(self, subscription: Subscription) -> bool:
        """Destroy a subscription; return whether it was the node's."""
        self._release_events(subscription)
        return super().destroy_subscription(subscription)

    def _release_events(self, endpoint: Any) -> None:  # rclpy annotates its handlers as one
        present = set(self.waitables)
        for handler in endpoint.event_handlers:
            if handler in present:
                self.remove_waitable(handler)
        endpoint.event_handlers = []
