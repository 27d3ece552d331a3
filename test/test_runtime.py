import copy
import os
import resource
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from clip_images import clip_frames
from torch import nn

from pandapose_ros.checkpoint import HRNET_KEY, save_weights
from pandapose_ros.config import EstimatorConfig, ModelConfig
from pandapose_ros.data.file_identity import file_sha256
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.geometry import intrinsics_from_field_of_view
from pandapose_ros.model.blazepose import LANDMARK_OUTPUTS
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.model_files import PERSON_DETECTOR, find_model_file
from pandapose_ros.people.detector import PersonDetector
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.people.landmarks import Look, find_landmarks
from pandapose_ros.runtime.export import load_or_export
from pandapose_ros.runtime.networks import OnnxLandmarkNet, OnnxLifter, open_networks
from pandapose_ros.tools import main
from pandapose_ros.whole_files import write_shared


@pytest.fixture(scope="module")
def reference():
    return PoseEstimator(EstimatorConfig(device="cpu", runtime="torch", threads=1))


@pytest.fixture(scope="module")
def small(reference):
    """A lifter that is exported in a fraction of the time."""
    config = replace(reference.network.config, width=32, heads=2, layers=1)
    return PandaPose(config, reference.networks.landmark_net).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def exported(reference, folder):
    return load_or_export(reference.network, reference.networks.landmark_net, "a" * 64, folder)


@pytest.fixture(scope="module")
def real():
    return clip_frames(3)


@pytest.mark.parametrize("people", [1, 2, 5])
def test_exported_networks_compute_the_same_on_noise(reference, exported, people):
    torch.manual_seed(people)
    crops = torch.rand(people, 3, 256, 256)
    keypoints = torch.rand(people, 17, 2) * 320 - 32  # some outside the crop
    with torch.inference_mode():
        seen = reference.networks.landmark_net(crops)
        expected = reference.network.lift(seen.features, keypoints)
    ours = OnnxLandmarkNet(exported.landmarks, threads=1)(crops)
    for name in LANDMARK_OUTPUTS:
        torch.testing.assert_close(getattr(ours, name), getattr(seen, name), atol=1e-3, rtol=0)
    lifter = OnnxLifter(exported.lifter, 1, reference.network)
    lifted = lifter.lift(ours.features, keypoints)
    assert lifted.joints.shape == (people, 17, 3)
    assert (lifted.joints - expected.joints).abs().max() < 1e-4  # metres
    torch.testing.assert_close(lifted.anchors, expected.anchors, atol=1e-4, rtol=0)
    torch.testing.assert_close(lifted.weights, expected.weights, atol=1e-4, rtol=0)
    depth = expected.depth_probabilities
    torch.testing.assert_close(lifted.depth_probabilities, depth, atol=1e-4, rtol=0)
    assert torch.equal(lifted.anchor_kinds, expected.anchor_kinds)
    assert torch.equal(lifted.anchor_joints, expected.anchor_joints)


def test_exported_lifter_computes_the_same_on_people(reference, exported, real):
    detector = PersonDetector(find_model_file(PERSON_DETECTOR), threads=1)
    people = []
    for image in real:
        net = reference.networks.landmark_net
        people += PeopleTracker(detector, net, reference.config).find(image)
    features = [torch.cat(levels) for levels in zip(*(p.features for p in people), strict=True)]
    keypoints = torch.from_numpy(np.stack([person.keypoints_crop for person in people]))
    lifter = OnnxLifter(exported.lifter, 1, reference.network)
    with torch.inference_mode():
        expected = reference.network.lift(features, keypoints).joints
    assert len(people) >= 3
    assert (lifter.lift(features, keypoints).joints - expected).abs().max() < 1e-4


