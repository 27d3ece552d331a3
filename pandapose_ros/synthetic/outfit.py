"""Make dressed bodies: Anny bodies of random adult shape in fitted CC0 clothes, shoes and hair."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pandapose_ros.synthetic.assets import Garment, fit_garment, read_garment
from pandapose_ros.synthetic.body import Body, Part, Rig

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

# Landmarks of the hm08 base mesh, which every Anny body shares.
NOSE_VERTEX = 5054
CROWN_VERTEX = 881
_MOUTH_INSIDE = (13380, 13605)  # teeth and tongue: never seen, left out
_EYES = (14598, 14741)
INFLUENCES = 8
_HELD_OUT_GARMENTS = 0.25  # share of each kind
# Hair that needs no see-through texture to look like hair.
_HAIR = ("afro01", "bob01", "bob02", "ponytail01", "short01", "short02", "short03", "short04")


@dataclass(frozen=True)
class BaseBodies:
    """Hold undressed bodies of one topology.

    Attributes:
        vertices: [B, 19158, 3] metres, rest pose, z up.
        bone_heads: [B, N, 3] metres.
        faces: [F, 3] the skin's triangles.
        weights: [19158, N] dense skinning weights.
        is_female: [B].
    """

    vertices: Array
    bone_heads: Array
    faces: Indices
    weights: Array
    is_female: NDArray[np.bool_]


@dataclass(frozen=True)
class Wardrobe:
    """Hold the garments to choose from."""

    female_suits: list[Garment]
    male_suits: list[Garment]
    shoes: list[Garment]
    hair: list[Garment]


def read_wardrobe(folder: Path) -> Wardrobe:
    """Read all garments of an unpacked MakeHuman asset collection.

    Args:
        folder: Holds `clothes/` and `hair/`.

    Raises:
        FileNotFoundError: If there are none.
    """

    def garments(pattern: str) -> list[Garment]:
        found = [read_garment(path) for path in sorted(folder.glob(pattern)) if path.is_dir()]
        if not found:
            raise FileNotFoundError(
                f"no {pattern} in {folder}; expected MakeHuman's `base` folder of CC0 assets"
            )
        return found

    return Wardrobe(
        female_suits=garments("clothes/female_*"),
        male_suits=garments("clothes/male_*"),
        shoes=garments("clothes/shoes*"),
        hair=[garment for garment in garments("hair/*") if garment.name in _HAIR],
    )


def split_wardrobe(wardrobe: Wardrobe, rng: np.random.Generator) -> tuple[Wardrobe, Wardrobe]:
    """Hold a quarter of each kind of garment apart, so that test bodies wear nothing known.

    Args:
        wardrobe: All garments.
        rng: Decides which ones.

    Returns:
        What bodies to train on wear, what bodies to test on wear; no garment is in both.

    Raises:
        ValueError: If there are fewer than two garments of a kind.
    """
    parts: tuple[dict[str, list[Garment]], dict[str, list[Garment]]] = ({}, {})
    for kind, garments in vars(wardrobe).items():
        if len(garments) < 2:
            raise ValueError(
                f"expected at least 2 garments of {kind}, one to be worn in tests only, got "
                f"{len(garments)}; add some or hold no bodies apart (--test-bodies 0)"
            )
        order = rng.permutation(len(garments))
        apart = max(1, round(_HELD_OUT_GARMENTS * len(garments)))
        parts[0][kind] = [garments[index] for index in sorted(order[apart:])]
        parts[1][kind] = [garments[index] for index in sorted(order[:apart])]
    return Wardrobe(**parts[0]), Wardrobe(**parts[1])


def bodies_held_out(count: int, tests: int) -> NDArray[np.bool_]:
    """Return which of the bodies of `random_bodies` are for testing: the last ones.

    Args:
        count: All bodies.
        tests: How many of them; 0: none.

    Raises:
        ValueError: If one side would lack one of the sexes.
    """
    if tests != 0 and (tests < 2 or count - tests < 2):
        raise ValueError(
            "expected at least 2 bodies to train and 2 to test on, so that there are women and "
            f"men on both sides, got {count} bodies, {tests} of them to test on (--test-bodies)"
        )
    return np.arange(count) >= count - tests


def random_bodies(count: int, rng: np.random.Generator) -> tuple[Rig, BaseBodies]:
    """Draw adult bodies from Anny; every second one is female.

    Args:
        count: B.
        rng: Drives every choice.

    Raises:
        ValueError: If the package anny, or one that it needs, is missing.
    """
    try:
        # Only baking needs it; it is large.
        from anny import Anny  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            f"baking needs the Anny body model ({error}): pip install anny==0.6.2"
        ) from error
    model = Anny(topology="anny-full", skinning_method="lbs")
    shape = {
        label: torch.as_tensor(rng.uniform(0.2, 0.8, count)) for label in model.phenotype_labels
    }
    is_female = np.arange(count) % 2 == 1
    shape["gender"] = torch.as_tensor(np.abs(is_female - rng.uniform(0.0, 0.15, count)))
    shape["height"] = torch.as_tensor(rng.uniform(0.28, 0.52, count))  # about 1.5 to 2.0 m
    shape["age"] = torch.as_tensor(rng.uniform(0.58, 0.9, count))
    bones = model.bone_count
    still = torch.eye(4, dtype=torch.float64).repeat(count, bones, 1, 1)
    with torch.no_grad():
        output = model(pose_parameters=still, phenotype_kwargs=shape)
    vertices = output["rest_vertices"].numpy()
    weights = np.zeros((vertices.shape[1], bones))
    rows = np.arange(len(weights))[:, None]
    np.add.at(
        weights, (rows, model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy()
    )
    parents = tuple(-1 if parent is None else int(parent) for parent in model.bone_parents)
    rig = Rig(tuple(str(label) for label in model.bone_labels), parents)
    faces = np.asarray(model.faces).astype(np.int64)
    low, high = _MOUTH_INSIDE
    seen = ~((faces >= low) & (faces <= high)).any(axis=1)
    return rig, BaseBodies(
        vertices, output["rest_bone_heads"].numpy(), faces[seen], weights, is_female
    )


def dressed_bodies(
    rig: Rig,
    base: BaseBodies,
    wardrobes: tuple[Wardrobe, Wardrobe],
    held_out: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Iterator[Body]:
    """Dress each body at random, one at a time.

    Args:
        rig: Of the bodies.
        base: The bodies.
        wardrobes: What bodies to train on wear and what those to test on wear, as of
            `split_wardrobe`; suits go round so that few repeat.
        held_out: [B], which bodies are to test on.
        rng: Drives every choice.

    Yields:
        One dressed body per base body, in order.
    """
    for b, (is_female, test) in enumerate(zip(base.is_female, held_out, strict=True)):
        wardrobe = wardrobes[int(test)]
        suits = wardrobe.female_suits if is_female else wardrobe.male_suits
        worn = {
            Part.SUIT: suits[(b // 2) % len(suits)],
            Part.SHOES: wardrobe.shoes[rng.integers(len(wardrobe.shoes))],
            Part.HAIR: wardrobe.hair[rng.integers(len(wardrobe.hair))],
        }
        yield dress(rig, base, b, worn, held_out=bool(test))


def dress(
    rig: Rig, base: BaseBodies, b: int, worn: dict[Part, Garment], *, held_out: bool
) -> Body:
    """Put garments on one body and merge all into one mesh without hidden parts.

    Args:
        rig: Of the bodies.
        base: The bodies.
        b: Which one.
        worn: Garment per part.
        held_out: Whether the body is to test on.
    """
    skin, hidden = base.vertices[b], np.zeros(len(base.vertices[b]), bool)
    vertices, weights, parts = [skin], [base.weights], [_skin_parts(rig, base, b)]
    faces, offset = [], len(skin)
    for part, garment in worn.items():
        hidden[garment.hidden] = True
        vertices.append(fit_garment(garment, skin))
        weights.append((base.weights[garment.references] * garment.weights[..., None]).sum(1))
        parts.append(np.full(len(vertices[-1]), part, np.uint8))
        faces.append(garment.faces + offset)
        offset += len(vertices[-1])
    hidden[_EYES[0] : _EYES[1] + 1] = False  # one suit claims to cover them
    faces = np.concatenate([base.faces[~hidden[base.faces].any(1)], *faces])
    # The landmarks are kept even where hair hides the skin round them.
    kept = np.union1d(faces, [NOSE_VERTEX, CROWN_VERTEX])
    place = np.full(offset, -1)
    place[kept] = np.arange(len(kept))
    kept_weights, bones = _strongest(np.concatenate(weights)[kept])
    kept_vertices = np.concatenate(vertices)[kept]
    heads = base.bone_heads[b]
    return Body(
        vertices=torch.as_tensor(kept_vertices, dtype=torch.float32),
        faces=torch.as_tensor(place[faces]),
        parts=torch.as_tensor(np.concatenate(parts)[kept]),
        rise=torch.as_tensor(_rise(rig, kept_vertices, heads, bones[:, 0]), dtype=torch.float32),
        bone_heads=torch.as_tensor(heads, dtype=torch.float32),
        weights=torch.as_tensor(kept_weights, dtype=torch.float32),
        weight_bones=torch.as_tensor(bones),
        nose=int(place[NOSE_VERTEX]),
        crown=int(place[CROWN_VERTEX]),
        description=" ".join(
            ("female" if base.is_female[b] else "male", *(g.name for g in worn.values()))
        ),
        held_out=held_out,
    )


def _strongest(weights: Array) -> tuple[Array, Indices]:
    """Keep the strongest bones of each vertex: weights [V, 8] summing to 1, bones [V, 8]."""
    bones = np.argsort(-weights, axis=1)[:, :INFLUENCES]
    strongest = np.take_along_axis(weights, bones, axis=1).clip(0)
    return strongest / strongest.sum(1, keepdims=True), bones


def _rise(rig: Rig, vertices: Array, bone_heads: Array, bones: Indices) -> Array:
    """Measure each vertex's height above the waist; arms hang low but count as high."""
    waist = 0.4 * bone_heads[rig.index("spine04"), 2] + 0.6 * bone_heads[rig.index("spine05"), 2]
    arm = np.array([name.startswith(("upperarm", "lowerarm", "wrist")) for name in rig.names])
    return np.where(arm[bones], 0.5, vertices[:, 2] - waist)


