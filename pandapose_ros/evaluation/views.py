"""The lifters' input from a data set: people as they are found, cropped, through the backbone.

Views do not depend on the lifter, so that several lifters are compared on the same ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import islice

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pandapose_ros.camera.lens import Distortion, ImageUndistorter
from pandapose_ros.config import ModelConfig
from pandapose_ros.data.dataset import Dataset, Sample, read_image
from pandapose_ros.data.photographs import paper_crop
from pandapose_ros.data.rendered_images import region_round_person
from pandapose_ros.geometry import perspective_crop, project, transform_pixels
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.people.landmarks import Person
from pandapose_ros.people.subject import find_subject
from pandapose_ros.skeleton import H36M_17, H36M_17_FROM_BLAZEPOSE

Array = NDArray[np.floating]
Image = NDArray[np.uint8]

_JOINTS = len(H36M_17.joint_names)


class KeypointSource(Enum):
    """Where the 2D pose comes from: BlazePose, the data set's own detections, or its truth."""

    DETECTED = "detected"
    GIVEN = "given"
    TRUE = "true"


@dataclass(frozen=True, eq=False)
class Views:
    """Hold B people as networks see them.

    Attributes:
        indices: [B], of the samples in the data set.
        joints: True joints [B, 17, 3], metres, root-relative, the crop's axes; NaN where unknown.
        keypoints: [B, 17, 2], what is lifted, crop pixels.
        true_keypoints: [B, 17, 2], crop pixels; NaN where unknown.
        keypoints_px: [B, 17, 2], the first in pixels of the image.
        true_keypoints_px: [B, 17, 2], the second in pixels of the image.
        world_landmarks: BlazePose's own 3D as H36M-17 [B, 17, 3], metres, the crop's axes; NaN
            where it did not look. With a fine-tuned landmark net, of the net before that. Of
            several crops the medians.
        features: The backbone's maps, L tensors [B, C, H, W]; None without images.
        mirrored_features: The same of the mirrored crop; None where not asked for.
        people: The B people with the other crops they were seen in, to be lifted as the estimator
            does; None unless the tracker looks at several crops.
    """

    indices: NDArray[np.int64]
    joints: Array
    keypoints: Array
    true_keypoints: Array
    keypoints_px: Array
    true_keypoints_px: Array
    world_landmarks: Array
    features: list[Tensor] | None
    mirrored_features: list[Tensor] | None
    people: list[Person] | None = None


@dataclass(frozen=True, eq=False)
class _Look:
    """Hold one person and the crop of them."""

    index: int
    joints: Array
    keypoints: Array
    true_keypoints: Array
    keypoints_px: Array
    true_keypoints_px: Array
    world_landmarks: Array
    crop: Image | None
    person: Person | None


