import math

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from synthetic_people import RIG, made_up_body

from pandapose_ros.geometry import project
from pandapose_ros.skeleton import H36M_17
from pandapose_ros.synthetic.body import Part, load_bodies, save_bodies
from pandapose_ros.synthetic.bystanders import Bystanders, step_aside
from pandapose_ros.synthetic.camera import Camera, random_cameras
from pandapose_ros.synthetic.rasterizer import rasterize
from pandapose_ros.synthetic.rig import Posed, gather, pose, rest_joints
from pandapose_ros.synthetic.scene import render_samples
from pandapose_ros.tools import main

J = {name: index for index, name in enumerate(H36M_17.joint_names)}
LIMBS = [(H36M_17.joint_names[a], H36M_17.joint_names[b]) for a, b in H36M_17.bones]
LIMBS = [
    (a, b)
    for a, b in LIMBS
    if a.split("_")[-1] in ("hip", "knee", "shoulder", "elbow") and b.split("_")[-1] != "hip"
]
STILL = torch.zeros(1, 2), torch.ones(1, 2)


CROWD = gather([made_up_body()], torch.device("cpu"))


def random_targets(count, seed):
    rng = np.random.default_rng(seed)
    joints = rest_joints(RIG, CROWD)[0].numpy()[None].repeat(count, 0)
    for a, b in LIMBS:
        step = rng.normal(size=(count, 3))
        step *= rng.uniform(0.2, 0.5, (count, 1)) / np.linalg.norm(step, axis=1, keepdims=True)
        joints[:, J[b]] = joints[:, J[a]] + step
    return torch.tensor(joints, dtype=torch.float32)


def test_limbs_point_where_asked_and_keep_their_length():
    targets = random_targets(50, 0)
    crowd = gather([made_up_body()] * 50, torch.device("cpu"))
    posed = pose(RIG, crowd, targets, torch.zeros(50, 2), torch.ones(50, 2))
    rest = rest_joints(RIG, crowd)
    assert torch.allclose(posed.joints[:, 0], targets[:, 0], atol=1e-5)
    for a, b in LIMBS:
        got, asked = (
            posed.joints[:, J[b]] - posed.joints[:, J[a]],
            targets[:, J[b]] - targets[:, J[a]],
        )
        cosine = torch.nn.functional.cosine_similarity(got, asked)
        assert cosine.min() > math.cos(math.radians(0.5)), (a, b)
        length = (rest[:, J[b]] - rest[:, J[a]]).norm(dim=-1)
        assert torch.allclose(got.norm(dim=-1), length, atol=1e-5)


def test_rest_targets_give_the_rest_mesh():
    posed = pose(RIG, CROWD, rest_joints(RIG, CROWD), *STILL)
    assert torch.allclose(posed.vertices, CROWD.vertices, atol=1e-4)


def test_targets_turned_as_a_whole_turn_the_mesh():
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    posed = pose(RIG, CROWD, rest_joints(RIG, CROWD) @ turn.T, *STILL)
    assert torch.allclose(posed.vertices, CROWD.vertices @ turn.T, atol=1e-4)


def test_head_turns_left_and_nods_down():
    rest = rest_joints(RIG, CROWD)
    left = pose(RIG, CROWD, rest, torch.tensor([[1.0, 0.0]]), torch.ones(1, 2)).joints
    down = pose(RIG, CROWD, rest, torch.tensor([[0.0, 0.5]]), torch.ones(1, 2)).joints
    assert left[0, J["nose"], 0] > rest[0, J["nose"], 0] + 0.05
    assert down[0, J["nose"], 2] < rest[0, J["nose"], 2] - 0.03
    assert down[0, J["head"], 1] < rest[0, J["head"], 1] - 0.03


K = torch.tensor([[[20.0, 0, 31.5], [0, 20, 31.5], [0, 0, 1]]])


