"""Explain why a publisher and a subscription do not connect, with the profiles of both sides."""

import copy

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

# What DDS tells of times that nobody set; they are 0 in a profile of ours.
_FOR_EVER = Duration(nanoseconds=2**63 - 1)
_UNNAMED = "_NODE_NAME_UNKNOWN_"  # rmw's name of a node that it knows by its endpoints only


def explain_publishers(node: Node, topic: str, qos: QoSProfile) -> str:
    """Name the publishers of a topic that our subscription cannot connect to.

    Args:
        node: Where the subscription is.
        topic: Resolved name.
        qos: Profile of our subscription.
    """
    reports = [
        f"{_name(endpoint)} offers {_profile(endpoint.qos_profile)} ({reason})"
        for endpoint in node.get_publishers_info_by_topic(topic)
        if (reason := _conflict(endpoint.qos_profile, qos))
    ]
    return (
        f"incompatible QoS on {topic}, no messages will arrive: this node requests "
        f"{_profile(qos)}, but {'; '.join(reports) or 'a publisher does not offer it'}. Set "
        f"qos_overrides.{topic}.subscription.reliability (or durability) or the publisher's "
        "profile"
    )


def explain_missing(node: Node, topic: str, remap: str) -> str:
    """Say why nothing has come on a topic: nobody publishes, or perhaps it was sent before.

    Args:
        node: Where the subscription is.
        topic: Resolved name.
        remap: The name to remap, for the case that there is no publisher.
    """
    publishers = node.get_publishers_info_by_topic(topic)
    if not publishers:
        return f"remap with {remap}:=TOPIC"
    text = f"{len(publishers)} publishers: {endpoint_names(publishers)}, but no message has come"
    if any(p.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL for p in publishers):
        text += (
            "; a transient-local publisher may send it once only: set qos_overrides."
            f"{topic}.subscription.durability to transient_local and reliability to reliable"
        )
    return text


def explain_subscriptions(node: Node, topic: str, qos: QoSProfile) -> str:
    """Name the subscriptions of a topic that our publisher cannot connect to.

    Args:
        node: Where the publisher is.
        topic: Resolved name.
        qos: Profile of our publisher.
    """
    reports = [
        f"{_name(endpoint)} requests {_profile(endpoint.qos_profile)} ({reason})"
        for endpoint in node.get_subscriptions_info_by_topic(topic)
        if (reason := _conflict(qos, endpoint.qos_profile))
    ]
    return (
        f"incompatible QoS on {topic}, a subscriber will get no messages: this node offers "
        f"{_profile(qos)}, but {'; '.join(reports) or 'it requests more'}"
    )


def _conflict(offered: QoSProfile, asked: QoSProfile) -> str:
    compatibility, reason = qos_check_compatible(_as_set(offered), _as_set(asked))
    return reason.strip(" ;") if compatibility == QoSCompatibility.ERROR else ""


def _as_set(qos: QoSProfile) -> QoSProfile:
    """Return a profile with 0 for endless times, which would seem to ask more than ours offers."""
    plain = copy.copy(qos)
    if plain.deadline == _FOR_EVER:
        plain.deadline = Duration()
    if plain.liveliness_lease_duration == _FOR_EVER:
        plain.liveliness_lease_duration = Duration()
    return plain


def _profile(qos: QoSProfile) -> str:
    parts = (qos.reliability, qos.durability)
    return " ".join(part.name.lower().replace("_", "-") for part in parts)


def _name(endpoint: TopicEndpointInfo) -> str:
    if endpoint.node_name == _UNNAMED:
        return "a node whose name has not come yet"
    return f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name}"


def endpoint_names(endpoints: list[TopicEndpointInfo]) -> str:
    """List the nodes that endpoints belong to, without repetition."""
    return ", ".join(sorted({_name(endpoint) for endpoint in endpoints}))
