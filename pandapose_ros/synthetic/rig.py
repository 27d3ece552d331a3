"""Pose dressed bodies: target joints to bone rotations, linear blend skinning, true joints.

Everything is batched over people whose meshes may differ; their vertices and faces are packed
one person after the other.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pandapose_ros.skeleton import H36M_17
from pandapose_ros.synthetic.body import Body, Rig
from pandapose_ros.synthetic.rotations import about, between, frame, rotate, swing, unit

_J = {name: index for index, name in enumerate(H36M_17.joint_names)}
_SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")
_SPINE_FRACTIONS = (0.15, 0.4, 0.7, 0.9, 1.0)  # of the way from the pelvis' turn to the chest's
_BONE_OF_JOINT = {
    f"{side}_{joint}": f"{bone}.{side[0].upper()}"
    for side in ("left", "right")
    for joint, bone in {
        "hip": "upperleg01",
        "knee": "lowerleg01",
        "ankle": "foot",
        "shoulder": "upperarm01",
        "elbow": "lowerarm01",
        "wrist": "wrist",
    }.items()
}


@dataclass(frozen=True)
class Crowd:
    """Hold the rest meshes of B people, packed.

    Attributes:
        vertices: [V, 3] metres, all people's, person after person.
        faces: [F, 3] indices into `vertices`.
        parts: [V] uint8, see `Part`.
        rise: [V] metres above the waist, see `Body`.
        person: [V] index of the person a vertex belongs to.
        bone_heads: [B, N, 3] metres.
        weights: [V, 8].
        weight_bones: [V, 8] into the B * N bones of all people.
        nose: [B] vertex.
        crown: [B] vertex.
    """

    vertices: Tensor
    faces: Tensor
    parts: Tensor
    rise: Tensor
    person: Tensor
    bone_heads: Tensor
    weights: Tensor
    weight_bones: Tensor
    nose: Tensor
    crown: Tensor


@dataclass(frozen=True)
class Posed:
    """Hold posed people.

    Attributes:
        vertices: [V, 3] metres, the targets' frame.
        joints: [B, 17, 3] metres, H36M-17, exact for these meshes.
    """

    vertices: Tensor
    joints: Tensor


def gather(bodies: list[Body], device: torch.device) -> Crowd:
    """Pack bodies; the same body may occur many times.

    Args:
        bodies: One per person.
        device: Where the result lives.
    """
    counts = torch.tensor([len(body.vertices) for body in bodies])
    starts = counts.cumsum(0) - counts
    bones = len(bodies[0].bone_heads)

    def packed(tensors: list[Tensor]) -> Tensor:
        return torch.cat(tensors).to(device)

    return Crowd(
        vertices=packed([body.vertices for body in bodies]),
        faces=packed([body.faces + start for body, start in zip(bodies, starts, strict=True)]),
        parts=packed([body.parts for body in bodies]),
        rise=packed([body.rise for body in bodies]),
        person=torch.repeat_interleave(torch.arange(len(bodies)), counts).to(device),
        bone_heads=torch.stack([body.bone_heads for body in bodies]).to(device),
        weights=packed([body.weights for body in bodies]),
        weight_bones=packed([body.weight_bones + b * bones for b, body in enumerate(bodies)]),
        nose=(torch.tensor([body.nose for body in bodies]) + starts).to(device),
        crown=(torch.tensor([body.crown for body in bodies]) + starts).to(device),
    )


def pose(rig: Rig, crowd: Crowd, targets: Tensor, head_turn: Tensor, foot_level: Tensor) -> Posed:
    """Bring people into the poses of target skeletons, keeping their own bone lengths.

    Limb bones take exactly the targets' directions, the pelvis exactly the target's place. Knees
    and elbows bend about their own axes; the spine shares the turn from hips to shoulders.

    Args:
        rig: Names of the bones.
        crowd: B people.
        targets: [B, 17, 3], H36M-17 joints in metres, z up.
        head_turn: [B, 2], radians: the head's turn to the left and nod down, on top of the
            direction from the thorax to the head joint.
        foot_level: [B, 2], left and right, [0, 1]: share of the angle by which each foot turns
            from where the shin would carry it to level, by 40 degrees at most.
    """
    at_rest = rest_joints(rig, crowd)
    rotations = _bone_rotations(rig, crowd.bone_heads, at_rest, targets, head_turn, foot_level)
    heads = _bone_heads(rig, crowd.bone_heads, rotations, targets[:, _J["pelvis"]])
    offsets = heads - rotate(rotations, crowd.bone_heads)
    transforms = torch.cat((rotations, offsets[..., None]), dim=-1).reshape(-1, 12)
    blended = functional.embedding_bag(
        crowd.weight_bones, transforms, per_sample_weights=crowd.weights, mode="sum"
    ).reshape(-1, 3, 4)
    vertices = rotate(blended[:, :, :3], crowd.vertices) + blended[:, :, 3]
    return Posed(vertices, _joints(rig, heads, vertices[crowd.nose], vertices[crowd.crown]))


def rest_joints(rig: Rig, crowd: Crowd) -> Tensor:
    """Return the H36M-17 joints [B, 17, 3] of the rest poses, metres."""
    nose, crown = crowd.vertices[crowd.nose], crowd.vertices[crowd.crown]
    return _joints(rig, crowd.bone_heads, nose, crown)


def _joints(rig: Rig, heads: Tensor, nose: Tensor, crown: Tensor) -> Tensor:
    """Read the H36M-17 joints [B, 17, 3] off bone heads [B, N, 3] and two points of the skin."""
    joints = torch.zeros(len(heads), 17, 3, device=heads.device)
    for joint, bone in _BONE_OF_JOINT.items():
        joints[:, _J[joint]] = heads[:, rig.index(bone)]
    joints[:, _J["pelvis"]] = (joints[:, _J["left_hip"]] + joints[:, _J["right_hip"]]) / 2
    joints[:, _J["thorax"]] = (
        joints[:, _J["left_shoulder"]] + joints[:, _J["right_shoulder"]]
    ) / 2
    joints[:, _J["spine"]] = (joints[:, _J["pelvis"]] + joints[:, _J["thorax"]]) / 2
    joints[:, _J["nose"]], joints[:, _J["head"]] = nose, crown
    return joints


def _bone_heads(rig: Rig, rest: Tensor, rotations: Tensor, pelvis: Tensor) -> Tensor:
    """Chain the bones from the root; return posed bone heads [B, N, 3]."""
    heads: list[Tensor] = []
    for bone, parent in enumerate(rig.parents):
        if parent < 0:
            heads.append(rotate(rotations[:, bone], rest[:, bone]))
        else:
            step = rotate(rotations[:, parent], rest[:, bone] - rest[:, parent])
            heads.append(heads[parent] + step)
    chained = torch.stack(heads, dim=1)
    left, right = rig.index("upperleg01.L"), rig.index("upperleg01.R")
    return chained + (pelvis - (chained[:, left] + chained[:, right]) / 2)[:, None]


def _bone_rotations(
    rig: Rig, rest: Tensor, at_rest: Tensor, targets: Tensor, head_turn: Tensor, foot_level: Tensor
) -> Tensor:
    """Find every bone's rotation [B, N, 3, 3] from bone heads and joints at rest."""
    pelvis = _trunk_frame(targets, "hip", "spine") @ _trunk_frame(at_rest, "hip", "spine").mT
    chest = _trunk_frame(targets, "shoulder", "thorax")
    chest = chest @ _trunk_frame(at_rest, "shoulder", "thorax").mT
    turned = {"root": pelvis, "pelvis.L": pelvis, "pelvis.R": pelvis}
    for name, fraction in zip(_SPINE, _SPINE_FRACTIONS, strict=True):
        turned[name] = between(pelvis, chest, fraction)
    head = _head_rotation(at_rest, targets, chest, head_turn)
    turned |= {"neck01": between(chest, head, 0.4), "neck02": between(chest, head, 0.8)}
    turned |= {"neck03": head, "head": head}
    for index, side in enumerate(("left", "right")):
        end = f".{side[0].upper()}"
        turned |= {f"clavicle{end}": chest, f"shoulder01{end}": chest}
        for limb, joints, base in (
            ("arm", ("shoulder", "elbow", "wrist"), chest),
            ("leg", ("hip", "knee", "ankle"), pelvis),
        ):
            names = tuple(f"{side}_{joint}" for joint in joints)
            bones = (f"upper{limb}01{end}", f"upper{limb}02{end}", f"lower{limb}01{end}")
            turned |= zip(bones, _limb(at_rest, targets, names, base), strict=True)
        toe = rest[:, rig.index(f"toe1-1{end}")] - rest[:, rig.index(f"foot{end}")]
        turned[f"foot{end}"] = _level_foot(turned[f"lowerleg01{end}"], toe, foot_level[:, index])
    rotations: list[Tensor] = []
    for name, parent in zip(rig.names, rig.parents, strict=True):
        rotations.append(turned[name] if name in turned else rotations[parent])
    return torch.stack(rotations, dim=1)