def test_rasterised_mesh_covers_its_projection():
    body = made_up_body()
    vertices = body.vertices @ torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    vertices = vertices + torch.tensor([0, -1.0, 3.0])
    seen = rasterize(
        vertices, body.faces, torch.zeros(len(body.faces), dtype=torch.long), K, (64, 64)
    )
    mask = np.zeros((64, 64), np.uint8)
    corners = project(vertices.double().numpy(), K[0].double().numpy())[body.faces]
    for face in corners:
        cv2.fillConvexPoly(mask, np.round(face * 16).astype(np.int32), 1, shift=4)
    drawn = np.zeros_like(mask)
    drawn[seen.row, seen.column] = 1
    # OpenCV also draws every pixel that an outline touches.
    assert not (drawn & ~mask.astype(bool)).any()
    assert not (cv2.erode(mask, np.ones((3, 3), np.uint8)) & ~drawn.astype(bool)).any()


def test_truth_lies_on_the_silhouette():
    count, size = 8, (96, 96)
    crowd = gather([made_up_body()] * count, torch.device("cpu"))
    posed = pose(RIG, crowd, random_targets(count, 4), torch.zeros(count, 2), torch.ones(count, 2))
    camera = random_cameras(posed.vertices, crowd.person, count, size, np.random.default_rng(4))
    which = crowd.person[crowd.faces[:, 0]]
    vertices = camera.points(posed.vertices, crowd.person)
    seen = rasterize(vertices, crowd.faces, which, camera.K, size)
    mask = torch.zeros(count, 96, 96, dtype=torch.bool)
    mask[seen.image, seen.row, seen.column] = True
    checked = 0
    for image in range(count):
        joints = camera.points(posed.joints[image], torch.full((17,), image))
        pixels = project(joints.double().numpy(), camera.K[image].double().numpy())
        for limb_joint in {name for limb in LIMBS for name in limb}:
            u, v = np.round(pixels[J[limb_joint]]).astype(int)
            if 0 <= u < 96 and 0 <= v < 96:
                assert mask[image, v, u], limb_joint
                checked += 1
    assert checked > 60


def test_samples_say_where_the_person_is():
    rng = np.random.default_rng(1)
    targets = rest_joints(RIG, CROWD).repeat(4, 1, 1)
    samples = render_samples(RIG, [made_up_body()] * 4, targets, (96, 96), rng)
    assert samples.images.shape == (4, 96, 96, 3)
    assert samples.images.dtype == torch.uint8
    shin = samples.joints[:, J["left_knee"]] - samples.joints[:, J["left_ankle"]]
    assert torch.allclose(shin.norm(dim=-1), torch.tensor(math.hypot(0.03, 0.42)), atol=1e-4)
    assert (samples.joints[..., 2] > 0.5).all()


def test_bystanders_step_aside_on_the_floor_as_the_camera_sees_it():
    count, others = 3, 60
    crowd = gather([made_up_body()] * (count + others), torch.device("cpu"))
    posed = Posed(crowd.vertices, rest_joints(RIG, crowd))
    is_asked = crowd.person < count
    rng = np.random.default_rng(6)
    camera = random_cameras(posed.vertices[is_asked], crowd.person[is_asked], count, (96, 96), rng)
    image = torch.arange(count + others) % count
    moved = step_aside(posed, crowd, image, camera, rng)
    shift = moved.joints[:, 0] - posed.joints[:, 0]
    assert torch.equal(shift[:count], torch.zeros(count, 3))
    assert torch.equal(moved.vertices[is_asked], posed.vertices[is_asked])
    assert shift[:, 2].abs().max() < 1e-6
    seen = torch.einsum("bij,bj->bi", camera.camera_from_world[image[count:]], shift[count:])
    behind = torch.sign(seen[:, 2])
    assert 10 < (behind > 0).sum() < 50  # the others are before
    away = shift[count:].norm(dim=-1)
    assert away.min() > 0.3
    assert away.max() < 1.7


def test_nobody_stands_in_the_camera():
    others = 60
    crowd = gather([made_up_body()] * (1 + others), torch.device("cpu"))
    posed = Posed(crowd.vertices, rest_joints(RIG, crowd))
    level = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # z forward, y down, into +y
    position = torch.tensor([[0.0, -1.2, 1.0]])
    camera = Camera(torch.eye(3)[None], level[None], position, (96, 96))
    image = torch.zeros(1 + others, dtype=torch.long)
    moved = step_aside(posed, crowd, image, camera, np.random.default_rng(6))
    away = moved.joints[1:, :, 1] - position[0, 1]
    assert away.min() > 0.6
    assert (away.amax(dim=1) < 1.2).any()  # still before whom the image is of


