# A browser without a screen, and a viewer for it.
import msgspec
import websockets.sync.client
import zstandard
from rclpy.parameter import Parameter

from pandapose_ros.node.live_scene import LiveScene
from pandapose_ros.node.viewer import Viewer


class Browser:
    """Speaks viser's protocol as far as a page does that only looks."""

    def __init__(self, url):
        self._socket = websockets.sync.client.connect(
            url.replace("http", "ws"), subprotocols=["viser-v1.1.1"], max_size=None
        )
        self.messages = []
        camera = {"wxyz": (1, 0, 0, 0), "position": (0, 0, 0), "look_at": (0, 0, 1)}
        camera |= {"up_direction": (1, 0, 0), "fov": 1.0, "near": 0.1, "far": 100.0}
        self.send("ViewerCameraMessage", **camera, image_height=100, image_width=100)

    def send(self, kind, **fields):
        self._socket.send(msgspec.msgpack.encode({"type": kind, **fields}))

    def receive(self):
        """Take in what has come."""
        try:
            while True:
                data = self._socket.recv(timeout=0.02)
                size = int.from_bytes(data[8:16], "little")
                text = zstandard.ZstdDecompressor().decompress(data[16 : 16 + size])
                self.messages += msgspec.msgpack.decode(text)["messages"]
        except TimeoutError:
            return

    def close(self):
        self._socket.close()


def serve(graph, port, **parameters):
    """A viewer that serves a scene to this computer."""
    values = {"rate": 50.0, **parameters}
    options = [Parameter(name, value=value) for name, value in values.items()]
    viewer = graph.add(Viewer(context=graph.context, parameter_overrides=options))
    viewer.serve(LiveScene("127.0.0.1", port))
    return viewer


def names_shown(browser):
    """Every thing in the scene that a message makes or moves."""
    return {message.get("name") for message in browser.messages}
