"""A made-up person of boxes on the bones that posing needs, for tests of rendering."""

import numpy as np
import torch

from pandapose_ros.synthetic.body import Body, Part, Rig

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


def octahedron(centre, radius):
    axes = np.concatenate((np.eye(3), -np.eye(3)))
    faces = [[x, y, z] for x in (0, 3) for y in (1, 4) for z in (2, 5)]
    return np.array(centre) + radius * axes, np.array(faces)


def made_up_body(part=Part.SUIT, *, held_out=False):
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
        held_out=held_out,
    )