def test_estimators_of_both_runtimes_agree_on_images(reference, real):
    fast = PoseEstimator(replace(reference.config, runtime="onnxruntime"))
    assert (fast.networks.runtime, reference.networks.runtime) == ("onnxruntime", "torch")
    reference.reset()
    crowd = np.concatenate(real[:2], axis=1)
    seen = 0
    for image in (*real[:2], crowd):
        ours, theirs = fast.estimate(image), reference.estimate(image)
        assert len(ours) == len(theirs)
        for pose, other in zip(ours, theirs, strict=True):
            # A thousandth of a pixel may move a window by a pixel of a feature level.
            np.testing.assert_allclose(pose.joints, other.joints, atol=2e-3)
            # The second crop, which is cut to a 32nd of a pixel, is another one if the region has
            # moved by a thousandth.
            np.testing.assert_allclose(pose.keypoints, other.keypoints, atol=0.2)
            seen += 1
        # Nearer where both look at the same.
        K = intrinsics_from_field_of_view(1.0, image.shape[1], image.shape[0])
        people = PeopleTracker(
            PersonDetector(find_model_file(PERSON_DETECTOR), threads=1),
            reference.networks.landmark_net,
            reference.config,
        ).find(image, K)
        look = Look(image, K, [person.region for person in people], least_score=0.0)
        (fast_people,) = find_landmarks(fast.networks.landmark_net, [look])
        (other_people,) = find_landmarks(reference.networks.landmark_net, [look])
        assert len(fast_people) == len(other_people) == len(people) >= 1
        for person, other in zip(fast_people, other_people, strict=True):
            np.testing.assert_allclose(person.keypoints, other.keypoints, atol=0.05)
    assert seen >= 3


def test_a_fine_tuned_landmark_net_is_exported_apart(reference, small, tmp_path):
    net = copy.deepcopy(reference.networks.landmark_net)
    net.landmark_head().bias.data += 1.0
    for is_tuned, digest in ((True, "b" * 64), (True, "c" * 64), (False, "c" * 64)):
        net.is_tuned = is_tuned
        made = load_or_export(small, net, digest, tmp_path)
        kept = load_or_export(small, net, digest, tmp_path)
        assert made == kept
        crops = torch.rand(1, 3, 256, 256)
        with torch.inference_mode():
            expected = net(crops).landmarks_px
        ran = OnnxLandmarkNet(kept.landmarks, 1)(crops).landmarks_px
        torch.testing.assert_close(ran, expected, atol=1e-2, rtol=0)
        net.landmark_head().bias.data += 1.0  # the next weights are others


def test_exports_are_kept_and_renewed(reference, exported, folder):
    files = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(files) == 2
    again = load_or_export(reference.network, reference.networks.landmark_net, "a" * 64, folder)
    assert again == exported
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == files
    stale = folder / f"lifter-{'a' * 12}-of-other-sources.onnx"
    stale.write_bytes(b"old")
    lifter, landmarks = sorted(files)
    lifter.unlink()
    load_or_export(reference.network, reference.networks.landmark_net, "a" * 64, folder)
    assert set(folder.iterdir()) == set(files)
    assert lifter.read_bytes() == exported.lifter
    assert landmarks.stat().st_mtime_ns == files[landmarks]  # not exported with it


