"""The services that enable, disable and reset the node, and the one that changes its state."""

from collections.abc import Callable

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode
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


def refuse_impossible_transitions(node: LifecycleNode) -> None:
    """Have a node refuse transitions that do not begin in its state, as C++ nodes do.

    Asked for one by its number, as by a manager that configures a node which has started by
    itself, rclpy raises an error out of the executor instead, and the process ends.

    Args:
        node: Whose service to replace, if it has one.
    """
    service = getattr(node, "_service_change_state", None)  # rclpy offers no public way
    if service is None:
        return
    change_state = service.callback

    def change(
        request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        try:
            return change_state(request, response)
        except RuntimeError:  # of which rcl has logged the reason
            response.success = False
            return response

    service.callback = change
