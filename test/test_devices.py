import numpy as np
import pytest
import torch
from far_device import FAR, FarDevice, FarTensor
from synthetic_people import RIG, made_up_body

from pandapose_ros.config import RenderConfig, SkeletonSampleConfig
from pandapose_ros.synthetic.body import save_bodies
from pandapose_ros.synthetic.poses import read_pool
from pandapose_ros.synthetic.rig import gather, rest_joints
from pandapose_ros.training import rendered_batches
from pandapose_ros.training.rendered_batches import RenderedBatches


class NearGenerator(torch.Generator):
    """Chance for the far device; a real one has its own."""

    def __new__(cls, device):
        return super().__new__(cls, device="cpu")


def test_the_make_believe_device_is_strict():
    with FarDevice():
        far = torch.zeros(3, device=FAR)
        assert isinstance(far, FarTensor) and far.device == FAR
        assert (far + 1).device == FAR and far.cpu().device.type == "cpu"
        with pytest.raises(RuntimeError, match="two devices"):
            far + torch.ones(3)
        with pytest.raises(RuntimeError, match="two devices"):
            torch.cat((torch.ones(3), far))
        with pytest.raises(TypeError, match=r"cpu\(\)"):
            far.numpy()
        assert (far + torch.tensor(2.0)).sum().item() == 6


def test_rendering_stays_on_its_device(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "Generator", NearGenerator)
    save_bodies(tmp_path / "bodies.safetensors", RIG, [made_up_body()])
    rest = rest_joints(RIG, gather([made_up_body()], torch.device("cpu")))[0].numpy()
    y_up = np.stack((rest[:, 0], rest[:, 2], -rest[:, 1]), axis=-1)
    np.savez(tmp_path / "motion.npz", rest=y_up[None])
    pool = read_pool(tmp_path / "motion.npz", 0.2, test=False)
    near = torch.nn.Conv2d(1, 1, 1)
    near.is_tuned = False
    drawn = []
    for device in (torch.device("cpu"), FAR):
        with FarDevice() as mode:
            batches = RenderedBatches(
                tmp_path / "bodies.safetensors",
                pool,
                near,
                RenderConfig(size=96, at_once=3),
                SkeletonSampleConfig(),
            )
            batches._device = device
            batches._bodies = [rendered_batches._on(body, device) for body in batches._bodies]
            drawn.append([batches.render(3, np.random.default_rng(s))[0] for s in range(3)])
    assert all(crops.device == FAR for crops in drawn[1])
    assert mode.calls > 500
    for near_crops, far_crops in zip(*drawn, strict=True):
        torch.testing.assert_close(far_crops.cpu().as_subclass(torch.Tensor), near_crops)
