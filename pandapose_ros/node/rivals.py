"""Other nodes that publish people under the names that this one gives, or have its own name."""

import time
from contextlib import suppress

from rclpy.node import Node, NodeNameNonExistentError

from pandapose_ros.node.distributions import steady_clock
from pandapose_ros.node.notices import Notices
from pandapose_ros.node.qos_report import endpoint_names

_PERIOD = 5.0
# DDS lists a killed node for 20 s: one that took its place has no rival.
_LEAST_TIME = 30.0
_OWN_NAME = "name"
_SKELETONS = "pandapose_ros/msg/Skeleton3DArray"


class Rivals:
    """Look for them in the graph every 5 s, and warn once.

    Ids are unique within a node only, but `/tf` and `/humans/bodies` are the same for all; and
    so are all topics for nodes of one name, as of a launch file that was started twice.
    """

    def __init__(
        self, node: Node, notices: Notices, *, publish_tf: bool, publish_hri: bool
    ) -> None:
        """Begin to look.

        Args:
            node: Publishes people.
            notices: Where to warn.
            publish_tf: Whether it publishes people's frames.
            publish_hri: Whether it publishes the list of REP 155.
        """
        self._node = node
        self._notices = notices
        self._topics: dict[str, str] = {}
        if publish_tf:
            self._topics["/tf"] = "body_person_N then has several places"
        if publish_hri:
            self._topics["/humans/bodies/tracked"] = "each list replaces the other"
        self._since: dict[str, float] = {}
        self._timer = node.create_timer(_PERIOD, self._look, clock=steady_clock())

    def destroy(self) -> None:
        """Stop looking."""
        self._node.destroy_timer(self._timer)

    def _look(self) -> None:
        now = time.monotonic()
        found = self._found()
        self._since = {what: self._since.get(what, now) for what in found}
        for what, text in found.items():
            if now - self._since[what] >= _LEAST_TIME:
                self._notices.warn(text)

    def _found(self) -> dict[str, str]:
        """Return what is to be said of topics that others publish on, and of the node's name."""
        found: dict[str, str] = {}
        for topic, effect in self._topics.items():
            names = self._others(topic)
            if names:
                found[topic] = (
                    f"{names} publishes people on {topic} too, under the same names: {effect}; "
                    "serve all cameras from one node (parameter cameras)"
                )
        me = (self._node.get_name(), self._node.get_namespace())
        if self._node.get_node_names_and_namespaces().count(me) > 1:
            name = self._node.get_fully_qualified_name()
            found[_OWN_NAME] = (
                f"there is another node {name}: skeletons of both come on the same topics, and "
                "either answers a service call; stop one of them, or start it in a namespace of "
                "its own"
            )
        return found

    def _others(self, topic: str) -> str:
        """Name the other pose_nodes that publish on a topic; empty if there are none."""
        me = (self._node.get_name(), self._node.get_namespace())
        publishers = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(topic))
        others = []
        for publisher in publishers:
            name = (publisher.node_name, publisher.node_namespace)
            if name != me and self._publishes_skeletons(*name):
                others.append(publisher)
        return endpoint_names(others)

    def _publishes_skeletons(self, name: str, namespace: str) -> bool:
        with suppress(NodeNameNonExistentError):  # it has just ended
            topics = self._node.get_publisher_names_and_types_by_node(name, namespace)
            return any(_SKELETONS in types for _, types in topics)
        return False
