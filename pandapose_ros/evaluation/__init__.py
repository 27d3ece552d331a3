"""Scores of networks on samples with known joints, and figures for videos without."""

from pandapose_ros.evaluation.scores import pose_scores, score_skeletons

__all__ = ["pose_scores", "score_skeletons"]
