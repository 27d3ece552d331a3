import numpy as np
import pytest
from clip_images import clip_frames
from followed_people import walk_of_the_demo

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.evaluation.metrics import pa_mpjpe
from pandapose_ros.packaged_weights import PACKAGED_WEIGHTS, find_weights


@pytest.mark.parametrize("name", PACKAGED_WEIGHTS)
def test_packaged_weights_find_the_person_of_the_clip(name):
    truth = walk_of_the_demo()
    estimator = PoseEstimator(EstimatorConfig(weights=name, tracking=False, device="cpu"))
    errors = []
    for number, frame in enumerate(clip_frames(140)[::10]):
        (pose,) = estimator.estimate(frame, truth["K"])
        exact = truth["joints"][10 * number]
        errors.append(pa_mpjpe(pose.joints[None], (exact - exact[0])[None]))
    # The model card tells what is measured; BlazePose's own 3D has 64 mm.
    assert np.mean(errors) < 0.064


def test_names_and_files_are_told_apart(tmp_path, monkeypatch):
    file = tmp_path / "default"  # a name is a name, whatever lies in the folder
    file.touch()
    monkeypatch.chdir(tmp_path)
    assert find_weights("default").name == "default.safetensors"
    assert find_weights(str(file)) == file
    with pytest.raises(FileNotFoundError, match="no weights at 'acurate': give default, accur"):
        find_weights("acurate")