class Viewer:
    """Look at the people of a data set as the networks of one configuration do.

    Args:
        config: Its backbone and crop count.
        backbone: The frozen network that the configuration names.
        tracker: Finds people; with the default backbone always, else for detected keypoints.
        source: Where the 2D pose comes from.
        mirrored: Whether mirrored crops are looked at too.
        before: Finds people with BlazePose without fine-tuning, to compare with. People not found
            by both are left out.

    Source:
        Our choice: BlazePose's crops are those that the estimator makes, of people that it finds
        itself. HRNet's are the paper's, which use the true pelvis (`paper_crop`). Without an
        image the crop is where the truth says.
    """

    def __init__(
        self,
        config: ModelConfig,
        backbone: nn.Module,
        tracker: PeopleTracker | None,
        source: KeypointSource,
        *,
        mirrored: bool,
        before: PeopleTracker | None = None,
    ) -> None:
        self._before = before
        self._config = config
        self._backbone = backbone
        self._tracker = tracker
        self._source = source
        self._mirrored = mirrored
        self._undistorter = ImageUndistorter()
        self._size = (config.crop_width, config.crop_height)

    def look(self, dataset: Dataset, batch: int) -> Iterator[Views | None]:
        """Look at a data set, up to `batch` samples at a time.

        Args:
            dataset: Its samples.
            batch: Greatest number of samples at a time.

        Returns:
            For each batch the people found, None if there are none.

        Raises:
            ValueError: If the data set lacks what the source of keypoints asks for.
        """
        for tracker in (self._tracker, self._before):
            if tracker is not None:
                tracker.reset()
        samples = enumerate(dataset.read())
        while some := list(islice(samples, batch)):
            looks = [self._look(dataset, index, sample) for index, sample in some]
            found = [look for look in looks if look is not None]
            yield self._views(found) if found else None

    def _look(self, dataset: Dataset, index: int, sample: Sample) -> _Look | None:
        """Look at one sample; None if nobody is found."""
        image, true, given = read_image(sample), sample.true_keypoints, sample.keypoints
        is_blazepose = self._config.backbone == "blazepose"
        if is_blazepose and sample.K is not None and sample.distortion is not None:
            if image is not None:
                image = self._undistorter.undistort(image, sample.K, sample.distortion)
            true = project(sample.joints, sample.K)
            given = None if given is None else _undistort(given, sample.K, sample.distortion)
        person = untuned = None
        if image is not None and self._tracker is not None:
            person = untuned = _find(self._tracker, dataset, index, image, sample.K, true)
            if self._before is not None:
                untuned = _find(self._before, dataset, index, image, sample.K, true)
            if person is None or untuned is None:
                return None
        keypoints = self._keypoints(person, given, true, f"{dataset.name}, sample {index}")
        homography, axes = self._crop(sample, person)
        crop = None if image is None else cv2.warpPerspective(image, homography, self._size)
        world = np.full((_JOINTS, 3), np.nan)
        if untuned is not None and is_blazepose:
            world = _own_joints(untuned) @ axes
        return _Look(
            index=index,
            joints=(sample.joints - sample.joints[0]) @ axes,
            keypoints=transform_pixels(homography, keypoints),
            true_keypoints=transform_pixels(homography, true),
            keypoints_px=keypoints,
            true_keypoints_px=true,
            world_landmarks=world,
            crop=None if crop is None else np.asarray(crop, np.uint8),
            person=person,
        )

    def _keypoints(
        self, person: Person | None, given: Array | None, true: Array, place: str
    ) -> Array:
        """Return the 2D pose to lift [17, 2], pixels of the (undistorted) image."""
        if self._source is KeypointSource.DETECTED:
            if person is None:
                raise ValueError("detected keypoints need images; give --images, or other ones")
            return person.keypoints
        keypoints = true if self._source is KeypointSource.TRUE else given
        if keypoints is None:
            raise ValueError("the data set has no detected keypoints; take 'detected' or 'true'")
        unknown = ~np.isfinite(keypoints).all(axis=1)
        if unknown.any():
            names = [H36M_17.joint_names[i] for i in np.flatnonzero(unknown)]
            raise ValueError(
                f"{place}: the {self._source.value} keypoints lack {names}, which are to be "
                "lifted; take 'detected' ones"
            )
        return keypoints

    def _crop(self, sample: Sample, person: Person | None) -> tuple[Array, Array]:
        """Return the homography from image to crop, and the crop's axes."""
        if self._config.backbone != "blazepose":
            return np.vstack((paper_crop(sample), (0, 0, 1))), np.eye(3)
        if person is not None:
            return person.crop_from_image, person.image_from_crop_rotation
        if sample.K is None:
            raise ValueError("crops without images need K, which is unknown here")
        region = region_round_person(sample.joints, sample.K, with_hands=True)
        return perspective_crop(region.crop_from_image(self._size[0]), self._size, sample.K)

    def _views(self, looks: list[_Look]) -> Views:
        """Put looks together and run the backbone on their crops."""

        def stacked(name: str) -> Array:
            return np.stack([getattr(look, name) for look in looks]).astype(np.float32)

        crops = [look.crop for look in looks if look.crop is not None]
        features = mirrored = None
        if len(crops) == len(looks):
            pixels = np.stack(crops)
            features = self._run(pixels)
            mirrored = self._run(pixels[:, :, ::-1]) if self._mirrored else None
        people = None
        if self._tracker is not None and self._tracker.config.crops_per_person > 1:
            people = [look.person for look in looks if look.person is not None]
        return Views(
            indices=np.array([look.index for look in looks]),
            joints=stacked("joints"),
            keypoints=stacked("keypoints"),
            true_keypoints=stacked("true_keypoints"),
            keypoints_px=stacked("keypoints_px"),
            true_keypoints_px=stacked("true_keypoints_px"),
            world_landmarks=stacked("world_landmarks"),
            features=features,
            mirrored_features=mirrored,
            people=people,
        )

    def _run(self, crops: Image) -> list[Tensor]:
        """Run the backbone on crops [B, H, W, 3]."""
        device = next(self._backbone.parameters()).device
        batch = torch.from_numpy(np.ascontiguousarray(crops)).to(device).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return list(self._backbone(batch.float() / 255).features)


def _find(
    tracker: PeopleTracker,
    dataset: Dataset,
    index: int,
    image: Image,
    K: Array | None,
    true: Array,
) -> Person | None:
    """Find a sample's person in its image."""
    is_next = index > 0 and dataset.actions[index] == dataset.actions[index - 1]
    if not (dataset.successive and is_next):
        tracker.reset()
    people = tracker.find(image, K)
    return find_subject(people, true, with_others=dataset.max_people > 1)


def _own_joints(person: Person) -> Array:
    """Return the landmark net's own 3D as H36M-17 [17, 3], metres, the image camera's axes."""
    joints = []
    for seen in (person, *person.others):
        own = H36M_17_FROM_BLAZEPOSE @ seen.world_landmarks @ seen.image_from_crop_rotation.T
        joints.append(own[list(H36M_17.mirror)] if seen.region.is_mirrored else own)
    return np.median(joints, axis=0)


def _undistort(pixels: Array, K: Array, distortion: Distortion) -> Array:
    """Move pixels [17, 2] of the real image to those of the ideal pinhole with the same K."""
    moved = np.full_like(pixels, np.nan)
    known = np.isfinite(pixels).all(axis=1)
    points = pixels[known].astype(np.float64).reshape(-1, 1, 2)
    if len(points):
        moved[known] = cv2.undistortPoints(points, K, distortion.coefficients, P=K).reshape(-1, 2)
    return moved
