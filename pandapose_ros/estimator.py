"""From an image to metric 3D skeletons: the public entry point of the package."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from pandapose_ros import geometry
from pandapose_ros.camera.depth_root import check_depth
from pandapose_ros.camera.lens import Distortion, ImageUndistorter, check_distortion
from pandapose_ros.camera.lens_boxes import undistort_boxes
from pandapose_ros.camera_image import CameraImage, check_cameras, check_image, check_stamp
from pandapose_ros.checkpoint import load_weights, read_config
from pandapose_ros.config import EstimatorConfig
from pandapose_ros.config.options import check_options
from pandapose_ros.data.file_identity import file_sha256
from pandapose_ros.landmark_weights import open_landmark_net
from pandapose_ros.lifting import PinholeImage, as_seen, lift, sight
from pandapose_ros.model.blazepose import CROP_SIZE
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.model_files import BODY_DETECTOR, PERSON_DETECTOR, find_model_file
from pandapose_ros.packaged_weights import find_weights
from pandapose_ros.people.body_detector import BodyDetector
from pandapose_ros.people.boxes import check_boxes
from pandapose_ros.people.detector import Detection, PersonDetector
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.people.landmarks import Look, find_landmarks, search_together
from pandapose_ros.people.region import Region
from pandapose_ros.people.smoothing import PoseSmoother
from pandapose_ros.people.tracks import FrameClock, Tracks
from pandapose_ros.pose import ModelInfo, Pose, RootSource
from pandapose_ros.runtime.networks import open_networks
from pandapose_ros.skeleton import H36M_17, Skeleton
from pandapose_ros.uncertainty import from_metadata

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class _Camera:
    """Hold the state of one camera, kept from image to image."""

    people: PeopleTracker
    tracks: Tracks
    smoother: PoseSmoother
    clock: FrameClock
    undistorter: ImageUndistorter


class PoseEstimator:
    """Find the people in images and lift each to a metric 3D skeleton.

    People are tracked from call to call, so that the detector runs only when needed. Call `reset`
    between unrelated images, or set `EstimatorConfig.tracking` to False.
    """

    skeleton: Skeleton = H36M_17

    def __init__(
        self,
        config: EstimatorConfig = EstimatorConfig(),
        *,
        numbers: Iterator[int] | None = None,
    ) -> None:
        """Load the detectors, the landmark net and the lifter.

        Args:
            config: Settings; the defaults need no files but those of `pandapose fetch-models`.
            numbers: Yields the people's ids, each only once; None: 0, 1, 2, ... Give the same
                iterator to successive estimators that must not use an id again.

        Raises:
            FileNotFoundError: If weights or model files are missing; the message names the
                remedy.
            ValueError: If a setting is out of its bounds, a file is damaged or of another kind, or
                the device does not exist.
        """
        check_options(config)
        self.config = config
        self.device = select_device(config.device)
        if config.threads > 0:
            torch.set_num_threads(config.threads)
        detector_file = find_model_file(PERSON_DETECTOR, config.model_dir)
        bodies_file = find_model_file(BODY_DETECTOR, config.model_dir)
        weights = find_weights(config.weights)
        model = read_config(weights)
        if model.backbone != "blazepose":
            raise ValueError(f"{weights} needs {model.backbone}; give weights on BlazePose")
        landmark_net = open_landmark_net(weights, config.model_dir)
        self.network = PandaPose(model, landmark_net).to(self.device).eval()
        metadata = load_weights(weights, self.network)
        self._covariances = from_metadata(metadata)
        self.model_info = ModelInfo(
            name=metadata.get("name", "unknown"),
            version=metadata.get("version", "unknown"),
            weights_sha256=file_sha256(weights),
        )
        self.networks = open_networks(
            config, self.network, landmark_net, self.model_info.weights_sha256
        )
        self._detector = PersonDetector(detector_file, config.threads)
        self._bodies = BodyDetector(bodies_file, config.threads)
        # Shared, so that no two people have one id, whichever camera sees them.
        self._numbers = itertools.count() if numbers is None else numbers
        self._cameras: dict[str, _Camera] = {}

    def reset(self, camera_name: str | None = None) -> None:
        """Forget all people, or those of one camera, and start tracking anew."""
        names = self._cameras if camera_name is None else {camera_name} & self._cameras.keys()
        for name in list(names):
            camera = self._cameras[name] = replace(self._cameras[name], clock=FrameClock())
            camera.people.reset()
            camera.tracks.reset()
            camera.smoother.reset()

    def warm_up(self, cameras: int = 1) -> None:
        """Run every network once on a blank image, so that the first person is not delayed.

        Args:
            cameras: How many cameras there are, whose images are processed together.
        """
        size = CROP_SIZE
        blank = np.zeros((size, size, 3), np.uint8)
        self._detector.detect(blank, 1.0)
        self._bodies.detect(blank, 1.0)
        K = geometry.intrinsics_from_field_of_view(1.0, size, size)
        region = Region((size / 2, size / 2), size, 0.0)
        most, crops = self.config.max_people, self.config.crops_per_person
        for people in self.networks.warm_up_sizes(most, cameras, crops):
            look = Look(blank, K, [region] * people, least_score=0.0)
            lift(self.networks.lifter, find_landmarks(self.networks.landmark_net, [look])[0])

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Run the person detector alone on an RGB image [H, W, 3]."""
        return self._detector.detect(image, self.config.detection_score)

    def detect_bodies(self, image: NDArray[np.uint8]) -> Array:
        """Run the body detector alone on an RGB image [H, W, 3]; return boxes xyxy [P, 4]."""
        return self._bodies.detect(image, self.config.body_score)

    def update(self, config: EstimatorConfig) -> None:
        """Apply the live settings of a configuration from the next image on.

        Raises:
            ValueError: If a setting is out of its bounds; then nothing changes.
        """
        check_options(config)
        self.config = config
        for camera in self._cameras.values():
            camera.people.config = config

    def estimate(
        self,
        image: NDArray[np.uint8],
        K: Array | None = None,
        distortion: Distortion | Array | None = None,
        depth: Array | None = None,
        stamp: float | None = None,
        boxes: Array | None = None,
    ) -> list[Pose]:
        """Estimate the skeleton of every person in an image.

        Args:
            image: RGB uint8 [H, W, 3], [0, 255]; read only, any strides.
            K: Intrinsics [3, 3] of this image, pixels. None: a field of view is assumed
                (`EstimatorConfig.field_of_view`), which scales the distances of the roots.
            distortion: Of the lens, with K; an array holds OpenCV's (k1, k2, p1, p2[, k3[, ...]]).
            depth: [H, W], floats, metres, registered to the image; 0 or not finite where unknown.
                Used only together with K: without it, the sideways position is unknown.
            stamp: Time of the image, seconds; None: 1/30 s after the previous one.
            boxes: [P, 4], xyxy, pixels: people found by your own detector, the most certain first.
                The built-in detectors do not run then. None: they do.

        Returns:
            One pose per person, oldest track first; with tracking, also for people who are
            predicted or lost. Empty if there is nobody.

        Raises:
            ValueError: If an argument is not as described.
        """
        item = CameraImage(image, K, distortion, depth, stamp, boxes=boxes)
        return self.estimate_together([item])[0]

    @torch.inference_mode()
    def estimate_together(self, images: Sequence[CameraImage]) -> list[list[Pose]]:
        """Estimate the skeletons in the images of several cameras, in one pass of each network.

        Args:
            images: At most one per camera.

        Returns:
            The poses of each image, as `estimate` returns them.

        Raises:
            ValueError: As `estimate`, or if two images are of one camera; then none is processed.
        """
        check_cameras(images)
        views = [self._as_pinhole(item) for item in images]
        cameras = [self._camera(item.camera) for item in images]
        times = []
        for item, view, camera in zip(images, views, cameras, strict=True):
            times.append(camera.clock.tick(item.stamp))
            if camera.tracks.follow_lens(view.K):
                camera.smoother.reset()
            camera.people.follow(camera.tracks.followed(times[-1]))
        seen = search_together(
            self.networks.landmark_net,
            [
                camera.people.search(view.image, view.K, view.boxes)
                for camera, view in zip(cameras, views, strict=True)
            ],
        )
        lifted = iter(lift(self.networks.lifter, [person for people in seen for person in people]))
        results = []
        for camera, view, people, time in zip(cameras, views, seen, times, strict=True):
            sightings = [sight(p, next(lifted), view, self._covariances) for p in people]
            size = (view.image.shape[1], view.image.shape[0])
            poses = camera.tracks.update(sightings, time, size, self.config)
            poses = camera.smoother.smooth(poses, time, self.config)
            # Copies: callers may write to them, and the tracks continue from the originals.
            results.append([as_seen(pose.copy(), view) for pose in poses])
        return results

    def _camera(self, name: str) -> "_Camera":
        """Return the state of a camera; created when its first image comes."""
        if name not in self._cameras:
            people = PeopleTracker(
                self._detector, self.networks.landmark_net, self.config, self._bodies
            )
            self._cameras[name] = _Camera(
                people, Tracks(self._numbers), PoseSmoother(), FrameClock(), ImageUndistorter()
            )
        return self._cameras[name]

    def _as_pinhole(self, item: CameraImage) -> PinholeImage:
        """Check an image and what is known of its camera, and remove the distortion."""
        check_image(item.image)
        check_stamp(item.stamp)
        K, root_source = self._intrinsics(item.image, item.K)
        distortion = None if K is None else check_distortion(item.distortion)
        boxes = None if item.boxes is None else check_boxes(item.boxes)
        image, K_lens = item.image, K
        if K is not None and distortion is not None:
            image, K_ideal = self._camera(item.camera).undistorter.show(image, K, distortion)
            if boxes is not None:
                size = (image.shape[1], image.shape[0])
                boxes = undistort_boxes(boxes, K, distortion, size, K_ideal)
            K = K_ideal
        depth = None
        if item.depth is not None:
            depth = check_depth(item.depth, (image.shape[1], image.shape[0]))
        return PinholeImage(image, K, root_source, distortion, depth, K_lens, boxes)

    def _intrinsics(
        self, image: NDArray[np.uint8], K: Array | None
    ) -> tuple[Array | None, RootSource]:
        """Return the intrinsics to use, if any, and what roots placed with them are based on."""
        if K is not None:
            return geometry.check_intrinsics(K), RootSource.INTRINSICS
        if self.config.field_of_view == 0:
            return None, RootSource.NONE
        height, width = image.shape[:2]
        K = geometry.intrinsics_from_field_of_view(self.config.field_of_view, width, height)
        return K, RootSource.ASSUMED_FIELD_OF_VIEW


def select_device(name: str) -> torch.device:
    """Turn a device name into a device that exists.

    Args:
        name: auto, cpu, cuda or cuda:N.

    Raises:
        ValueError: If the name is unknown or there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device '{name}'; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"unsupported device '{name}'; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(f"device '{name}' not found: {count} CUDA devices; use auto or cpu")
    return device
