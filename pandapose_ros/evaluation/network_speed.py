"""How long the networks take by themselves, for any number of people, on any device."""

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pandapose_ros import geometry
from pandapose_ros.config import ModelConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.evaluation.speed import LEAST_REPEATS, forget_peak, memory_mb, timed
from pandapose_ros.model.blazepose import CROP_SIZE
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.people.crops import crops_on_host
from pandapose_ros.people.region import Region
from pandapose_ros.runtime.cuda_graphs import FixedBatches
from pandapose_ros.runtime.one_pass import OnePass, precision_error
from pandapose_ros.runtime.precision import DTYPES, casts, reduced
from pandapose_ros.timings import summarise

Image = NDArray[np.uint8]

_CPU = torch.device("cpu")


def measure_networks(estimator: PoseEstimator, people: int, repeats: int, seconds: float) -> dict:
    """Measure landmark net and lifter for a number of people, and the same in eager PyTorch.

    The two take turns, so that a busy machine slows both.

    Args:
        estimator: Its networks are measured, and those that they were made of.
        people: Batch.
        repeats: Times each is run, after one time that is not counted.
        seconds: Time after which fewer will do.

    Returns:
        Summaries of the runtime in use and of eager, in ms, of landmarks and lifter, and of both
        together, which is all there is of one pass; people_per_s in the runtime; memory_mb after
        the runtime's first run, the greatest of this run.
    """
    device, networks, network = estimator.device, estimator.networks, estimator.network
    eager = replace(networks, landmark_net=network.backbone, lifter=network, runtime="torch")
    crops = torch.rand(people, 3, CROP_SIZE, CROP_SIZE, device=device)
    keypoints = torch.rand(people, 17, 2, device=device) * CROP_SIZE
    times: dict[str, list[float]] = {}
    forget_peak(device)
    memory: dict[str, float] = {}
    for counts in _repetitions(repeats, seconds):
        for name, each in (("runtime", networks), ("eager", eager)):
            with torch.inference_mode():
                landmarks, seen = timed(lambda e=each: e.landmark_net(crops), device)
                taken = {"both": landmarks}
                if each.runtime != "one_pass":
                    lifter, _ = timed(
                        lambda e=each, s=seen: e.lifter.lift(s.features, keypoints), device
                    )
                    taken = {"landmarks": landmarks, "lifter": lifter, "both": landmarks + lifter}
            memory = memory or memory_mb(device)
            for stage, milliseconds in taken.items() if counts else ():
                times.setdefault(f"{name}_{stage}", []).append(milliseconds)
    result: dict = {name: summarise(values) for name, values in times.items()}
    return result | {
        "people_per_s": _rate(people, result["runtime_both"]),
        "memory_mb": memory,
    }


def measure_paper(
    device: torch.device, precision: str, people: int, repeats: int, seconds: float
) -> dict:
    """Measure the paper's network, HRNet-W32 and lifter, with random weights.

    Args:
        device: Where to run.
        precision: fp32, fp16 or bf16; of the runtime, eager is fp32.
        people: Batch.
        repeats: As for `measure_networks`.
        seconds: As there.

    Returns:
        Summaries of runtime (one pass, on CUDA as a graph, until the joints are on the host) and
        eager, ms; people_per_s of both; memory_mb.
    """
    network, crops, keypoints = _paper_case(device, people)
    dtype = DTYPES[precision]
    fast = reduced(network, dtype, lambda net: net(crops[:1], keypoints[:1]))

    def run(crops: Tensor, keypoints: Tensor) -> Tensor:
        with casts(device, dtype):
            return fast(crops, keypoints).joints

    def run_eager() -> Tensor:
        return network(crops, keypoints).joints

    batches = FixedBatches(run, [crops[:1].to(dtype), keypoints[:1]])
    forget_peak(device)
    ways = {"runtime": lambda: batches(crops, keypoints), "eager": run_eager}
    times: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        for counts in _repetitions(repeats, seconds):
            for name, way in ways.items():
                milliseconds, _ = timed(lambda w=way: w().cpu(), device)
                if counts:
                    times[name].append(milliseconds)
    result: dict = {name: summarise(values) for name, values in times.items()}
    return {
        "people": people,
        "precision": precision,
        "graphs": batches.captured,
        **result,
        "people_per_s": {name: _rate(people, told) for name, told in result.items()},
        "memory_mb": memory_mb(device),
    }


