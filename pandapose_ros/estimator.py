"""From an image to metric 3D skeletons: the public entry of the package."""

import hashlib
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pandapose_ros import geometry
from pandapose_ros.checkpoint import load_weights, read_config
from pandapose_ros.config import EstimatorConfig
from pandapose_ros.detector import PersonDetector
from pandapose_ros.landmarks import Person
from pandapose_ros.lens import ImageUndistorter, check_distortion, distort_box, distort_pixels
from pandapose_ros.model.blazepose import CROP_SIZE, BlazePose
from pandapose_ros.model.pandapose import PandaPose, PandaPoseOutput
from pandapose_ros.model_files import find_model_file
from pandapose_ros.people import PeopleTracker
from pandapose_ros.skeleton import H36M_17, Skeleton

Array = NDArray[np.floating]

PACKAGED_WEIGHTS = Path(__file__).parent / "weights" / "default.safetensors"


class RootSource(IntEnum):
    """Say how a root position was found; the values are those of `Skeleton3D.msg`."""

    NONE = 0
    INTRINSICS = 1
    DEPTH = 2
    ASSUMED_FIELD_OF_VIEW = 3


@dataclass(frozen=True)
class AnchorVotes:
    """Hold one person's anchors and how much each counted.

    Attributes:
        positions: [A, 3], pelvis-relative, the image camera's axes, metres.
        weights: [A, J], each anchor's share in each joint; a column sums to 1.
        kinds: [A], 0 = local, 1 = global.
        owners: [A], index of the joint that a local anchor belongs to; -1 for a global one.
    """

    positions: Array
    weights: Array
    kinds: NDArray[np.int64]
    owners: NDArray[np.int64]


@dataclass(frozen=True)
class Pose:
    """Hold one person's skeleton, in the order of `H36M_17`.

    Attributes:
        id: Number of the track, never used again after the person is lost.
        is_new: Seen for the first time in this image.
        joints: [17, 3], pelvis-relative, the image camera's axes (x right, y down, z forward),
            metres.
        root: [3], the pelvis in the camera frame, metres; None where it is unknown.
        root_covariance: [3, 3], m^2, of the fit alone: the assumed size of the person adds an
            error of about 10 % of the distance. None where the root is.
        root_source: How the root was found.
        joint_scores: [17], [0, 1], the detector's belief that a keypoint is visible.
        keypoints: [17, 2], (u, v) in the original image, pixels.
        box_xyxy: [4], round the visible landmarks, pixels of the original image.
        score: [0, 1], belief that this is a person.
        anchors: The anchors whose votes made the joints.
    """

    id: int
    is_new: bool
    joints: Array
    root: Array | None
    root_covariance: Array | None
    root_source: RootSource
    joint_scores: Array
    keypoints: Array
    box_xyxy: Array
    score: float
    anchors: AnchorVotes


@dataclass(frozen=True)
class ModelInfo:
    """Name the network and its weights, so that a result can be traced."""

    name: str
    version: str
    weights_sha256: str