def _trunk_frame(joints: Tensor, girdle: str, end: str) -> Tensor:
    """Build the frame [B, 3, 3] of the hips or shoulders: x to the left, z along the spine."""
    across = joints[:, _J[f"left_{girdle}"]] - joints[:, _J[f"right_{girdle}"]]
    start = {"spine": "pelvis", "thorax": "spine"}[end]
    return frame(across, joints[:, _J[end]] - joints[:, _J[start]])


def _head_rotation(at_rest: Tensor, targets: Tensor, chest: Tensor, head_turn: Tensor) -> Tensor:
    """Follow the direction from thorax to head, then turn and nod."""
    neck = at_rest[:, _J["head"]] - at_rest[:, _J["thorax"]]
    direction = targets[:, _J["head"]] - targets[:, _J["thorax"]]
    leaned = swing(rotate(chest, neck), direction) @ chest
    z, x = (
        neck.new_tensor([0.0, 0, 1]).expand_as(neck),
        neck.new_tensor([1.0, 0, 0]).expand_as(neck),
    )
    return leaned @ about(z, head_turn[:, 0]) @ about(x, head_turn[:, 1])


def _limb(
    at_rest: Tensor, targets: Tensor, joints: tuple[str, ...], base: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn a limb: upper bone, its half next to the hinge, and the bone after the hinge."""
    a, b, c = (_J[name] for name in joints)
    rest_upper, rest_lower = at_rest[:, b] - at_rest[:, a], at_rest[:, c] - at_rest[:, b]
    upper, lower = targets[:, b] - targets[:, a], targets[:, c] - targets[:, b]
    swung = swing(rotate(base, rest_upper), upper) @ base
    # Twist so that the hinge's own axis, along which the rest pose is slightly bent, becomes the
    # axis of the target's bend; a nearly straight limb tells nothing about its twist.
    axis = unit(upper)
    own = rotate(swung, torch.linalg.cross(rest_upper, rest_lower))
    own = unit(own - (own * axis).sum(-1, keepdim=True) * axis)
    wanted = torch.linalg.cross(axis, unit(lower))
    bent = ((wanted.norm(dim=-1) - 0.2) / 0.3).clamp(0, 1)
    wanted = unit(wanted)
    angle = torch.atan2((torch.linalg.cross(own, wanted) * axis).sum(-1), (own * wanted).sum(-1))
    angle = (angle * bent).clamp(-1.5, 1.5)
    middle = about(axis, angle) @ swung
    return (
        about(axis, angle / 2) @ swung,
        middle,
        swing(rotate(middle, rest_lower), lower) @ middle,
    )


def _level_foot(shin: Tensor, toe: Tensor, share: Tensor) -> Tensor:
    """Pitch the foot from where the shin would carry it towards level."""
    sole = toe * toe.new_tensor([1.0, 1.0, 0.0])  # the foot's direction when it stands at rest
    carried = rotate(shin, sole)
    level = carried * toe.new_tensor([1.0, 1.0, 0.0])
    axis = torch.linalg.cross(carried, level)
    angle = torch.atan2(axis.norm(dim=-1), (carried * level).sum(-1)).clamp(max=0.7)
    return about(axis, angle * share) @ shin
