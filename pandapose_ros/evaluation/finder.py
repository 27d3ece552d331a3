"""Finds the people in whole images that networks are scored on."""

from dataclasses import replace

from torch import nn

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.landmark_weights import open_landmark_net
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model_files import PERSON_DETECTOR, find_model_file
from pandapose_ros.people.detector import PersonDetector
from pandapose_ros.people.following import PeopleTracker

# MediaPipe's thresholds, for its own landmark net, whose presence score is less reliable.
_MEDIAPIPE = EstimatorConfig(detection_score=0.5, newcomer_score=0.5)


def build_finder(
    backbone: nn.Module, threads: int, max_people: int, crops_per_person: int = 1
) -> PeopleTracker:
    """Build a tracker as a user's estimator has it, but without tiles and body detector.

    The body detector finds people who are hard to lift; without it, results are comparable to
    earlier ones.

    Args:
        backbone: Of the networks; if it is not BlazePose, the original BlazePose is used.
        threads: CPU threads of the detector; 0: one.
        max_people: Greatest number of people in an image.
        crops_per_person: In how many crops each is seen.

    Returns:
        A tracker without people; with the original BlazePose, MediaPipe's thresholds apply.
    """
    net = backbone if isinstance(backbone, BlazePose) else open_landmark_net()
    detector = PersonDetector(find_model_file(PERSON_DETECTOR), max(1, threads))
    config = EstimatorConfig() if net.is_tuned else _MEDIAPIPE
    config = replace(
        config, max_people=max_people, detection_tiles=0, crops_per_person=crops_per_person
    )
    return PeopleTracker(detector, net, config)
