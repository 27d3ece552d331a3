"""What a pose_node in another process takes its camera to be, by its parameters."""

import time

from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future

from pandapose_ros.config import EstimatorConfig, NodeConfig

_NAMES = ["rectified", "field_of_view"]
# `rectified` may be changed at any time, and an answer may get lost [s].
_PERIOD = 2.0


class FarCamera:
    """Ask a node for the parameters that tell how its images are seen, until `close`.

    Attributes:
        rectified: As of the parameter; its default until the node has answered.
        field_of_view: As of the parameter, radians; its default too where it is 0.
    """

    def __init__(self, node: Node, owner: str) -> None:
        """Ask nothing yet.

        Args:
            node: The node to ask from.
            owner: Full name of the node to ask; empty: none. Other nodes than a pose_node, such as
                a player of recordings, may be asked in vain.
        """
        self._node = node
        self.rectified = NodeConfig().rectified
        self.field_of_view = EstimatorConfig().field_of_view
        self._client: Client | None = None
        if owner:
            self._client = node.create_client(GetParameters, f"{owner}/get_parameters")
        self._answer: Future | None = None
        self._asked = -float("inf")

    def ask(self) -> None:
        """Ask again, if the last time is long ago; returns at once."""
        client = self._client
        if client is None or time.monotonic() < self._asked + _PERIOD:
            return
        if not client.service_is_ready():
            return
        if self._answer is not None:
            client.remove_pending_request(self._answer)
        self._asked = time.monotonic()
        self._answer = client.call_async(GetParameters.Request(names=_NAMES))
        self._answer.add_done_callback(self._on_answer)

    def close(self) -> None:
        """Stop asking."""
        if self._client is not None:
            self._node.destroy_client(self._client)
        self._client = None

    def _on_answer(self, answer: Future) -> None:
        result = answer.result()
        values = list(result.values) if result is not None else []
        kinds = [value.type for value in values]
        if kinds != [ParameterType.PARAMETER_BOOL, ParameterType.PARAMETER_DOUBLE]:
            return  # not a pose_node
        rectified, field_of_view = values
        self.rectified = rectified.bool_value
        self.field_of_view = field_of_view.double_value or EstimatorConfig().field_of_view
