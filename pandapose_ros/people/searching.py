"""When the detectors look for people who are not tracked yet, and where."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.people.body_detector import BodyDetector
from pandapose_ros.people.boxes import NO_BOXES
from pandapose_ros.people.detector import SURE_SCORE, Detection, PersonDetector
from pandapose_ros.people.tiles import Tile, tiles_of

Array = NDArray[np.floating]
Image = NDArray[np.uint8]

# While nobody is tracked, the two detectors take turns at the whole image.
_TURNS = 2
# People who are lost are mostly behind somebody else, and soon in view again: for this many
# intervals, detectors run this many times as often.
_SOON = 2
_OFTENER = 4


@dataclass(eq=False)
class Found:
    """Hold what the detectors have found.

    Attributes:
        detections: Of the person detector, as it returns them.
        bodies: [P, 4], xyxy, image pixels: of the body detector, the most certain first.
    """

    detections: list[Detection] = field(default_factory=list)
    bodies: Array = field(default_factory=lambda: NO_BOXES)

    def by_trust(self) -> list[list[Detection]]:
        """Group the detections: certain ones, uncertain ones, and those found in tiles only."""
        whole = [found for found in self.detections if not found.is_enlarged]
        return [
            [found for found in whole if found.score >= SURE_SCORE],
            [found for found in whole if found.score < SURE_SCORE],
            [found for found in self.detections if found.is_enlarged],
        ]


@dataclass(frozen=True)
class _Plan:
    """Say what is scanned in an image."""

    whole: bool
    tiles: Sequence[Tile]
    bodies: bool


class Searcher:
    """Run the detectors on the images of one camera when it is their turn.

    While people are tracked, they run on different images, so that hardly any waits for both.

    Args:
        detector: Finds heads and shoulders, in the image and in tiles of it.
        bodies: Finds whole bodies in the image; None: only `detector` is used.
    """

    def __init__(self, detector: PersonDetector, bodies: BodyDetector | None) -> None:
        self._detector = detector
        self._bodies = bodies
        self.reset()

    def reset(self) -> None:
        """Start anew: in the next image, every detector is due."""
        self._images_since_detection = -1
        self._images_of_haste = 0
        self._tiles_done = self._tiles_left = 0
        self.forget_begun()

    def forget_begun(self) -> None:
        """Ignore the results of a search that runs in the background."""
        self._begun: Future[list[Detection]] | None = None
        self._begun_bodies: Future[Array] | None = None

    def look_at_all_tiles(self, image_size: tuple[int, int]) -> None:
        """Scan every tile of the image in the next images, as people come in groups."""
        self._tiles_left = len(tiles_of(image_size))

    def search(self, image: Image, config: EstimatorConfig, seen: int, known: int) -> Found:
        """Return what the background search has found, and run the detectors that are due.

        Args:
            image: [H, W, 3], RGB uint8, with pixels; not written to.
            config: Scores, and how often to look.
            seen: How many tracked people were found in this image.
            known: How many people are tracked.
        """
        found = Found(
            detections=[] if self._begun is None else self._begun.result(),
            bodies=NO_BOXES if self._begun_bodies is None else self._begun_bodies.result(),
        )
        self.forget_begun()
        self._images_since_detection += 1
        if seen >= config.max_people:
            return found
        has_time = seen > 0 and seen >= known
        plan = self._plan(image, config, seen, known)
        if has_time and config.background_detection:
            self._begin(image, config, plan)
            return found
        if plan.whole or plan.tiles:
            found.detections = self._detector.detect(
                image, config.detection_score, plan.tiles, whole=plan.whole
            )
        if plan.bodies and self._bodies is not None:
            found.bodies = self._bodies.detect(image, config.body_score)
        return found

    def _begin(self, image: Image, config: EstimatorConfig, plan: _Plan) -> None:
        """Start the detectors in the background."""
        if plan.whole or plan.tiles:
            self._begun = self._detector.start(
                image, config.detection_score, plan.tiles, whole=plan.whole
            )
        if plan.bodies and self._bodies is not None:
            self._begun_bodies = self._bodies.start(image, config.body_score)

    def _plan(self, image: Image, config: EstimatorConfig, seen: int, known: int) -> _Plan:
        """Choose what to scan in an image."""
        looks_for_bodies = self._bodies is not None and config.body_score < 1
        interval = config.detection_interval
        if seen < known:
            self._images_of_haste = _SOON * interval
        elif self._images_of_haste > 0:
            self._images_of_haste -= 1
            interval = -(-interval // _OFTENER)
        if seen == 0:
            interval = min(interval, _TURNS if looks_for_bodies else 1)
        since = self._images_since_detection
        is_urgent = since <= 0 or seen < known
        whole = is_urgent or since >= interval
        # Half, and a quarter, of the interval after the last scan of the whole image.
        has_tiles = seen == 0 or is_urgent or since == (interval + 1) // 2
        bodies = is_urgent or since == (interval + 3) // 4
        if has_tiles or (self._tiles_left > 0 and not whole):
            tiles = self._next_tiles((image.shape[1], image.shape[0]), config.detection_tiles)
        else:
            tiles = []
        if whole:
            self._images_since_detection = 0
        return _Plan(whole, tiles, bodies and looks_for_bodies)

    def _next_tiles(self, image_size: tuple[int, int], most: int) -> list[Tile]:
        """Return the tiles of the image whose turn it is."""
        tiles = tiles_of(image_size)
        count = min(most, len(tiles))
        self._tiles_left -= count
        first, self._tiles_done = self._tiles_done, self._tiles_done + count
        return [tiles[number % len(tiles)] for number in range(first, first + count)]
