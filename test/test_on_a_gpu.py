"""What only a GPU can show; runs without ROS, too (--noconftest). Not yet run on one."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from clip_images import clip_frames
from photographed_people import human36m_label, write_human36m
from test_photographs import CONFIG, MODEL
from torch import nn

from pandapose_ros.config import EstimatorConfig, LandmarkTrainConfig, ModelConfig, TrainConfig
from pandapose_ros.data.dataset import human36m
from pandapose_ros.data.landmark_crops import LandmarkCrops
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.evaluation.network_speed import measure_precision
from pandapose_ros.landmark_weights import open_landmark_net
from pandapose_ros.model.hrnet import HRNet
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.people.crops import crops_on_device, crops_on_host
from pandapose_ros.runtime.cuda_graphs import CapturedBatch, FixedBatches
from pandapose_ros.runtime.device_faults import free_device_memory
from pandapose_ros.training.distribution import Share
from pandapose_ros.training.landmarks import LandmarkTrainer
from pandapose_ros.training.loop import Batch, Trainer
from pandapose_ros.training.photograph_batches import PhotographBatches

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
CUDA = torch.device("cuda")


@pytest.fixture(scope="module")
def estimator():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="no CUDA graph")
        warnings.filterwarnings("error", message=".*computing in fp32")
        estimator = PoseEstimator(EstimatorConfig(device="cuda", max_people=16))
        estimator.warm_up()
    return estimator


@pytest.fixture(scope="module")
def reference():
    return PoseEstimator(EstimatorConfig(device="cpu", runtime="torch"))


@pytest.fixture(scope="module")
def clip():
    return clip_frames(40)


def test_graphs_of_all_sizes_are_captured_and_replay():
    matrix = torch.ones(6, 2, device=CUDA)
    batches = FixedBatches(lambda x: x.flatten(1) @ matrix, [torch.zeros(1, 2, 3, device=CUDA)])
    for people in (1, 2, 3, 8, 16, 21):
        numbers = torch.rand(people, 2, 3, device=CUDA)
        expected = numbers.flatten(1).sum(1, keepdim=True).expand(-1, 2)
        torch.testing.assert_close(batches(numbers), expected, atol=2e-3, rtol=0)
    assert batches.captured == [1, 2, 4, 8, 16]


def test_a_pass_that_waits_is_run_without_a_graph():
    batches = FixedBatches(lambda x: x * x.sum().item(), [torch.ones(1, 1, device=CUDA)])
    with pytest.warns(UserWarning, match="no CUDA graph for 1 people"):
        assert batches(torch.full((1, 1), 2.0, device=CUDA)).item() == 4
    assert batches.captured == []
    good = FixedBatches(lambda x: x + 1, [torch.ones(1, 1, device=CUDA)])
    assert good(torch.zeros(1, 1, device=CUDA)).item() == 1
    assert good.captured == [1]


def test_a_size_that_cannot_be_captured_leaves_the_others_their_graphs():
    def wait_alone(x):
        return x * x.sum().item() if len(x) == 1 else x + 1

    batches = FixedBatches(wait_alone, [torch.ones(1, 1, device=CUDA)])
    with pytest.warns(UserWarning, match="no CUDA graph for 1 people"):
        batches(torch.ones(1, 1, device=CUDA))
    assert batches(torch.ones(2, 1, device=CUDA)).tolist() == [[2.0], [2.0]]
    assert batches.captured == [2]
    torch.cuda.empty_cache()  # refused while PyTorch takes something to be recorded


@pytest.mark.parametrize("kind", [torch.OutOfMemoryError, RuntimeError])
def test_a_lack_of_memory_is_not_taken_for_a_pass_without_a_graph(kind):
    lacking = [True]

    def run(x):
        if lacking and torch.cuda.is_current_stream_capturing():
            raise kind("NVML_SUCCESS == r INTERNAL ASSERT FAILED")  # as on a Jetson
        return x + 1

    batches = FixedBatches(run, [torch.ones(1, 1, device=CUDA)])
    with pytest.raises(kind, match="NVML"):
        batches(torch.ones(1, 1, device=CUDA))
    lacking.clear()
    assert batches(torch.ones(1, 1, device=CUDA)).item() == 2
    assert batches.captured == [1]


def test_auto_is_one_pass_in_fp16_with_graphs(estimator):
    assert (estimator.networks.runtime, estimator.networks.precision) == ("one_pass", "fp16")
    batches = estimator.networks.landmark_net.batches
    assert batches.captured == [1, 2, 4, 8, 16]
    assert all(isinstance(batch, CapturedBatch) for batch in batches._batches.values())


def test_estimators_that_are_gone_leave_no_more_memory_each_time():
    left = []
    for _ in range(3):
        PoseEstimator(EstimatorConfig(device="cuda", max_people=1)).warm_up()
        free_device_memory()
        left.append(torch.cuda.memory_reserved())
    assert left[2] <= left[1]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_graphs_give_the_joints_of_the_cpu(clip, precision):
    estimator = PoseEstimator(EstimatorConfig(device="cuda", precision=precision))
    told = measure_precision(estimator, clip[::2])
    assert told["people"] >= 18
    assert told["error_mm"] < 1
    assert told["graphs"]


def test_the_gpu_cuts_as_opencv_does(clip):
    turn = np.array([[0.4, 0.1, -20.0], [-0.1, 0.4, 10.0], [1e-5, 2e-5, 1]])
    ours = crops_on_device([clip[0]], [[turn] * 3], CUDA).cpu()
    expected = crops_on_host([clip[0]], [[turn] * 3], torch.device("cpu"))
    assert 255 * (ours - expected).abs().mean() < 0.6


def test_followed_people_are_those_of_the_cpu(estimator, reference, clip):
    estimator.reset()
    reference.reset()
    errors = []
    for image in clip:
        (ours,), (theirs,) = estimator.estimate(image), reference.estimate(image)
        errors.append(np.linalg.norm(ours.joints - theirs.joints, axis=1).mean())
    assert np.median(errors) < 5e-3


def test_a_followed_image_waits_once(estimator, clip):
    estimator.reset()
    for image in clip[:3]:
        estimator.estimate(image)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimator.estimate(clip[3])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len([each for each in caught if "synchronizing" in str(each.message)]) == 1


def test_photographs_are_learnt_from_as_on_the_cpu_and_resumed(tmp_path):
    rng = np.random.default_rng(0)
    write_human36m(tmp_path, [human36m_label(rng, tmp_path, frame) for frame in range(1, 5)])
    dataset = human36m([tmp_path / "h36m_train.pkl"], tmp_path)
    config = replace(CONFIG, batch=4, image_batch=4, warm_up=1)
    losses = []
    for device in (torch.device("cpu"), CUDA):
        torch.manual_seed(0)
        share, backbone = Share(device=device), HRNet(8).to(device)
        source = PhotographBatches([dataset], backbone, config, share, readers=2)
        trainer = Trainer(PandaPose(MODEL, nn.Identity()), config, source.batch, share=share)
        losses.append([trainer.advance().loss for _ in range(2)])
        trainer.save(tmp_path, {})
        again = Trainer(PandaPose(MODEL, nn.Identity()), config, source.batch, share=share)
        again.resume(tmp_path)
        losses[-1].append(again.advance().loss)
    assert losses[1] == pytest.approx(losses[0], rel=0.01)  # in bfloat16


def draw(step):
    chance = torch.Generator().manual_seed(step)
    features = [torch.randn(2, 48, side, side, generator=chance) for side in (64, 32, 16)]
    keypoints = 256 * torch.rand(2, 17, 2, generator=chance)
    return Batch(keypoints, torch.rand(2, 17, 3, generator=chance) - 0.5, features)


@pytest.mark.parametrize("bfloat16", [True, False])
def test_a_training_that_diverges_leaves_the_gpu_alive(bfloat16):
    config = TrainConfig(learning_rate=1e4, warm_up=1, bfloat16=bfloat16)
    network = PandaPose(replace(ModelConfig(), layers=1), nn.Identity())
    trainer = Trainer(network, config, draw, share=Share(device=CUDA))
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        for _ in range(20):
            trainer.advance()
    assert torch.ones(2, device=CUDA).sum().item() == 2


def test_a_resumed_lifter_goes_on_as_one_that_was_not_stopped(tmp_path):
    config, model = TrainConfig(steps=8, warm_up=1), replace(ModelConfig(), layers=1)
    trainers = [
        Trainer(PandaPose(model, nn.Identity()), config, draw, share=Share(device=CUDA))
        for _ in range(2)
    ]
    for _ in range(2):
        trainers[0].advance()
    trainers[0].save(tmp_path, {})
    trainers[1].resume(tmp_path)
    losses = [[trainer.advance().loss for _ in range(3)] for trainer in trainers]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)  # sums in another order each time


def test_landmarks_are_tuned_and_resumed(tmp_path):
    net = open_landmark_net()
    batch = LandmarkCrops(
        crops=torch.rand(4, 3, 256, 256),
        keypoints=255 * torch.rand(4, 17, 2),
        joints=torch.randn(4, 17, 3),
        region=torch.tensor([[[127.0, 127.0], [127.0, 30.0]]]).expand(4, -1, -1),
        quarter_turns=torch.zeros(4),
        shows_person=torch.ones(4),
        is_placed=torch.ones(4),
    )
    config = LandmarkTrainConfig(steps=4, batch=4, warm_up=1)
    trainers = [LandmarkTrainer(net, net, config, lambda _: batch, CUDA) for _ in range(2)]
    trainers[0].advance()
    trainers[0].save(tmp_path, {})
    trainers[1].resume(tmp_path)
    losses = [trainer.advance().total.item() for trainer in trainers]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
