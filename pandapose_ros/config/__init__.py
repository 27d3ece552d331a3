"""Every default of the package, once, in frozen dataclasses.

ROS parameters and command lines are declared from these; YAML files hold only what differs.
"""

from pandapose_ros.config.benchmark import ProbeConfig
from pandapose_ros.config.covariance import CovarianceConfig
from pandapose_ros.config.estimator import MOST_CROPS, EstimatorConfig
from pandapose_ros.config.evaluation import EvaluationConfig
from pandapose_ros.config.landmarks import LandmarkTrainConfig
from pandapose_ros.config.model import ModelConfig
from pandapose_ros.config.node import NodeConfig, RecorderConfig, VideoCameraConfig
from pandapose_ros.config.pictures import PictureConfig
from pandapose_ros.config.poses import PoseConfig
from pandapose_ros.config.rendering import RenderConfig
from pandapose_ros.config.training import (
    LossConfig,
    SkeletonSampleConfig,
    TrainConfig,
    TrainDataConfig,
)
from pandapose_ros.config.viewer import ViewerConfig
from pandapose_ros.config.world import WorldConfig

__all__ = [
    "MOST_CROPS",
    "CovarianceConfig",
    "EstimatorConfig",
    "EvaluationConfig",
    "LandmarkTrainConfig",
    "LossConfig",
    "ModelConfig",
    "NodeConfig",
    "PictureConfig",
    "PoseConfig",
    "ProbeConfig",
    "RecorderConfig",
    "RenderConfig",
    "SkeletonSampleConfig",
    "TrainConfig",
    "TrainDataConfig",
    "VideoCameraConfig",
    "ViewerConfig",
    "WorldConfig",
]
