"""The services that enable, disable and reset the node."""

from collections.abc import Callable

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger


class Services:
    """Offer `~/enable` and `~/reset`; both are answered at once."""

    def __init__(
        self, node: Node, enable: Callable[[bool], str], reset: Callable[[], str]
    ) -> None:
        """Create the services.

        Args:
            node: The node to create them on.
            enable: Switches on or off and returns the answer; called in the executor.
            reset: Has the people forgotten and returns the answer; called in the executor.
        """
        self._node = node
        self._enable = enable
        self._reset = reset
        self._services = [
            node.create_service(SetBool, "~/enable", self._on_enable),
            node.create_service(Trigger, "~/reset", self._on_reset),
        ]

    def destroy(self) -> None:
        """Remove the services."""
        for service in self._services:
            self._node.destroy_service(service)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        response.success, response.message = True, self._enable(request.data)
        return response

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, self._reset()
        return response
