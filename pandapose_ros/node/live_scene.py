"""The 3D scene that a browser shows, and the check-boxes for its layers."""

import logging
import socket
from collections.abc import Sequence

import numpy as np
import viser
from numpy.typing import NDArray

from pandapose_ros.node.conversions import add_root
from pandapose_ros.node.scene_person import ScenePerson
from pandapose_ros.pose import Pose
from pandapose_ros.skeleton import Skeleton

_ALL_JOINTS = "all joints"
_FIELD_OF_VIEW = 0.65  # rad, of the browser's view
_IMAGE_DISTANCE = 0.27  # from the camera to where its image is shown, of the way to the people
_LEAST_REACH = 1.5  # m, from the camera to what the view is made for
_LEAST_WORLD_REACH = 3.0  # m, the same where the camera's place is unknown
_FLOOR_GAP = 0.05  # m, from the ankle joint to the floor
_FLOOR_INERTIA = 0.9


class _Server(viser.ViserServer):
    """A server that refuses to share: viser would tunnel the camera's images to the internet."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        return None


def _check_host(host: str) -> None:
    """Raise OSError if nothing can be served on an address: viser would try it for ever."""
    reason: OSError | UnicodeError | None = None
    try:
        places = socket.getaddrinfo(
            host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        reason, places = error, []
    for family, kind, protocol, _, address in places:
        try:
            with socket.socket(family, kind, protocol) as trial:
                trial.bind(address)
            return  # localhost may be two addresses, of which IPv4 alone is there
        except OSError as error:
            reason = error
    raise OSError(
        f"cannot serve on host '{host}': {getattr(reason, 'strerror', None) or reason}; use an "
        "address of this computer, 127.0.0.1 for itself only, or 0.0.0.0 for all"
    )


def _shown(host: str) -> str:
    """Return a host as it stands in a URL; none can be opened that means all addresses."""
    name = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{name}]" if ":" in name else name


class LiveScene:
    """Serve one scene to any number of browsers, with the same check-boxes for all."""

    def __init__(self, host: str, port: int) -> None:
        """Start to serve, in threads of its own.

        Args:
            host: Address to bind to.
            port: If it is taken, the next free one; see `url`.

        Raises:
            OSError: If this computer does not have the address.
        """
        _check_host(host)
        # Browsers open sockets ahead of need and drop them; each would be logged with a traceback.
        logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
        self._server = _Server(host=host, port=port, label="PandaPose", verbose=False)
        self.url = f"http://{_shown(host)}:{self._server.get_port()}"
        self._server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False)
        self._server.scene.world_axes.visible = False
        # Shadows cost a weak computer more than all the rest.
        self._server.scene.configure_default_lights(cast_shadow=False)
        self._server.scene.configure_environment_map(None)
        self._server.scene.add_light_ambient("/light", intensity=0.6)
        self._people: list[ScenePerson] = []
        self._floor_height: float | None = None
        self._skeleton: Skeleton | None = None
        self._frustum: viser.CameraFrustumHandle | None = None
        self._seen_clients: set[int] = set()
        self._reach = _LEAST_REACH
        self._make_panel()
        self.set_up(optical=True)

    def _make_panel(self) -> None:
        gui = self._server.gui
        self._status = gui.add_markdown("waiting for skeletons")
        with gui.add_folder("Show"):
            self._show_people = gui.add_checkbox("People", initial_value=True)
            self._show_labels = gui.add_checkbox("Names", initial_value=True)
            self._show_anchors = gui.add_checkbox("Anchors", initial_value=True)
            self._show_votes = gui.add_checkbox("Votes", initial_value=True)
            self._show_camera = gui.add_checkbox("Camera", initial_value=True)
            self._show_floor = gui.add_checkbox("Floor", initial_value=True)
        self._joint_choice = gui.add_dropdown("Anchors of", [_ALL_JOINTS])
        self._least_score = gui.add_slider("Confidence", 0.0, 1.0, 0.05, initial_value=0.0)
        button = gui.add_button("Look at the people")
        button.on_click(lambda _event: self._seen_clients.clear())
        self._floor = self._server.scene.add_grid(
            "/floor",
            infinite_grid=True,
            cell_color=(60, 64, 74),
            section_color=(84, 90, 102),
            fade_distance=14.0,
            plane="xz",
        )

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop()

    @property
    def watchers(self) -> int:
        """Number of browsers connected."""
        return len(self._server.get_clients())

    @property
    def wants_anchors(self) -> bool:
        """Whether anchors or their votes are shown."""
        return self._show_anchors.value or self._show_votes.value

    @property
    def wants_image(self) -> bool:
        """Whether the camera's image is shown."""
        return self._show_camera.value

    def set_up(self, *, optical: bool) -> None:
        """Set which way is up: -y in an optical frame (REP 103), +z in others."""
        self._is_optical = optical
        self._server.scene.set_up_direction("-y" if optical else "+z")
        self._floor.plane = "xz" if optical else "xy"
        self._floor_height = None
        self._seen_clients.clear()

    def set_skeleton(self, skeleton: Skeleton) -> None:
        """Set what the joints of the next poses mean."""
        if skeleton == self._skeleton:
            return
        self._skeleton = skeleton
        self._joint_choice.options = [_ALL_JOINTS, *skeleton.joint_names]

    def set_status(self, text: str) -> None:
        """Show a text (Markdown) at the top of the panel."""
        self._status.content = text

    def draw_people(self, poses: Sequence[Pose]) -> None:
        """Show these people and no others.

        Args:
            poses: People; those without a root are left out.
        """
        if self._skeleton is None:
            return
        shown = [pose for pose in poses if pose.root is not None]
        choice = self._joint_choice.value
        names = self._skeleton.joint_names
        joint = names.index(choice) if choice in names else None
        with self._server.atomic():
            while len(self._people) < len(shown):
                self._people.append(ScenePerson(self._server.scene, len(self._people)))
            for person, pose in zip(self._people, shown, strict=False):
                person.draw_body(
                    pose,
                    self._skeleton,
                    self._least_score.value,
                    visible=self._show_people.value,
                )
                person.draw_label(
                    pose,
                    up=self._up,
                    tells_distance=self._is_optical,
                    visible=self._show_labels.value,
                )
                person.draw_anchors(pose, joint, visible=self._show_anchors.value)
                person.draw_votes(pose, self._skeleton, joint, visible=self._show_votes.value)
            for person in self._people[len(shown) :]:
                person.hide()
            self._draw_floor(shown)
        self._look_at(shown)

    @property
    def _up(self) -> NDArray[np.floating]:
        return np.array((0.0, -1.0, 0.0) if self._is_optical else (0.0, 0.0, 1.0))

    def _draw_floor(self, poses: Sequence[Pose]) -> None:
        """Move the floor to below the lowest joint, slowly."""
        self._floor.visible = self._show_floor.value
        heights = [add_root(pose.joints, pose) @ self._up for pose in poses]
        known = [height for heights in heights for height in heights if np.isfinite(height)]
        if not known:
            return
        height = float(min(known)) - _FLOOR_GAP
        if self._floor_height is not None:
            height += _FLOOR_INERTIA * (self._floor_height - height)
        self._floor_height = height
        self._floor.position = height * self._up

    def _look_at(self, poses: Sequence[Pose]) -> None:
        """Point the view of each new browser at the people."""
        roots = [root for p in poses if (root := p.root) is not None and np.isfinite(root).all()]
        new = {i: c for i, c in self._server.get_clients().items() if i not in self._seen_clients}
        if not roots or not new:
            return
        eye, target = self._view_of(roots)
        for number, client in new.items():
            client.camera.up_direction = self._up
            client.camera.fov = _FIELD_OF_VIEW
            client.camera.position = eye
            client.camera.look_at = target
            self._seen_clients.add(number)

    def _view_of(
        self, roots: Sequence[NDArray[np.floating]]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return the position of the view's camera and the point it looks at."""
        centre = np.mean(roots, axis=0)
        width = max(float(np.linalg.norm(root - centre)) for root in roots)
        height = float(centre @ self._up) * self._up
        if self._is_optical:
            ahead = np.array((0.0, 0.0, 1.0))
            self._reach = max(float(centre @ ahead), 2 * width, _LEAST_REACH)
            camera, target = np.zeros(3), 0.75 * (self._reach * ahead + height)
        else:
            # The origin may be far away: as if a camera stood close to the people, on its side.
            distance = float(np.linalg.norm(centre - height))
            ahead = (centre - height) / distance if distance else np.array((1.0, 0.0, 0.0))
            self._reach = max(2 * width, _LEAST_WORLD_REACH)
            camera, target = centre - self._reach * ahead, centre
        # From behind and right of the camera, far enough to the side that its image, on the left,
        # does not hide people; the panel is on the right.
        aside = 0.75 * np.cross(ahead, self._up) + 0.35 * self._up - 0.45 * ahead
        return camera + self._reach * aside, target

    def draw_camera(
        self, image: NDArray[np.uint8] | None, field_of_view: float = 0.0, aspect: float = 1.0
    ) -> None:
        """Show the camera, at the origin, and its image.

        Args:
            image: RGB uint8 [H, W, 3]; None: hide both, as where no image comes or the camera has
                no place in the people's frame.
            field_of_view: Vertical, radians.
            aspect: Width of what the camera sees at a distance, as a multiple of its height.
        """
        visible = image is not None and self._show_camera.value
        if image is not None and visible:
            if self._frustum is None:
                self._frustum = self._server.scene.add_camera_frustum(
                    "/camera",
                    fov=field_of_view,
                    aspect=aspect,
                    thickness=0.006,
                    color=(150, 156, 170),
                    format="jpeg",
                    cast_shadow=False,
                    receive_shadow=False,
                )
            self._frustum.fov, self._frustum.aspect = field_of_view, aspect
            # viser scales by the cube root of the pyramid's volume.
            volume = np.tan(field_of_view / 2) ** 2 * aspect / 3
            self._frustum.scale = _IMAGE_DISTANCE * self._reach * float(np.cbrt(volume))
            self._frustum.image = image
        if self._frustum is not None:
            self._frustum.visible = visible
