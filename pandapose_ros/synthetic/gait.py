"""A procedural walk: along a curve, slowing to a stand, one hand waving. No motion capture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.skeleton import H36M_17

Array = NDArray[np.floating]

_J = {name: index for index, name in enumerate(H36M_17.joint_names)}
_STEP = 0.56  # metres, about
_SWING = (0.1, 0.9)  # part of a step's phase in which the foot is in the air
_LIFT = 0.09  # metres that a swinging ankle rises
_HEEL = 0.05  # metres that the ankle of the rear foot rises before it swings
_REACH = 0.985  # share of the leg's length that is used, so that knees stay a little bent
_SWAY = 0.018  # metres that the pelvis moves over the standing foot
_WAVES_PER_SECOND = 1.6
_LATERAL = 0.085  # metres from the path to each foot


@dataclass(frozen=True)
class Walk:
    """Hold a motion of T frames, z up, metres.

    Attributes:
        joints: [T, 17, 3] H36M-17 targets.
        head_turn: [T, 2] radians, left and down.
        foot_level: [T, 2] left and right, [0, 1], see `rig.pose`.
    """

    joints: Array
    head_turn: Array
    foot_level: Array


@dataclass(frozen=True)
class _Steps:
    """Hold the ankles' course: [T, 2, 3] metres, and [T, 2] how level the feet are."""

    ankles: Array
    level: Array


def walk_and_wave(
    rest: Array, path: Array, times: Array, arrival: float, wave: tuple[float, float]
) -> Walk:
    """Build the walk for a person's own proportions, so that standing feet do not slide.

    Args:
        rest: [17, 3], the person's joints in rest pose, z up, facing -y, soles at z = 0.
        path: [4, 2], control points of the Bezier curve that the pelvis follows, metres.
        times: [T], seconds, evenly spaced.
        arrival: When the walk ends, seconds; the person then stands at the path's end.
        wave: When the right hand goes up and when it is down again, seconds.

    Returns:
        The motion; the person looks at the world's z axis while waving.
    """
    course = _Course(path)
    way = course.length * _slowing(times / arrival)
    count = max(round(course.length / _STEP), 1)
    # One more step, in place, brings the rear foot beside the other.
    phase = way / course.length * count + _ease((times - arrival + 0.3) / 0.6)
    steps = _steps(course, phase, course.length / count, rest)
    heading = course.heading(way)
    stride = 1 - _ease((times - arrival + 0.8) / 1.2)
    ahead = -stride * np.cos(np.pi * phase)  # 1: the left foot is half a step ahead
    hips, chest = _facing(heading - 0.09 * ahead), _facing(heading + 0.09 * ahead)
    joints = np.zeros((len(times), 17, 3))
    joints[:, _J["pelvis"]] = _pelvis(course, way, phase, steps, rest, stride)
    _place_trunk(joints, rest, hips, chest)
    _place_legs(joints, rest, steps.ankles, heading)
    raised = _ease((times - wave[0]) / 0.7) * _ease((wave[1] - times) / 0.7)
    _place_arms(joints, rest, chest, ahead, raised, times)
    return Walk(joints, _look_at_axis(joints, heading, raised), steps.level)


class _Course:
    """Sample a cubic Bezier curve by arc length; straight on before its start."""

    def __init__(self, control: Array) -> None:
        t = np.linspace(0, 1, 400)[:, None]
        weights = np.concatenate(
            ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3), axis=1
        )
        self._points = weights @ control
        steps = np.linalg.norm(np.diff(self._points, axis=0), axis=1)
        self._way = np.concatenate(([0.0], np.cumsum(steps)))
        self.length = float(self._way[-1])

    def point(self, way: Array) -> Array:
        """Return points [T, 2] at arc lengths [T]."""
        inside = way.clip(0, self.length)
        axes = [np.interp(inside, self._way, self._points[:, axis]) for axis in range(2)]
        start = self._points[1] - self._points[0]
        before = (way.clip(max=0) / np.linalg.norm(start))[:, None] * start
        return np.stack(axes, axis=1) + before

    def heading(self, way: Array) -> Array:
        """Return the direction of travel [T], radians from the x axis."""
        ahead = self.point(way.clip(0, self.length - 0.02) + 0.02)
        delta = ahead - self.point(way.clip(0, self.length - 0.02))
        return np.unwrap(np.arctan2(delta[:, 1], delta[:, 0]))


