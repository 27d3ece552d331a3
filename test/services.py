"""Calls of services that are answered once only: DDS loses answers between new acquaintances."""

import contextlib

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState


def call(graph, client, request):
    """Ask until there is an answer; for what does no harm if it is asked twice."""
    graph.spin_until(client.service_is_ready)
    for _ in range(12):
        answer = client.call_async(request)
        with contextlib.suppress(AssertionError):
            graph.spin_until(answer.done, timeout=5)
            return answer.result()
    raise AssertionError("no answer")


def meet_manager(graph, client):
    """Ask for a transition that there is not, so that the next answer is not lost."""
    unknown = Transition(label="no such transition")
    assert not call(graph, client, ChangeState.Request(transition=unknown)).success
