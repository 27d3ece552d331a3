import numpy as np
import pytest
import torch
from synthetic_people import RIG, made_up_body

from pandapose_ros.synthetic.look import random_look
from pandapose_ros.synthetic.prints import Prints
from pandapose_ros.synthetic.rig import gather, rest_joints
from pandapose_ros.synthetic.scene import render_samples

CPU = torch.device("cpu")
RED = np.zeros((40, 60, 3), np.uint8)
RED[..., 0] = 230


@pytest.mark.parametrize("size", [(32, 32), (100, 20), (9, 300)])
def test_parts_have_the_size_and_colours_of_their_picture(size):
    parts = Prints([RED]).cut(5, size, np.random.default_rng(0), CPU)
    assert parts.shape == (5, *size[::-1], 3)
    assert (parts[..., 1:] == 0).all()
    linear = (230 / 255) ** 2.2
    shades = parts[..., 0].flatten(1)
    assert torch.allclose(shades.amin(1), shades.amax(1), atol=1e-5)
    assert 0.5 * linear <= shades.min() < shades.max() <= 1


def test_parts_differ_and_the_same_seed_gives_the_same():
    picture = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)
    first, again = (
        Prints([picture, RED]).cut(6, (16, 16), np.random.default_rng(2), CPU) for _ in range(2)
    )
    assert torch.equal(first, again)
    assert len({part.numpy().tobytes() for part in first}) == 6
    assert Prints([RED]).cut(0, (16, 8), np.random.default_rng(0), CPU).shape == (0, 8, 16, 3)


@pytest.mark.parametrize("pictures", [[], [RED[:5]]])
def test_too_little_to_cut_from_is_refused(pictures):
    with pytest.raises(ValueError, match="expected pictures of at least 8 x 8 pixels"):
        Prints(pictures)


def test_pictures_are_seen_behind_people_and_change_no_joint():
    targets = rest_joints(RIG, gather([made_up_body()] * 8, CPU))
    plain, printed = (
        render_samples(
            RIG, [made_up_body()] * 8, targets, (64, 64), np.random.default_rng(3), prints=prints
        )
        for prints in (None, Prints([RED]))
    )
    assert torch.equal(plain.joints, printed.joints)
    assert torch.equal(plain.K, printed.K)
    corners = [samples.images[:, :4, :4].float().mean((1, 2)) for samples in (plain, printed)]
    is_red = [(c[:, 0] > 100) & (c[:, 1:].amax(1) < 60) for c in corners]
    assert is_red[0].sum() == 0
    assert 2 <= is_red[1].sum() < 8


def test_some_wear_pictures_and_only_where_there_are_any():
    assert random_look(50, np.random.default_rng(0)).prints is None
    look = random_look(50, np.random.default_rng(0), Prints([RED])).to(CPU)
    assert look.prints is not None
    assert look.prints.shape == (50, 2, 256, 256, 3)
    assert 0.2 < (look.pattern == 4).float().mean() < 0.5
