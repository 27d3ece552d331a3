import numpy as np
import pytest
import torch

from pandapose_ros.geometry import project
from pandapose_ros.synthetic.rasterizer import rasterize, vertex_normals

K = torch.tensor([[[20.0, 0, 31.5], [0, 20, 31.5], [0, 0, 1]]])


def triangle(depth, scale=1.0, shift=0.0):
    corners = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [0, 1, 0]]) * scale
    return corners * depth + torch.tensor([shift, 0.0, depth])


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_nearer_triangle_hides_the_other(order):
    triangles = [triangle(2.0), triangle(1.0, 0.5)]
    vertices = torch.cat([triangles[k] for k in order])
    faces = torch.arange(6).reshape(2, 3)
    seen = rasterize(vertices, faces, torch.zeros(2, dtype=torch.long), K, (64, 64))
    picture = torch.full((64, 64), -1)
    picture[seen.row, seen.column] = torch.tensor(order)[seen.face]
    assert picture[30, 31] == 1  # both cover it
    assert picture[13, 20] == 0  # only the far, large one
    assert (picture == 1).sum() == pytest.approx(0.5 * 20 * 20, rel=0.1)
    assert (picture >= 0).sum() == pytest.approx(0.5 * 40 * 40, rel=0.05)


def test_fragments_lie_on_the_surface_behind_their_pixel():
    corners = torch.tensor([[-1.0, -1, 1.5], [1.5, -1, 4.0], [0, 1.5, 2.5]])
    faces = torch.tensor([[0, 1, 2]])
    seen = rasterize(corners, faces, torch.zeros(1, dtype=torch.long), K, (64, 64))
    points = seen.interpolate(faces, corners)
    pixels = project(points.double().numpy(), K[0].double().numpy())
    np.testing.assert_allclose(pixels[:, 0], seen.column, atol=1e-3)
    np.testing.assert_allclose(pixels[:, 1], seen.row, atol=1e-3)
    assert torch.allclose(points[:, 2], seen.depth, atol=1e-5)


def test_images_of_a_batch_do_not_mix():
    near, far = triangle(1.0), triangle(2.0, 0.5, 0.4)
    vertices, faces = torch.cat((near, far)), torch.arange(6).reshape(2, 3)
    both = rasterize(vertices, faces, torch.tensor([0, 1]), K.repeat(2, 1, 1), (64, 64))
    alone = rasterize(far, torch.arange(3)[None], torch.tensor([0]), K, (64, 64))
    second = both.image == 1
    assert torch.equal(both.row[second], alone.row)
    assert torch.equal(both.column[second], alone.column)
    assert (both.image == 0).sum() > 0


def test_normals_stand_on_the_surface():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [1, 2, 0]])
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2], [1, 3, 2]]))
    assert torch.allclose(normals, torch.tensor([0.0, 0, 1]).expand(4, 3))


def test_faces_behind_the_camera_are_not_drawn():
    vertices = torch.cat((triangle(2.0) * torch.tensor([1.0, 1.0, -1.0]), triangle(2.0)))
    vertices[3, 2] = 0.01
    faces = torch.arange(6).reshape(2, 3)
    seen = rasterize(vertices, faces, torch.zeros(2, dtype=torch.long), K, (64, 64))
    assert len(seen.face) == 0