def test_samples_tell_of_whom_they_are_of_and_not_of_bystanders():
    count, chance = 8, np.random.default_rng(7)
    targets = rest_joints(RIG, CROWD).repeat(count, 1, 1)
    bodies = [made_up_body()] * count
    others = Bystanders(bodies[:4], targets[:4], torch.arange(0, 8, 2))
    samples = render_samples(RIG, bodies, targets, (96, 96), chance, others)
    assert samples.images.shape == (count, 96, 96, 3)
    pixels = torch.einsum("bij,bkj->bki", samples.K, samples.joints)
    pelvis = pixels[:, 0, :2] / pixels[:, 0, 2:]
    assert ((pelvis > -20) & (pelvis < 116)).all()  # the cameras look at them
    shin = samples.joints[:, J["left_knee"]] - samples.joints[:, J["left_ankle"]]
    assert torch.allclose(shin.norm(dim=-1), torch.tensor(math.hypot(0.03, 0.42)), atol=1e-4)


def test_same_seed_renders_the_same_image():
    targets = rest_joints(RIG, CROWD)
    images = []
    for _ in range(2):
        rng = np.random.default_rng(2)
        images.append(render_samples(RIG, [made_up_body()], targets, (64, 64), rng).images)
    assert torch.equal(images[0], images[1])
    assert images[0].float().std() > 5


def test_cameras_see_the_person_from_the_declared_range():
    rng, count = np.random.default_rng(3), 200
    vertices = CROWD.vertices.repeat(count, 1)
    person = torch.arange(count).repeat_interleave(len(CROWD.vertices))
    camera = random_cameras(vertices, person, count, (100, 100), rng)
    middle = (CROWD.vertices.amin(0) + CROWD.vertices.amax(0)) / 2
    seen = camera.points(middle.repeat(count, 1), torch.arange(count))
    pixels = torch.einsum("bij,bj->bi", camera.K, seen)
    pixels = pixels[:, :2] / pixels[:, 2:]
    assert (pixels > 0).all() and (pixels < 99).all()
    distance = seen.norm(dim=-1)
    assert 1.19 < distance.min() < 1.5 and 7 < distance.max() < 8.01
    pitch = torch.asin((middle - camera.position)[:, 2] / distance)
    assert -0.88 < pitch.min() < -0.7 and 0.3 < pitch.max() < 0.61
    height = camera.position[:, 2]
    assert 0.55 < ((height > 0.25) & (height < 2.2)).float().mean() < 0.95
    identity = camera.camera_from_world @ camera.camera_from_world.mT
    assert torch.allclose(identity, torch.eye(3).expand(count, 3, 3), atol=1e-5)
    assert (torch.linalg.det(camera.camera_from_world) > 0).all()


def test_bodies_survive_the_file(tmp_path):
    body = made_up_body(Part.HAIR)
    save_bodies(tmp_path / "bodies.safetensors", RIG, [body, made_up_body(held_out=True)])
    rig, bodies = load_bodies(tmp_path / "bodies.safetensors")
    assert rig == RIG
    assert len(bodies) == 2
    for name in ("vertices", "faces", "parts", "bone_heads", "weights", "weight_bones"):
        assert torch.equal(getattr(bodies[0], name), getattr(body, name)), name
    assert torch.allclose(bodies[0].rise, body.rise, atol=2e-3)
    assert (bodies[0].nose, bodies[0].crown) == (body.nose, body.crown)
    assert [other.held_out for other in bodies] == [False, True]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="pandapose bake"):
        load_bodies(tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(bytes(100))
    with pytest.raises(ValueError, match=r"cut.safetensors is no file of `pandapose bake`"):
        load_bodies(tmp_path / "cut.safetensors")
    save_file({"a": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match="expected a file of format"):
        load_bodies(tmp_path / "other.safetensors")


def test_where_bodies_cannot_be_written_is_told_before_the_work(tmp_path, capsys):
    (tmp_path / "file").touch()
    for out, message in ((tmp_path, "is a folder"), (tmp_path / "file" / "b", "file")):
        # There are no assets here, which is found out only after that.
        assert main.main(["bake", str(tmp_path / "base"), "--out", str(out)]) == 1
        told = capsys.readouterr().err
        assert message in told
        assert "assets" not in told