def _repetitions(repeats: int, seconds: float) -> Iterator[bool]:
    """Yield whether each repetition counts, which the first does not; fewer after some seconds."""
    start = time.perf_counter()
    for number in range(repeats + 1):
        if number > LEAST_REPEATS and time.perf_counter() - start > seconds:
            return
        yield number > 0


def _paper_case(device: torch.device, people: int) -> tuple[PandaPose, Tensor, Tensor]:
    """Return the paper's network with random weights, and crops and keypoints for it."""
    torch.manual_seed(0)
    config = ModelConfig.paper()
    network = PandaPose(config).to(device).eval()
    joints = len(network.skeleton.joint_names)
    crops = torch.rand(people, 3, config.crop_height, config.crop_width, device=device)
    return network, crops, torch.rand(people, joints, 2, device=device) * config.crop_width


def measure_precision(estimator: PoseEstimator, images: Sequence[Image]) -> dict:
    """Measure what the precision in use costs, on the people whom the detector finds in images.

    Args:
        estimator: Its networks are compared with the same ones in fp32 on the CPU.
        images: RGB, contiguous.

    Returns:
        name; graphs: numbers of people that are CUDA graphs; and for one pass people, and
        error_mm, the mean per-joint position error, None if there is NaN.
    """
    networks = estimator.networks
    told: dict = {"name": networks.precision, "graphs": []}
    if not isinstance(networks.landmark_net, OnePass):
        return told
    homographies = [
        [_homography(image, found.region) for found in estimator.detect(image)] for image in images
    ]
    crops = crops_on_host(images, homographies, _CPU)
    reference = copy.deepcopy(estimator.network).cpu()
    error = precision_error(networks.landmark_net, reference, crops)
    told["graphs"] = networks.landmark_net.batches.captured
    error_mm = round(1e3 * error, 3) if np.isfinite(error) else None
    return told | {"people": len(crops), "error_mm": error_mm}


def measure_anchors(
    estimator: PoseEstimator, local_anchors: Sequence[int], repeats: int
) -> list[dict]:
    """Measure eager lifters for one person that differ in their anchors; weights are random.

    Args:
        estimator: Gives the configuration to vary and the backbone.
        local_anchors: Of each joint, for one lifter each.
        repeats: Times each is run, after one time that is not counted.

    Returns:
        For each its anchors, local and global ones together, and a summary in ms.
    """
    network, device = estimator.network, estimator.device
    keypoints = torch.rand(1, 17, 2, device=device) * CROP_SIZE
    results = []
    with torch.inference_mode():
        crops = torch.rand(1, 3, CROP_SIZE, CROP_SIZE, device=device)
        features = network.backbone(crops).features
        for local in local_anchors:
            config = replace(network.config, local_anchors=local)
            lifter = PandaPose(config, network.backbone).to(device).eval()
            times = [
                timed(lambda each=lifter: each.lift(features, keypoints), device)[0]
                for _ in range(repeats + 1)
            ]
            anchors = lifter.anchors.kinds.numel()
            results.append({"anchors": anchors, "eager_lifter": summarise(times[1:])})
    return results


def _homography(image: Image, region: Region) -> NDArray[np.floating]:
    """Return the way from an image to the crop of a region, for a field of view of 1 rad."""
    K = geometry.intrinsics_from_field_of_view(1.0, image.shape[1], image.shape[0])
    size = (CROP_SIZE, CROP_SIZE)
    return geometry.perspective_crop(region.crop_from_image(CROP_SIZE), size, K)[0]


def _rate(people: int, summary: dict[str, float]) -> float:
    """Return people per second at the median time."""
    return round(1e3 * people / summary["p50"], 3)
