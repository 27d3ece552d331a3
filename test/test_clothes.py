import cv2
import numpy as np
import pytest
from clip_images import backdrop, clip_frames, halved, side_by_side
from followed_people import Stream, sighting, walk_of_the_demo

from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.people.association import association_cost, cost_of_clothes
from pandapose_ros.people.clothes import colours_of_clothes, difference_of_clothes
from pandapose_ros.people.track import Sighting
from pandapose_ros.skeleton import H36M_17

RED, BLUE, GREY = (220, 30, 30), (30, 30, 220), (128, 128, 128)
UPPER, LOWER = (100, 50, 160, 150), (100, 150, 160, 240)
SURE = np.ones(17)


def lab(colour):
    pixel = np.array(colour, np.float32)[None, None] / 255
    return cv2.cvtColor(pixel, cv2.COLOR_RGB2LAB)[0, 0]


def dressed(upper=RED, lower=BLUE):
    image = np.full((300, 300, 3), GREY, np.uint8)
    for colour, (left, top, right, bottom) in ((upper, UPPER), (lower, LOWER)):
        image[top:bottom, left:right] = colour
    return image


def keypoints():
    places = np.full((17, 2), -1.0)
    left, top, right, hips = UPPER
    corners = {"shoulder": top, "hip": hips, "knee": LOWER[3]}
    for part, v in corners.items():
        for side, u in (("left", right - 5), ("right", left + 5)):
            places[H36M_17.joint_names.index(f"{side}_{part}")] = u, v
    return places


def test_torso_and_thighs_have_the_colours_of_the_clothes():
    found = colours_of_clothes(dressed(), keypoints(), SURE)
    assert found == pytest.approx(np.stack((lab(RED), lab(BLUE))), abs=1)
    # A stripe of the background, or an arm, does not count.
    image = dressed()
    image[80:100, :] = GREY
    assert colours_of_clothes(image, keypoints(), SURE) == pytest.approx(found, abs=1)


def test_what_is_not_seen_is_unknown():
    hidden = SURE.copy()
    hidden[H36M_17.joint_names.index("left_knee")] = 0.1
    upper, lower = colours_of_clothes(dressed(), keypoints(), hidden)
    assert np.isfinite(upper).all()
    assert np.isnan(lower).all()
    for nowhere in (np.full((17, 2), np.nan), keypoints() + 300):
        assert np.isnan(colours_of_clothes(dressed(), nowhere, SURE)).all()
    assert np.isnan(colours_of_clothes(dressed()[:40], keypoints(), SURE)).all()


def test_the_same_clothes_differ_less_in_other_light_than_others_do():
    def look(image):
        return colours_of_clothes(image, keypoints(), SURE)

    red, blue = look(dressed()), look(dressed(upper=BLUE))
    darker = look((dressed() * 0.8).astype(np.uint8))
    assert difference_of_clothes(red, red) == 0
    assert difference_of_clothes(red, darker) < difference_of_clothes(red, blue) / 2
    unknown = np.full((2, 3), np.nan)
    assert np.isnan(difference_of_clothes(red, unknown))
    torso_only = np.where([[True], [False]], blue, unknown)
    assert difference_of_clothes(red, torso_only) > difference_of_clothes(red, blue)


@pytest.mark.parametrize("clothes", [None, (RED, BLUE)])
def test_two_who_change_places_out_of_sight_are_known_by_their_clothes(clothes):
    walk = walk_of_the_demo()
    here = walk["joints"][0]
    there = here + np.array((0.3, 0, 0))
    looks = [None if clothes is None else np.stack([lab(c)] * 2) for c in clothes or (0, 0)]

    def seen(joints, number):
        plain = sighting(joints, walk["K"])
        return Sighting(plain.pose, plain.next_region, clothes=looks[number])

    camera = Stream(prediction_time=1.0)
    for _ in range(5):
        first = camera(seen(here, 0), seen(there, 1))
    assert [pose.id for pose in first] == [0, 1]
    camera(step=0.1)
    changed = {pose.id: pose.root[0] for pose in camera(seen(there, 0), seen(here, 1), step=0.1)}
    # Where they were is all that is known of them else.
    assert (changed[0] > changed[1]) == (clothes is not None)


def test_a_moment_in_other_colours_is_forgotten_and_hidden_ones_are_not():
    walk = walk_of_the_demo()
    plain = sighting(walk["joints"][0], walk["K"])
    camera = Stream()

    def see(colours):
        camera(Sighting(plain.pose, plain.next_region, clothes=colours))
        (track,) = camera.tracks._tracks
        return track.clothes

    red, blue = (np.stack([lab(colour)] * 2) for colour in (RED, BLUE))
    for _ in range(60):
        assert see(red) == pytest.approx(red)
    assert difference_of_clothes(see(blue), red) < difference_of_clothes(red, blue) / 10
    before = see(red)
    assert see(np.full((2, 3), np.nan)) == pytest.approx(before)
    for unknown in (None, np.full((2, 3), np.nan)):
        assert cost_of_clothes(unknown, red) == cost_of_clothes(red, unknown) == 0


def test_real_people_are_known_by_what_they_wear():
    half = halved(clip_frames(1))[0]
    other = half[..., ::-1].copy()  # red for blue
    other[(half == backdrop(half)).all(axis=-1)] = 128
    estimator = PoseEstimator()
    two = estimator.estimate(side_by_side(half, other))
    assert len(two) == 2
    first, second = (track.clothes for track in estimator._cameras[""].tracks._tracks)
    again = estimator.estimate(side_by_side(half, other))
    assert len(again) == 2
    same, _ = (track.clothes for track in estimator._cameras[""].tracks._tracks)
    assert difference_of_clothes(first, same) < 5 < difference_of_clothes(first, second)
    pose = two[0]
    bare = association_cost(pose, 100.0, pose, 100.0, 0.1)
    assert bare + cost_of_clothes(first, second) > bare + 0.5
