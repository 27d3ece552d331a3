import argparse
import math

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pandapose_ros.geometry import project
from pandapose_ros.skeleton import H36M_17
from pandapose_ros.synthetic.body import Body, Part, Rig, load_bodies, save_bodies
from pandapose_ros.synthetic.camera import random_cameras
from pandapose_ros.synthetic.rasterizer import rasterize
from pandapose_ros.synthetic.rig import gather, pose, rest_joints
from pandapose_ros.synthetic.scene import render_samples
from pandapose_ros.tools import synthesize

J = {name: index for index, name in enumerate(H36M_17.joint_names)}
# Where the bones of a made-up person start: x to the left, z up, facing -y; name, parent, place.
BONES = [
    ("root", -1, (0, 0, 1.0)),
    ("upperleg01.L", 0, (0.1, 0, 0.95)),
    ("lowerleg01.L", 1, (0.11, -0.01, 0.5)),
    ("foot.L", 2, (0.11, 0.02, 0.08)),
    ("toe1-1.L", 3, (0.11, -0.1, 0.03)),
    ("upperleg01.R", 0, (-0.1, 0, 0.95)),
    ("lowerleg01.R", 5, (-0.11, -0.01, 0.5)),
    ("foot.R", 6, (-0.11, 0.02, 0.08)),
    ("toe1-1.R", 7, (-0.11, -0.1, 0.03)),
    ("spine03", 0, (0, 0.02, 1.2)),
    ("upperarm01.L", 9, (0.18, 0, 1.45)),
    ("lowerarm01.L", 10, (0.38, 0, 1.25)),
    ("wrist.L", 11, (0.52, -0.08, 1.05)),
    ("upperarm01.R", 9, (-0.18, 0, 1.45)),
    ("lowerarm01.R", 13, (-0.38, 0, 1.25)),
    ("wrist.R", 14, (-0.52, -0.08, 1.05)),
    ("neck01", 9, (0, 0, 1.5)),
    ("head", 16, (0, -0.02, 1.6)),
]
RIG = Rig(tuple(b[0] for b in BONES), tuple(b[1] for b in BONES))
TORSO_BOX = 0.14
LIMBS = [(H36M_17.joint_names[a], H36M_17.joint_names[b]) for a, b in H36M_17.bones]
LIMBS = [
    (a, b)
    for a, b in LIMBS
    if a.split("_")[-1] in ("hip", "knee", "shoulder", "elbow") and b.split("_")[-1] != "hip"
]
STILL = torch.zeros(1, 2), torch.ones(1, 2)


def octahedron(centre, radius):
    axes = np.concatenate((np.eye(3), -np.eye(3)))
    faces = [[x, y, z] for x in (0, 3) for y in (1, 4) for z in (2, 5)]
    return np.array(centre) + radius * axes, np.array(faces)


def made_up_body(part=Part.SUIT):
    solids = [(bone, place, 0.06) for bone, (_, _, place) in enumerate(BONES)]
    solids += [(9, (0, 0, z), TORSO_BOX) for z in (1.1, 1.25, 1.4)]
    solids += [(17, (0, -0.04, 1.7), 0.1)]  # corners: 1 + 3 is the nose, 2 the crown
    vertices, faces, bones = [], [], []
    for bone, centre, radius in solids:
        corners, triangles = octahedron(centre, radius)
        faces.append(triangles + 6 * len(vertices))
        vertices.append(corners)
        bones += [bone] * 6
    bones = torch.tensor(bones)
    weights = torch.zeros(len(bones), 8)
    weights[:, 0] = 1.0
    vertices = torch.tensor(np.concatenate(vertices), dtype=torch.float32)
    head = len(vertices) - 6
    return Body(
        vertices=vertices,
        faces=torch.tensor(np.concatenate(faces)),
        parts=torch.full((len(bones),), part, dtype=torch.uint8),
        rise=vertices[:, 2] - 1.0,
        bone_heads=torch.tensor([b[2] for b in BONES], dtype=torch.float32),
        weights=weights,
        weight_bones=bones[:, None].repeat(1, 8),
        nose=head + 4,
        crown=head + 2,
        description="made up",
    )


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