class PoseEstimator:
    """Find the people in images and lift each to a metric 3D skeleton.

    People are followed from call to call, so that the detector runs only when needed; call
    `reset` between unrelated images, or set `EstimatorConfig.tracking` to False.
    """

    skeleton: Skeleton = H36M_17

    def __init__(self, config: EstimatorConfig = EstimatorConfig()) -> None:
        """Load the detector, the landmark net and the lifter.

        Args:
            config: Settings; the defaults work without any file but the fetched BlazePose ones.

        Raises:
            FileNotFoundError: If weights or BlazePose files are missing; the message names the
                remedy.
            ValueError: If a file is not what it should be, or the device does not exist.
        """
        self.config = config
        self.device = select_device(config.device)
        if config.threads > 0:
            torch.set_num_threads(config.threads)
        landmark_file = find_model_file("pose_landmark_full.tflite", config.model_dir)
        detector_file = find_model_file("pose_detection.tflite", config.model_dir)
        backbone = BlazePose(landmark_file.read_bytes())
        weights = Path(config.weights) if config.weights else PACKAGED_WEIGHTS
        model = read_config(weights)
        if model.backbone != "blazepose":
            raise ValueError(f"{weights} needs {model.backbone}; give weights on BlazePose")
        self.network = PandaPose(model, backbone).to(self.device).eval()
        metadata = load_weights(weights, self.network)
        self.model_info = ModelInfo(
            name=metadata.get("name", "unknown"),
            version=metadata.get("version", "unknown"),
            weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        )
        detector = PersonDetector(detector_file, config.threads)
        self.people = PeopleTracker(detector, backbone, config)
        self._undistorter = ImageUndistorter()

    def reset(self) -> None:
        """Forget all people; the next image starts with the detector."""
        self.people.reset()

    def warm_up(self) -> None:
        """Run every network once on nothing, so that the first person is as fast as the next."""
        size = CROP_SIZE
        blank = np.zeros((size, size, 3), np.uint8)
        self.people.find(blank)
        self.people.reset()
        with torch.inference_mode():
            for people in (1, 2):
                crops = torch.zeros(people, 3, size, size, device=self.device)
                self.network(crops, torch.full((people, 17, 2), size / 2, device=self.device))

    def update(self, config: EstimatorConfig) -> None:
        """Take over the live settings of a configuration from the next image on."""
        self.config = config
        self.people.config = config

    @torch.inference_mode()
    def estimate(
        self,
        image: NDArray[np.uint8],
        K: Array | None = None,
        distortion: Array | None = None,
    ) -> list[Pose]:
        """Estimate the skeleton of every person in an image.

        Args:
            image: RGB uint8 [H, W, 3], [0, 255]; read only, any strides.
            K: Intrinsics [3, 3] of this image, pixels. None: a field of view is assumed
                (`EstimatorConfig.field_of_view`), which scales the distances of the roots.
            distortion: plumb_bob coefficients (k1, k2, p1, p2[, k3]) with K, or None.

        Returns:
            One pose per person, oldest track first; empty if nobody is seen.

        Raises:
            ValueError: If the image, K or the distortion is not as described.
        """
        check_image(image)
        K, root_source = self._intrinsics(image, K)
        distortion = None if K is None else check_distortion(distortion)
        if K is not None and distortion is not None:
            image = self._undistorter.undistort(image, K, distortion)
        people = self.people.find(image, K)
        if not people:
            return []
        features = [
            torch.cat(levels) for levels in zip(*(p.features for p in people), strict=True)
        ]
        keypoints = np.stack([person.keypoints_crop for person in people])
        output = self.network.lift(features, torch.from_numpy(keypoints).to(self.device))
        poses = _poses(people, output, K, root_source)
        if K is None or distortion is None:
            return poses
        size = (image.shape[1], image.shape[0])
        return [_as_seen(pose, K, distortion, size) for pose in poses]

    def _intrinsics(
        self, image: NDArray[np.uint8], K: Array | None
    ) -> tuple[Array | None, RootSource]:
        """Return the intrinsics to use, if any, and what a root placed with them rests on."""
        if K is not None:
            return geometry.check_intrinsics(K), RootSource.INTRINSICS
        if self.config.field_of_view == 0:
            return None, RootSource.NONE
        height, width = image.shape[:2]
        K = geometry.intrinsics_from_field_of_view(self.config.field_of_view, width, height)
        return K, RootSource.ASSUMED_FIELD_OF_VIEW


def check_image(image: NDArray[np.uint8]) -> None:
    """Raise ValueError unless `image` is a non-empty uint8 array [H, W, 3]."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise ValueError(f"expected an RGB image as a uint8 array, got {_describe(image)}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"expected an RGB image of shape [H, W, 3], got {list(image.shape)}")


def _describe(value: object) -> str:
    """Name a value's type, and its dtype if it has one."""
    dtype = getattr(value, "dtype", None)
    return type(value).__name__ + (f" of {dtype}" if dtype is not None else "")


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


def _poses(
    people: list[Person],
    output: PandaPoseOutput,
    K: Array | None,
    root_source: RootSource,
) -> list[Pose]:
    """Turn the network's output into poses in the image camera, one per person."""
    joints, anchors, weights = (
        tensor.float().cpu().numpy() for tensor in (output.joints, output.anchors, output.weights)
    )
    kinds, owners = output.anchor_kinds.cpu().numpy(), output.anchor_joints.cpu().numpy()
    poses = []
    for i, person in enumerate(people):
        axes = person.image_from_crop_rotation.T.astype(np.float32)
        pose_joints = (joints[i] - joints[i, :1]) @ axes
        root, covariance, source = None, None, RootSource.NONE
        if K is not None:
            root, covariance = geometry.place_root(
                pose_joints, person.keypoints, person.keypoint_scores, K
            )
            source = RootSource.NONE if root is None else root_source
        votes = AnchorVotes((anchors[i] - joints[i, :1]) @ axes, weights[i], kinds, owners)
        poses.append(
            Pose(
                id=person.id,
                is_new=person.is_new,
                joints=pose_joints,
                root=root,
                root_covariance=covariance,
                root_source=source,
                joint_scores=person.keypoint_scores,
                keypoints=person.keypoints,
                box_xyxy=person.box_xyxy,
                score=person.score,
                anchors=votes,
            )
        )
    return poses


def _as_seen(pose: Pose, K: Array, distortion: Array, image_size: tuple[int, int]) -> Pose:
    """Return the pose with its pixels where the real lens shows them."""
    return replace(
        pose,
        keypoints=distort_pixels(pose.keypoints, K, distortion).astype(np.float32),
        box_xyxy=distort_box(pose.box_xyxy, K, distortion, image_size).astype(np.float32),
    )
