"""People in a stream of images: found once by the detector, then followed by their landmarks.

The landmark net gives each person's keypoints and feature maps, and the region for the next image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pandapose_ros import geometry
from pandapose_ros.config import EstimatorConfig
from pandapose_ros.detector import PersonDetector
from pandapose_ros.model.blazepose import CROP_SIZE, BlazePose
from pandapose_ros.region import (
    Region,
    box_round_points,
    is_same_place,
    region_from_points,
)
from pandapose_ros.skeleton import (
    BLAZEPOSE_LANDMARKS,
    BLAZEPOSE_REGION_CENTRE,
    BLAZEPOSE_REGION_CIRCLE,
    H36M_17,
    keypoints_from_blazepose,
)

Array = NDArray[np.floating]
Image = NDArray[np.uint8]

_VISIBLE = 0.5
_BOX_MARGIN = 0.05
_MIN_REGION_PX = 8.0
# Share of a region's size.
_SAME_KEYPOINTS = 0.05
# Without intrinsics people are seen from far away, with rays that are all but parallel [rad].
_FAR_FIELD_OF_VIEW = 0.01


@dataclass(frozen=True, eq=False)
class Person:
    """Hold one person in one image.

    Attributes:
        id: Number of the person, the same from image to image and never given again.
        is_new: Whether this is the first image under this id.
        region: What the landmark net looked at.
        next_region: Where to look in the next image.
        crop_from_image: [3, 3], homography from image pixels to pixels of the crop of 256 x 256:
            what a camera that looks at the person would see.
        image_from_crop_rotation: [3, 3], the axes of that camera in the image camera's frame.
        landmarks_px: [33, 2], BlazePose's landmarks, image pixels; may lie outside the image.
        visibilities: [33] in [0, 1].
        keypoints_crop: [17, 2], H36M-17, crop pixels.
        keypoints: [17, 2], the same in image pixels.
        keypoint_scores: [17] in [0, 1].
        features: The landmark net's maps [1, 48, 64, 64], [1, 48, 32, 32], [1, 48, 16, 16], on
            its device.
        world_landmarks: [33, 3], metres, origin between the hips, the crop's axes.
        score: The landmark net's presence score, [0, 1].
        box_xyxy: [4], round the visible landmarks, image pixels, inside the image.
    """

    id: int
    is_new: bool
    region: Region
    next_region: Region
    crop_from_image: Array
    image_from_crop_rotation: Array
    landmarks_px: Array
    visibilities: Array
    keypoints_crop: Array
    keypoints: Array
    keypoint_scores: Array
    features: list[Tensor]
    world_landmarks: Array
    score: float
    box_xyxy: Array


@dataclass(frozen=True)
class _Track:
    """Whom to look for, and where."""

    id: int
    is_new: bool
    region: Region


@dataclass(frozen=True)
class _Answer:
    """What the landmark net says about one crop; as in `LandmarkOutput`, without the batch."""

    landmarks_crop: Array
    visibilities: Array
    world_landmarks: Array
    presence: float
    features: list[Tensor]


class PeopleTracker:
    """Find people in successive images, each under the same id while in sight.

    Args:
        detector: Finds regions where none is known.
        landmark_net: Finds the landmarks in a region; runs on whichever device it is on.
        config: Scores, greatest number of people, how often to detect. The attribute `config`
            may be replaced between images.

    Source:
        Bazarevsky et al., BlazePose (arXiv 2006.10204): detect once, then track. Our choice:
        when to detect with several people, and what counts as the same person.
    """

    def __init__(
        self, detector: PersonDetector, landmark_net: BlazePose, config: EstimatorConfig
    ) -> None:
        self.config = config
        self._detector = detector
        self._landmark_net = landmark_net
        self._next_id = 0
        self.reset()

    def reset(self) -> None:
        """Forget everybody; ids go on counting."""
        self._tracks: list[_Track] = []
        self._images_since_detection = 0
        self._image_size = (0, 0)

    def find(self, image: Image, K: Array | None = None) -> list[Person]:
        """Find the people in the next image.

        Everybody followed is looked at in one batched pass. The detector runs when nobody is
        followed, when somebody was lost, and every `config.detection_interval` images, unless
        `config.max_people` are followed already. An image of another size starts anew.

        Args:
            image: [H, W, 3], RGB uint8, any strides; not written to.
            K: Intrinsics [3, 3] of the image, pixels. With them a person at the image's edge is
                cropped without the stretch that a flat image has there.

        Returns:
            People, those followed longest first.

        Raises:
            ValueError: If the image has another shape or type.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"expected an RGB uint8 image [H, W, 3], got {image.dtype} {list(image.shape)}"
            )
        image_size = (image.shape[1], image.shape[0])
        if image_size != self._image_size or not self.config.tracking:
            self.reset()
            self._image_size = image_size
        if image.size == 0:
            return []
        image = np.ascontiguousarray(image)
        if K is None:
            K = geometry.intrinsics_from_field_of_view(_FAR_FIELD_OF_VIEW, *image_size)
        people = self._look(image, K, self._tracks[: self.config.max_people])
        if self._is_detection_due(people):
            people += self._discover(image, K, people)
        people = _without_doubles(people)
        self._tracks = [_Track(person.id, False, person.next_region) for person in people]
        return people

    def _is_detection_due(self, people: Sequence[Person]) -> bool:
        """Decide whether to run the detector, and count the images since it last ran."""
        self._images_since_detection += 1
        if len(people) >= self.config.max_people:
            return False
        lost_somebody = len(people) < len(self._tracks)
        late = self._images_since_detection >= self.config.detection_interval
        if not people or lost_somebody or late:
            self._images_since_detection = 0
            return True
        return False

    def _discover(self, image: Image, K: Array, people: Sequence[Person]) -> list[Person]:
        """Find people who are not followed yet: detector, rough landmarks, landmarks."""
        regions = [
            detection.region
            for detection in self._detector.detect(image, self.config.detection_score)
            if not any(is_same_place(detection.region, p.next_region) for p in people)
        ]
        room = self.config.max_people - len(people)
        rough = self._look(image, K, [_Track(-1, True, region) for region in regions[:room]])
        # The detector's regions are rough; the landmarks' own ones are what later images use.
        tracks = [_Track(self._next_id + i, True, p.next_region) for i, p in enumerate(rough)]
        self._next_id += len(tracks)
        return self._look(image, K, tracks)

    def _look(self, image: Image, K: Array, tracks: Sequence[_Track]) -> list[Person]:
        """Find the landmarks of some people in one pass; leave out who is not there."""
        tracks = [track for track in tracks if _is_usable(track.region, image)]
        if not tracks:
            return []
        size = (CROP_SIZE, CROP_SIZE)
        views = [
            geometry.perspective_crop(t.region.crop_from_image(CROP_SIZE), size, K) for t in tracks
        ]
        crops = np.stack([cv2.warpPerspective(image, homography, size) for homography, _ in views])
        device = next(self._landmark_net.parameters()).device
        with torch.inference_mode():
            batch = torch.from_numpy(crops).to(device).permute(0, 3, 1, 2).float() / 255
            output = self._landmark_net(batch)
            landmarks, visibilities, world, presences = (
                tensor.cpu().numpy()
                for tensor in (
                    output.landmarks_px,
                    output.visibilities,
                    output.world_landmarks,
                    output.presences,
                )
            )
        image_size = (image.shape[1], image.shape[0])
        return [
            _person(
                track,
                views[i],
                _Answer(
                    landmarks[i],
                    visibilities[i, :BLAZEPOSE_LANDMARKS],
                    world[i, :BLAZEPOSE_LANDMARKS],
                    float(presences[i]),
                    [level[i : i + 1] for level in output.features],
                ),
                image_size,
            )
            for i, track in enumerate(tracks)
            if presences[i] >= self.config.presence_score
        ]