def test_same_seed_renders_the_same_image():
    targets = rest_joints(RIG, CROWD)
    images = []
    for _ in range(2):
        torch.manual_seed(0)
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
    assert distance.min() > 1.49 and distance.max() < 7.01
    pitch = torch.asin((middle - camera.position)[:, 2] / distance)
    assert -0.62 < pitch.min() < -0.4 and 0.3 < pitch.max() < 0.45
    identity = camera.camera_from_world @ camera.camera_from_world.mT
    assert torch.allclose(identity, torch.eye(3).expand(count, 3, 3), atol=1e-5)
    assert (torch.linalg.det(camera.camera_from_world) > 0).all()


def test_bodies_survive_the_file(tmp_path):
    body = made_up_body(Part.HAIR)
    save_bodies(tmp_path / "bodies.safetensors", RIG, [body, made_up_body()])
    rig, bodies = load_bodies(tmp_path / "bodies.safetensors")
    assert rig == RIG
    assert len(bodies) == 2
    for name in ("vertices", "faces", "parts", "bone_heads", "weights", "weight_bones"):
        assert torch.equal(getattr(bodies[0], name), getattr(body, name)), name
    assert torch.allclose(bodies[0].rise, body.rise, atol=2e-3)
    assert (bodies[0].nose, bodies[0].crown) == (body.nose, body.crown)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="pandapose bake"):
        load_bodies(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match="expected a file of format"):
        load_bodies(tmp_path / "other.safetensors")


def synthesize_arguments(folder, *more):
    parser = argparse.ArgumentParser()
    synthesize.add_arguments(parser)
    paths = [str(folder / "bodies.safetensors"), str(folder / "motion.npz")]
    common = ["--out", str(folder / "out"), "--count", "6", "--chunk", "4", "--size", "64"]
    return parser.parse_args([*paths, *common, "--test-bodies", "1", "--test-clips", "1", *more])


def test_synthesize_writes_chunks_of_its_half_and_resumes(tmp_path):
    save_bodies(tmp_path / "bodies.safetensors", RIG, [made_up_body()] * 3)
    rest = rest_joints(RIG, CROWD)[0].numpy()
    y_up = np.stack((rest[:, 0], rest[:, 2], -rest[:, 1]), axis=-1)
    np.savez(tmp_path / "motion.npz", a=y_up[None], b=y_up[None], c=y_up[None])
    assert synthesize.run(synthesize_arguments(tmp_path)) == 0
    chunks = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in chunks] == ["chunk_0000.npz", "chunk_0001.npz"]
    with np.load(chunks[1], allow_pickle=False) as chunk:
        assert chunk["joints"].shape == (2, 17, 3)
        assert chunk["K"].shape == (2, 3, 3)
        assert set(chunk["body"]) <= {0, 1}
        assert set(chunk["clip"]) <= {"a", "b"}
        start, end = chunk["offsets"][1:3]
        image = cv2.imdecode(chunk["jpeg"][start:end], cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape == (64, 64, 3)
        first = chunk["jpeg"]
    chunks[1].unlink()
    untouched = chunks[0].stat().st_mtime_ns
    assert synthesize.run(synthesize_arguments(tmp_path)) == 0
    assert chunks[0].stat().st_mtime_ns == untouched
    with np.load(chunks[1], allow_pickle=False) as chunk:
        np.testing.assert_array_equal(chunk["jpeg"], first)
    other = synthesize_arguments(tmp_path, "--test")
    other.out = tmp_path / "test"
    assert synthesize.run(other) == 0
    with np.load(tmp_path / "test" / "chunk_0000.npz", allow_pickle=False) as chunk:
        assert set(chunk["body"]) == {2}
        assert set(chunk["clip"]) == {"c"}


def test_synthesize_needs_bodies_to_train_on(tmp_path, capsys):
    save_bodies(tmp_path / "bodies.safetensors", RIG, [made_up_body()])
    np.savez(tmp_path / "motion.npz", a=np.zeros((1, 17, 3)), b=np.zeros((1, 17, 3)))
    assert synthesize.run(synthesize_arguments(tmp_path)) == 1
    assert "--test-bodies" in capsys.readouterr().err
