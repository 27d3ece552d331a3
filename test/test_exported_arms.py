# ONNX files of what the ablations compare, and of networks on HRNet; when they are made anew.
import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from test_ablations import EVERY_ARM, J, build

from pandapose_ros.checkpoint import HRNET_KEY, check_hrnet, save_weights
from pandapose_ros.config import ModelConfig
from pandapose_ros.data.file_identity import file_sha256
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.runtime.export import _SOURCES, export_lifter, feature_names
from pandapose_ros.tools import main

PACKAGE = Path(__file__).parents[1] / "pandapose_ros"
# Options come with the weights, MediaPipe's file with its digest.
NOT_TRACED = {"config", "model_files"}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("arm", [a for a in EVERY_ARM if a != {"sampling": "random"}], ids=str)
def test_every_arm_is_exported_for_any_number_of_people(arm):
    net = build(**arm)
    session = onnxruntime.InferenceSession(export_lifter(net), providers=["CPUExecutionProvider"])
    torch.manual_seed(0)
    for people in (1, 2):
        features = [torch.randn(people, 48, side, side) for side in (16, 8, 4)]
        keypoints = torch.rand(people, J, 2) * 64
        inputs = dict(zip(feature_names(3), features, strict=True)) | {"keypoints": keypoints}
        (joints,) = session.run(["joints"], {name: each.numpy() for name, each in inputs.items()})
        with torch.inference_mode():
            expected = net.lift(features, keypoints).joints.numpy()
        np.testing.assert_allclose(joints, expected, atol=1e-5)


def test_pixels_at_random_are_refused(tmp_path, capsys):
    save_weights(tmp_path / "w.safetensors", build(sampling="random"), {})
    command = ["export", str(tmp_path / "net.onnx"), "--weights", str(tmp_path / "w.safetensors")]
    assert main.main(command) == 1
    assert "ONNX cannot draw pixels at random" in capsys.readouterr().err


def test_another_hrnet_than_that_of_training_is_refused(tmp_path, capsys):
    small = {"width": 32, "heads": 2, "layers": 1, "level_channels": (8, 16, 32, 64)}
    network = PandaPose(replace(ModelConfig.paper(), **small)).eval()
    weights, coco, out = tmp_path / "w.safetensors", tmp_path / "hrnet.pth", tmp_path / "net.onnx"
    torch.save(network.backbone.state_dict(), coco)
    command = ["export", str(out), "--weights", str(weights), "--backbone-weights", str(coco)]
    save_weights(weights, network, {HRNET_KEY: file_sha256(coco)[::-1]})
    assert main.main(command) == 1
    assert not out.exists()
    assert "was trained with another file than" in capsys.readouterr().err
    # Older weights do not tell it. An export with the right file is in test_runtime.py.
    save_weights(weights, network, {})
    check_hrnet(weights, coco)


def test_networks_are_exported_anew_where_anything_that_they_compute_by_has_changed():
    used = set()
    for file in (PACKAGE / "model").glob("*.py"):
        used.add(file)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name):
                name = node.module.partition(".")[2]
                if name not in NOT_TRACED:
                    used.add(PACKAGE / (name.replace(".", "/") + ".py"))
    assert PACKAGE / "geometry.py" in used
    assert used <= set(_SOURCES)