def test_kept_networks_that_are_broken_are_made_anew(reference, exported, folder, small, tmp_path):
    net, config = reference.networks.landmark_net, EstimatorConfig(device="cpu", threads=1)
    config = replace(config, runtime="onnxruntime", model_dir=str(tmp_path))
    folder, digest = shutil.copytree(folder, tmp_path / "exported"), "a" * 64
    next(folder.glob("lifter-*")).unlink()
    load_or_export(small, net, digest, folder)  # made is the lifter alone
    kept = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    whole, other = kept.items()
    half, zeros = whole[1][: len(whole[1]) // 2], bytes(len(other[1]))
    with pytest.raises(Exception, match="No graph was found"):
        OnnxLifter(b"", 1, small)
    for path, broken in ((whole[0], half), (other[0], zeros)):
        path.write_bytes(broken)
        with pytest.warns(UserWarning, match=f"{folder} cannot be opened: exporting them anew"):
            networks = open_networks(config, small, net, digest)
        assert networks.runtime == "onnxruntime"
        assert path.stat().st_size == len(kept[path])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_networks(config, small, net, digest)


def test_a_full_disk_keeps_no_part_of_a_file(reference, small, tmp_path):
    # As little as a file may have here, the networks do not fit.
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE), 2**14
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        made = load_or_export(small, reference.networks.landmark_net, "a" * 64, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert min(len(made.landmarks), len(made.lifter)) > most
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, synced, fsync = tmp_path / "net.onnx", [], os.fsync

    def watched(descriptor):
        fsync(descriptor)
        synced.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", watched)
    write_shared(path, b"net")
    assert synced == [(path.stat().st_ino, 3, False)]


def test_nothing_is_kept_where_nothing_can_be(reference, exported, small):
    # /proc takes no files from anybody, not even from root.
    folder = Path("/proc/exported")
    again = load_or_export(small, reference.networks.landmark_net, "a" * 64, folder)
    assert len(again.landmarks) == len(exported.landmarks)
    crops = torch.rand(1, 3, 256, 256)
    seen = OnnxLandmarkNet(again.landmarks, threads=1)(crops)
    OnnxLifter(again.lifter, 1, small).lift(seen.features, torch.rand(1, 17, 2) * 256)


def test_unknown_runtime_is_refused(reference):
    config = replace(reference.config, runtime="tensorrt")
    with pytest.raises(ValueError, match="auto, torch, onnxruntime"):
        open_networks(config, reference.network, reference.networks.landmark_net, "")


def test_export_command_writes_the_whole_network(reference, tmp_path, capsys):
    out = tmp_path / "net.onnx"
    assert main.main(["export", str(out), "--weights", "default"]) == 0
    assert "net_landmarks.onnx" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    torch.manual_seed(0)
    crops, keypoints = torch.rand(2, 3, 256, 256), torch.rand(2, 17, 2) * 256
    with torch.inference_mode():
        expected = reference.network(crops, keypoints)
    inputs = {"crops": crops.numpy(), "keypoints": keypoints.numpy()}
    joints, _, weights = session.run(["joints", "anchors", "weights"], inputs)
    assert np.abs(joints - expected.joints.numpy()).max() < 1e-4
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-4)
    assert (tmp_path / "net_landmarks.onnx").stat().st_size > 1e6


def test_networks_on_hrnet_are_exported_with_the_weights_of_its_file(tmp_path, capsys):
    small = {"width": 32, "heads": 2, "layers": 1, "level_channels": (8, 16, 32, 64)}
    torch.manual_seed(0)
    network = PandaPose(replace(ModelConfig.paper(), **small)).eval()
    for parameter in network.heads.parameters():
        nn.init.normal_(parameter, std=0.3)  # their last layers start at zero
    weights, coco, out = tmp_path / "w.safetensors", tmp_path / "hrnet.pth", tmp_path / "net.onnx"
    torch.save(network.backbone.state_dict(), coco)
    save_weights(weights, network, {HRNET_KEY: file_sha256(coco)})
    command = ["export", str(out), "--weights", str(weights)]
    assert main.main(command) == 1
    assert "hrnet_w32 need its COCO file: --backbone-weights" in capsys.readouterr().err
    assert not out.exists()
    assert main.main([*command, "--backbone-weights", str(coco)]) == 0
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    crops, keypoints = torch.rand(2, 3, 256, 192), torch.rand(2, 17, 2) * 192
    with torch.inference_mode():
        expected = network(crops, keypoints).weights.numpy()
    inputs = {"crops": crops.numpy(), "keypoints": keypoints.numpy()}
    np.testing.assert_allclose(session.run(["weights"], inputs)[0], expected, atol=1e-5)