def _ease(x: Array) -> Array:
    """Rise smoothly from 0 at x = 0 to 1 at x = 1."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _slowing(x: Array) -> Array:
    """Go from 0 to 1 evenly, slowing down over the last fifth."""
    x, last = np.clip(x, 0, 1), 0.2
    speed = 1 / (1 - last / 2)
    left = (1 - x) / last
    return np.where(x < 1 - last, speed * x, 1 - speed * last / 2 * left.clip(0, 1) ** 2)


def _facing(heading: Array) -> Array:
    """Return rotations [T, 3, 3] that turn the rest pose, facing -y, to the heading."""
    cosine, sine, zero = np.cos(heading), np.sin(heading), np.zeros_like(heading)
    left = np.stack((-sine, cosine, zero), axis=-1)
    back = np.stack((-cosine, -sine, zero), axis=-1)
    up = np.stack((zero, zero, zero + 1), axis=-1)
    return np.stack((left, back, up), axis=-1)


def _steps(course: _Course, phase: Array, step: float, rest: Array) -> _Steps:
    """Plan footholds one step apart, left and right in turn, and move the ankles between them.

    While the phase runs from k to k + 1, the foot of k's parity swings to foothold k, which is
    half a step ahead of where the pelvis will then be.
    """
    ankles, level = np.zeros((len(phase), 2, 3)), np.ones((len(phase), 2))
    for foot, outward in ((0, 1.0), (1, -1.0)):
        own = np.floor((phase - foot) / 2) * 2 + foot  # the last swing that has begun
        progress = (phase - own - _SWING[0]) / (_SWING[1] - _SWING[0])
        moved = _ease(progress)[:, None]
        start = _foothold(course, own - 2, step, outward)
        ankles[:, foot, :2] = start * (1 - moved) + _foothold(course, own, step, outward) * moved
        travel = np.linalg.norm(_foothold(course, own, step, outward) - start, axis=1)
        active = np.minimum(travel / step, 1.0)
        air = np.sin(np.pi * progress.clip(0, 1)) * active
        # The heel leaves the floor before the foot does and is down again halfway.
        leaves = _ease((phase - own - 1.55) / 0.45) + _ease(1 - progress.clip(0) / 0.6) * (
            progress < 0.6
        )
        remaining = np.minimum((course.length / step - phase) / 0.6, 1.0).clip(0)
        heel = np.clip(leaves, 0, 1) * np.maximum(active * (progress < 0.6), remaining)
        ankles[:, foot, 2] = rest[_J["left_ankle"], 2] + _LIFT * air + _HEEL * heel
        level[:, foot] = 1 - 0.75 * heel
    return _Steps(ankles, level)


def _foothold(course: _Course, index: Array, step: float, outward: float) -> Array:
    """Return the places [T, 2] of footholds; the last ones lie side by side at the end."""
    way = np.minimum((index + 1.5) * step, course.length)
    heading = course.heading(way)
    left = np.stack((-np.sin(heading), np.cos(heading)), axis=-1)
    return course.point(way) + outward * _LATERAL * left


def _pelvis(
    course: _Course, way: Array, phase: Array, steps: _Steps, rest: Array, stride: Array
) -> Array:
    """Carry the pelvis [T, 3] over the feet, as high as both legs allow."""
    heading = course.heading(way)
    left = np.stack((-np.sin(heading), np.cos(heading)), axis=-1)
    # While the left foot swings (even phase), the weight is on the right one.
    sway = -_SWAY * stride * np.sin(np.pi * phase)
    place = course.point(way) + sway[:, None] * left
    hips = (rest[_J["left_hip"]] - rest[_J["right_hip"]])[0] / 2
    leg = _REACH * sum(_lengths(rest, "hip", "knee", "ankle"))
    height = np.full(len(way), np.inf)
    for foot, outward in ((0, 1.0), (1, -1.0)):
        flat = np.linalg.norm(place + outward * hips * left - steps.ankles[:, foot, :2], axis=1)
        height = np.minimum(height, np.sqrt(leg**2 - flat**2) + steps.ankles[:, foot, 2])
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
    padded = np.pad(height, 4, mode="edge")
    height = np.convolve(padded, kernel / kernel.sum(), mode="valid") - 0.004
    return np.concatenate((place, height[:, None]), axis=1)


def _lengths(rest: Array, first: str, middle: str, last: str) -> tuple[float, float]:
    """Measure the two bones of a left limb, metres."""
    a, b, c = (rest[_J[f"left_{name}"]] for name in (first, middle, last))
    return float(np.linalg.norm(b - a)), float(np.linalg.norm(c - b))


def _place_trunk(joints: Array, rest: Array, hips: Array, chest: Array) -> None:
    """Set hips, spine, shoulders and head; in place."""
    pelvis = joints[:, _J["pelvis"]]
    for name in ("left_hip", "right_hip", "spine"):
        joints[:, _J[name]] = pelvis + hips @ (rest[_J[name]] - rest[_J["pelvis"]])
    spine = joints[:, _J["spine"]]
    for name in ("thorax", "left_shoulder", "right_shoulder", "nose", "head"):
        joints[:, _J[name]] = spine + chest @ (rest[_J[name]] - rest[_J["spine"]])


def _place_legs(joints: Array, rest: Array, ankles: Array, heading: Array) -> None:
    """Bend the knees forward so that the legs reach the ankles; in place."""
    thigh, shin = _lengths(rest, "hip", "knee", "ankle")
    forward = np.stack((np.cos(heading), np.sin(heading), np.zeros_like(heading)), axis=-1)
    for foot, side in enumerate(("left", "right")):
        hip = joints[:, _J[f"{side}_hip"]]
        reach = ankles[:, foot] - hip
        distance = np.linalg.norm(reach, axis=-1, keepdims=True)
        axis = reach / distance
        distance = distance.clip(abs(thigh - shin) + 1e-3, 0.999 * (thigh + shin))
        pole = forward - (forward * axis).sum(-1, keepdims=True) * axis
        pole /= np.linalg.norm(pole, axis=-1, keepdims=True)
        along = (thigh**2 - shin**2 + distance**2) / (2 * distance)
        joints[:, _J[f"{side}_knee"]] = hip + along * axis + np.sqrt(thigh**2 - along**2) * pole
        joints[:, _J[f"{side}_ankle"]] = hip + distance * axis


def _place_arms(
    joints: Array, rest: Array, chest: Array, ahead: Array, raised: Array, times: Array
) -> None:
    """Swing the arms against the legs; the right one waves as far as it is raised; in place."""
    upper_length, lower_length = _lengths(rest, "shoulder", "elbow", "wrist")
    for side, outward in (("left", 1.0), ("right", -1.0)):
        # The right arm goes ahead with the left foot.
        angle = -0.38 * outward * ahead + 0.04
        bend = 0.3 + 0.25 * angle.clip(0)
        upper = _arm_direction(outward * 0.16, angle)
        lower = _arm_direction(outward * 0.1, angle + bend)
        if side == "right":
            beat = np.sin(2 * np.pi * _WAVES_PER_SECOND * times)
            high = np.stack((-0.8 + 0 * beat, 0.3 + 0 * beat, 0.25 + 0.05 * beat), axis=-1)
            hand = np.stack((-0.1 - 0.5 * beat, 0.25 + 0 * beat, 0.95 + 0 * beat), axis=-1)
            upper, lower = _toward(upper, high, raised), _toward(lower, hand, raised)
        shoulder = joints[:, _J[f"{side}_shoulder"]]
        body = np.array((1.0, -1.0, 1.0))  # (left, forward, up) to the rest frame
        elbow = shoulder + (chest @ (upper * body)[..., None])[..., 0] * upper_length
        wrist = elbow + (chest @ (lower * body)[..., None])[..., 0] * lower_length
        joints[:, _J[f"{side}_elbow"]], joints[:, _J[f"{side}_wrist"]] = elbow, wrist


def _arm_direction(outward: float, angle: Array) -> Array:
    """Return directions [T, 3] (left, forward, up) of a bone that hangs, swung by the angle."""
    hanging = np.stack((np.full_like(angle, outward), np.sin(angle), -np.cos(angle)), axis=-1)
    return hanging / np.linalg.norm(hanging, axis=-1, keepdims=True)


def _toward(start: Array, end: Array, share: Array) -> Array:
    """Turn directions [T, 3] by shares [T] of the way to others, past the front."""
    side = np.array((-0.4, 0.8, 0.0)) * (share * (1 - share) * 2)[:, None]
    mixed = start * (1 - share)[:, None] + _unit(end) * share[:, None] + side
    return _unit(mixed)


def _unit(vectors: Array) -> Array:
    """Scale to length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _look_at_axis(joints: Array, heading: Array, attention: Array) -> Array:
    """Turn the head [T, 2] to the world's z axis as far as it pays attention."""
    thorax = joints[:, _J["thorax"]]
    wanted = np.arctan2(-thorax[:, 1], -thorax[:, 0]) - heading
    wanted = (wanted + np.pi) % (2 * np.pi) - np.pi
    turn = attention * wanted.clip(-0.9, 0.9)
    return np.stack((turn, np.full_like(turn, 0.05)), axis=-1)