def _person(
    track: _Track, view: tuple[Array, Array], answer: _Answer, image_size: tuple[int, int]
) -> Person:
    """Put together one person from the landmark net's answer for one crop."""
    crop_from_image, rotation = view
    image_from_crop = np.linalg.inv(crop_from_image)
    points = geometry.transform_pixels(image_from_crop, answer.landmarks_crop).astype(np.float32)
    keypoints_crop, scores = keypoints_from_blazepose(
        answer.landmarks_crop[:BLAZEPOSE_LANDMARKS], answer.visibilities
    )
    landmarks_px = points[:BLAZEPOSE_LANDMARKS]
    visible = answer.visibilities >= _VISIBLE
    return Person(
        id=track.id,
        is_new=track.is_new,
        region=track.region,
        next_region=region_from_points(
            points[BLAZEPOSE_REGION_CENTRE], points[BLAZEPOSE_REGION_CIRCLE]
        ),
        crop_from_image=crop_from_image,
        image_from_crop_rotation=rotation,
        landmarks_px=landmarks_px,
        visibilities=answer.visibilities,
        keypoints_crop=keypoints_crop,
        keypoints=geometry.transform_pixels(image_from_crop, keypoints_crop).astype(np.float32),
        keypoint_scores=scores,
        features=answer.features,
        world_landmarks=answer.world_landmarks,
        score=answer.presence,
        box_xyxy=box_round_points(
            landmarks_px[visible] if visible.sum() >= 2 else landmarks_px, _BOX_MARGIN, image_size
        ),
    )


def _is_usable(region: Region, image: Image) -> bool:
    """Tell whether a region has a sensible size and shows some of the image."""
    corners = region.corners()
    limit = np.array([image.shape[1], image.shape[0]]) - 0.5
    touches = (corners.max(axis=0) > -0.5).all() and (corners.min(axis=0) < limit).all()
    return bool(np.isfinite(corners).all() and region.size >= _MIN_REGION_PX and touches)


def _without_doubles(people: Sequence[Person]) -> list[Person]:
    """Drop whoever has come to lie on the same body as somebody earlier in the list."""
    kept: list[Person] = []
    for person in people:
        if not any(_is_same_body(person, other) for other in kept):
            kept.append(person)
    return kept


def _is_same_body(first: Person, second: Person) -> bool:
    """Tell whether two poses are of one body, perhaps with left and right taken for each other."""
    poses = (second.keypoints, second.keypoints[list(H36M_17.mirror)])
    distances = [np.linalg.norm(first.keypoints - pose, axis=-1) for pose in poses]
    size = min(first.next_region.size, second.next_region.size)
    # The median, as hidden limbs of the same body may come out differently.
    return bool(min(np.median(distance) for distance in distances) < _SAME_KEYPOINTS * size)