def _skin_parts(rig: Rig, base: BaseBodies, b: int) -> NDArray[np.uint8]:
    """Separate eyes, irises, lips and brows from skin, by their positions on the face."""
    vertices, heads = base.vertices[b], base.bone_heads[b]
    parts = np.full(len(vertices), Part.SKIN, np.uint8)
    left, right = heads[rig.index("eye.L")], heads[rig.index("eye.R")]
    unit = np.linalg.norm(left - right)  # distance of the eyes, about 62 mm
    nose = vertices[NOSE_VERTEX]
    across, down = np.abs(vertices[:, 0] - nose[0]) / unit, (nose[2] - vertices[:, 2]) / unit
    front = (vertices[:, 1] - nose[1]) / unit < 0.75
    parts[front & (across < 0.38) & (down > 0.42) & (down < 0.72)] = Part.LIPS
    above_eye = (vertices[:, 2] - left[2]) / unit
    brow = (np.abs(above_eye - 0.42) < 0.11) & (np.abs(across - 0.52) < 0.36)
    parts[front & brow] = Part.BROW
    for side, name in ((left, "eye.L"), (right, "eye.R")):
        eye = base.weights[:, rig.index(name)] > 0.5
        parts[eye] = Part.EYE
        from_axis = np.linalg.norm((vertices - side)[:, [0, 2]], axis=1)
        parts[eye & (vertices[:, 1] < side[1]) & (from_axis < 0.12 * unit)] = Part.IRIS
    return parts
