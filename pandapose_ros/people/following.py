"""People in a stream of images: found once by the detector, then tracked by their landmarks.

The landmark net gives each person's keypoints and feature maps, and the region for the next image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from pandapose_ros import geometry
from pandapose_ros.config import EstimatorConfig
from pandapose_ros.people.body_detector import BodyDetector
from pandapose_ros.people.boxes import BoxChooser, detections_from_boxes, unclaimed
from pandapose_ros.people.detector import SURE_SCORE, Detection, PersonDetector
from pandapose_ros.people.discovery import discover, settled, turned_right
from pandapose_ros.people.doubles import apart, without_doubles
from pandapose_ros.people.landmarks import Look, Person, Search, search_together
from pandapose_ros.people.other_crops import in_other_crops
from pandapose_ros.people.region import Region, is_same_place
from pandapose_ros.people.searching import Searcher
from pandapose_ros.people.sides import Followed, with_known_sides
from pandapose_ros.people.tiles import without_parts
from pandapose_ros.runtime.protocols import LandmarkNet

Array = NDArray[np.floating]
Image = NDArray[np.uint8]

# Probability of being upright below which a tracked person is looked at in all orientations. None
# of the people tracked upright was below 0.98; of those upside down, one in twenty was above this.
_UPSIDE_DOWN = 0.3
# Without intrinsics, people are taken to be far away, with nearly parallel rays [rad].
_FAR_FIELD_OF_VIEW = 0.01
# So many more detections are looked at than there are free slots: some are nobody, or tracked.
_SPARE_DETECTIONS = 4


class PeopleTracker:
    """Find people in successive images of one camera; `Tracks` decides who is who.

    Args:
        detector: Finds new people.
        landmark_net: Finds the landmarks in a region, on its own device.
        config: Scores, maximum number of people, how often to detect. The attribute `config`
            may be replaced between images.
        bodies: Finds people whom `detector` misses; None: only `detector` is used.

    Source:
        Bazarevsky et al., BlazePose (arXiv 2006.10204): detect once, then track. Our choice:
        when to detect if there are several people, and what counts as the same person.
    """

    def __init__(
        self,
        detector: PersonDetector,
        landmark_net: LandmarkNet,
        config: EstimatorConfig,
        bodies: BodyDetector | None = None,
    ) -> None:
        self.config = config
        self._searcher = Searcher(detector, bodies)
        self._landmark_net = landmark_net
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._known: list[Followed] = []
        self._images_since_turn = 0
        self._searcher.reset()
        self._boxes = BoxChooser()
        self._image_size = (0, 0)

    def follow(self, known: Sequence[Followed]) -> None:
        """Set where to look in the next image; by default, where people were in the last."""
        self._known = list(known)

    def find(
        self, image: Image, K: Array | None = None, boxes: Array | None = None
    ) -> list[Person]:
        """Find the people in the next image, as `search` does.

        Args:
            image: As there.
            K: As there.
            boxes: As there.
        """
        return search_together(self._landmark_net, [self.search(image, K, boxes)])[0]

    def search(self, image: Image, K: Array | None = None, boxes: Array | None = None) -> Search:
        """Look for the people in the next image; `search_together` runs it.

        All tracked people are looked at in one batched pass; those who have left their region, as
        after a pause between images or a quick turn of the camera, once more. The detectors run
        when somebody was lost and every `config.detection_interval` images, unless
        `config.max_people` are tracked already: the person detector on the whole image, half an
        interval later on `config.detection_tiles` tiles of it, and the body detector a quarter of
        an interval later. For two intervals after a loss, all of this is done four times as often.
        While nobody is tracked, tiles are scanned in every image, and the detectors take turns at
        the whole image; in the images after a newcomer, all tiles are scanned. People who seem to
        be upside down are looked at in all orientations, at most once per interval. An image of
        another size starts anew. With `config.background_detection`, a search for newcomers starts
        with one image and is used in the next, which waits for it: results do not depend on speed.

        Args:
            image: [H, W, 3], RGB uint8, any strides; not written to.
            K: Intrinsics [3, 3] of the image, pixels. With them, a person at the image's edge is
                cropped without the stretching of a flat image there.
            boxes: [P, 4], xyxy, pixels: where another detector has found people, the most certain
                first; the built-in detectors do not run then. None: they do.

        Returns:
            Each person seen, once: tracked people in their order, then newcomers; with several
            crops if `config.crops_per_person` asks for them.

        Raises:
            ValueError: If the image has another shape or type.
        """
        _check(image)
        image_size = (image.shape[1], image.shape[0])
        if image_size != self._image_size or not self.config.tracking:
            self.reset()
            self._image_size = image_size
        if image.size == 0:
            return []
        image = np.ascontiguousarray(image)
        if K is None:
            K = geometry.intrinsics_from_field_of_view(_FAR_FIELD_OF_VIEW, *image_size)
        # Before the detectors run: a person taken for somebody in front has to be found again.
        followed = people = without_doubles((yield from self._followed(image, K)))
        if boxes is None:
            people = yield from self._discover_all(image, K, people)
        else:
            people = yield from self._discover_in(boxes, image, K, people)
        self._known = [Followed(person.next_region) for person in people]
        look = partial(self._look, image, K)
        crops = self.config.crops_per_person
        return (yield from in_other_crops(people, look, crops - 1, followed=followed))

    def _followed(self, image: Image, K: Array) -> Search:
        """Look at all tracked people, and correct those upside down or with swapped sides."""
        look = partial(self._look, image, K)
        followed = self._known[: self.config.max_people]
        people = yield look([each.region for each in followed])
        sides = _by_regions(followed, people)
        self._images_since_turn += 1
        is_due = self._images_since_turn >= self.config.detection_interval
        if is_due and any(person.turns[0] < _UPSIDE_DOWN for person in people):
            self._images_since_turn = 0
            turned = yield from turned_right(people, look, _UPSIDE_DOWN)
            people = [
                new if new is old else replace(new, turned_from=old.region)
                for old, new in zip(people, turned, strict=True)
            ]
        people = yield from settled(people, look)
        people = yield from with_known_sides(people, sides, look)
        # Who seems to be upside down is verified once that has been put right.
        return [
            person
            for person in people
            if person.score >= self.config.presence_score
            or (person.turns[0] < _UPSIDE_DOWN and not is_due)
        ]

    def _discover_all(self, image: Image, K: Array, people: Sequence[Person]) -> Search:
        """Add people whom the detectors have found, the most trusted first."""
        found = self._searcher.search(image, self.config, len(people), len(self._known))
        sure, unsure, enlarged = found.by_trust()
        people = yield from self._discover(sure, image, K, people)
        bodies = unclaimed(found.bodies, people)[: self._most_detections(people)]
        if len(bodies):
            look = partial(self._look, image, K)
            detections = yield from detections_from_boxes(bodies, look)
            people = yield from self._discover(detections, image, K, people)
        people = yield from self._discover(unsure, image, K, people)
        return (yield from self._discover(enlarged, image, K, people))

    def _discover_in(
        self, boxes: Array, image: Image, K: Array, people: Sequence[Person]
    ) -> Search:
        """Add people found by another detector; ignore what the built-in ones have begun."""
        self._searcher.forget_begun()
        # After a loss, boxes are looked at without waiting.
        wait = 0 if len(people) < len(self._known) else self.config.detection_interval
        chosen = self._boxes.choose(boxes, people, self._most_detections(people), wait)
        if not len(chosen):
            return list(people)
        detections = yield from detections_from_boxes(chosen, partial(self._look, image, K))
        found = yield from self._discover(detections, image, K, people)
        self._boxes.tell(has_found=len(found) > len(people))
        return found

    def _discover(
        self, detections: Sequence[Detection], image: Image, K: Array, people: Sequence[Person]
    ) -> Search:
        """Add people who are not tracked yet, the best detections first, while there is room.

        Not all at once: the best may be a coat rack, or a person already tracked.
        """
        regions = _elsewhere([detection.region for detection in detections], people)
        regions = regions[: self._most_detections(people)]
        free = self.config.max_people - len(people)
        people = list(people)
        is_sure = bool(detections) and detections[0].score >= SURE_SCORE  # then all are
        look = partial(self._look, image, K)
        while regions and free > 0:
            tried, regions = regions[:free], regions[free:]
            found = yield from discover(tried, look, may_be_turned=is_sure)
            found = [person for person in found if person.score >= self.config.newcomer_score]
            if detections[0].is_enlarged:  # then all are
                found = without_parts(found, [*people, *found])
            newcomers = without_doubles([*people, *found])[len(people) :]
            if not is_sure:
                newcomers = apart(newcomers, people, self._unclear_places(people))
            people += newcomers
            if newcomers:  # people come in groups
                self._searcher.look_at_all_tiles(self._image_size)
            regions = _elsewhere(regions, people)
            free = self.config.max_people - len(people)
        return people

    def _most_detections(self, people: Sequence[Person]) -> int:
        """Return how many detections to look at, given the people who are seen."""
        free = self.config.max_people - len(people)
        return free + _SPARE_DETECTIONS if free > 0 else 0

    def _unclear_places(self, people: Sequence[Person]) -> list[Region]:
        """Return the regions of all tracked people, if not all are seen: who is who is unclear."""
        if len(people) >= len(self._known):
            return []
        return [each.region for each in self._known]

    def _look(
        self,
        image: Image,
        K: Array,
        regions: Sequence[Region],
        orders: Mapping[Region, Sequence[int]] = MappingProxyType({}),
    ) -> Look:
        return Look(image, K, regions, self.config.presence_score, orders)


def _check(image: Image) -> None:
    """Raise ValueError unless an image is a uint8 array [H, W, 3]; it may be empty."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"expected an RGB uint8 image [H, W, 3], got {image.dtype} {list(image.shape)}"
        )


def _by_regions(followed: Sequence[Followed], people: Sequence[Person]) -> dict[Region, Array]:
    """Return the keypoints as last seen by where people are looked at, now or once more."""
    known = {each.region: each.keypoints for each in followed if each.keypoints is not None}
    return known | {
        person.next_region: known[person.region] for person in people if person.region in known
    }


def _elsewhere(regions: Sequence[Region], people: Sequence[Person]) -> list[Region]:
    """Leave out the regions of people who are known."""
    return [
        region
        for region in regions
        if not any(is_same_place(region, person.next_region) for person in people)
    ]
