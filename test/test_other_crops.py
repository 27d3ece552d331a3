# People seen in several crops, some of them mirrored, whose results are joined.
from dataclasses import replace

import cv2
import numpy as np
import pytest
from clip_images import clip_frames
from followed_people import walk_of_the_demo

from pandapose_ros.config import EstimatorConfig
from pandapose_ros.estimator import PoseEstimator
from pandapose_ros.evaluation.metrics import mpjpe
from pandapose_ros.lifting import lift
from pandapose_ros.people.landmarks import Look, find_landmarks, search_together
from pandapose_ros.people.other_crops import in_other_crops
from pandapose_ros.people.region import Region
from pandapose_ros.skeleton import H36M_17, mirror_joints, mirror_keypoints

K = np.array([[554.0, 0.0, 319.5], [0.0, 554.0, 239.5], [0.0, 0.0, 1.0]])
LEAST_SCORE = 0.5


@pytest.fixture(scope="module")
def estimator():
    """Networks in torch, so that nothing but the crops makes a difference."""
    return PoseEstimator(EstimatorConfig(runtime="torch", threads=1))


@pytest.fixture(scope="module")
def image():
    return clip_frames(1)[0]


@pytest.fixture(scope="module")
def person(estimator, image):
    (found,) = estimator._camera("alone").people.find(image, K)
    return found


def look_at(estimator, image, people, count):
    def look(regions):
        return Look(image, K, regions, LEAST_SCORE)

    search = in_other_crops(people, look, count)
    return search_together(estimator.networks.landmark_net, [search])[0]


def seen_in(estimator, image, region):
    (found,) = find_landmarks(estimator.networks.landmark_net, [Look(image, K, [region], 0.0)])[0]
    return found


def test_a_mirrored_crop_gives_what_the_mirrored_image_gives(estimator, image, person):
    region = replace(person.region, angle=0.2)
    turned = cv2.flip(image, 1)
    other_side = Region((639 - region.centre[0], region.centre[1]), region.size, -0.2)
    mirrored = seen_in(estimator, image, replace(region, is_mirrored=True))
    expected = seen_in(estimator, turned, other_side)
    np.testing.assert_allclose(mirrored.keypoints_crop, expected.keypoints_crop, atol=0.1)
    np.testing.assert_allclose(
        mirrored.keypoints, mirror_keypoints(expected.keypoints, 640), atol=0.3
    )
    inside, outside = (lift(estimator.networks.lifter, [p])[0] for p in (mirrored, expected))
    np.testing.assert_allclose(inside.joints, mirror_joints(outside.joints), atol=2e-3)
    flip = np.diag((-1.0, 1.0, 1.0))
    scatter = flip @ outside.scatter @ flip
    order = mirror_joints(np.arange(17)[:, None].repeat(3, 1))[:, 1]
    np.testing.assert_allclose(inside.scatter, scatter[order], atol=1e-3)


def test_left_stays_left_in_a_mirrored_crop(estimator, image, person):
    plain = seen_in(estimator, image, person.region)
    mirrored = seen_in(estimator, image, replace(person.region, is_mirrored=True))
    size = person.region.size
    assert np.abs(plain.keypoints - mirrored.keypoints).max() < 0.05 * size
    joints = [lift(estimator.networks.lifter, [p])[0].joints for p in (plain, mirrored)]
    assert mpjpe(*joints) < 0.06


@pytest.mark.parametrize("count", [1, 3, 7])
def test_joints_and_keypoints_are_the_medians_over_the_crops(estimator, image, person, count):
    (seen,) = look_at(estimator, image, [person], count)
    assert len(seen.others) == count
    assert sum(other.region.is_mirrored for other in seen.others) == (count + 1) // 2
    assert len({other.region for other in seen.others} | {person.region}) == count + 1
    crops = [person, *seen.others]
    np.testing.assert_allclose(
        seen.keypoints, np.median([each.keypoints for each in crops], axis=0), atol=1e-4
    )
    (together,) = lift(estimator.networks.lifter, [seen])
    alone = lift(estimator.networks.lifter, crops)
    joints = np.median([each.joints for each in alone], axis=0)
    np.testing.assert_allclose(together.joints, joints - joints[0], atol=1e-5)
    np.testing.assert_array_equal(together.anchors.positions, alone[0].anchors.positions)
    np.testing.assert_allclose(
        together.scatter, np.mean([each.scatter for each in alone], axis=0), atol=1e-6
    )
    assert seen.next_region == person.next_region


def test_no_other_crops_are_looked_at_unless_asked_for(person):
    def look(regions):
        raise AssertionError(f"looked at {regions}")

    (same,) = search_together(None, [in_other_crops([person], look, 0)])[0]
    assert not same.others
    np.testing.assert_array_equal(same.keypoints, person.keypoints)
    confused = replace(person, is_exchanged=True)
    (same,) = search_together(None, [in_other_crops([confused], look, 3)])[0]
    assert not same.others


def test_somebody_else_in_another_crop_does_not_count(person):
    search = in_other_crops([person], lambda regions: regions, 3)
    first, second, third = next(search)
    right = replace(person, region=first, keypoints=person.keypoints + 2)
    wrong = replace(person, region=second, keypoints=person.keypoints + 0.2 * person.region.size)
    with pytest.raises(StopIteration) as end:
        search.send([right, wrong])  # in the third nobody is seen
    (seen,) = end.value.value
    assert seen.others == [right]
    assert third.size != person.region.size or third.angle != person.region.angle
    np.testing.assert_allclose(seen.keypoints, person.keypoints + 1, atol=1e-4)


def exchanged(person):
    """The same person with left and right exchanged, as the landmark net may see them."""
    return replace(person, keypoints=person.keypoints[list(H36M_17.mirror)])


@pytest.mark.parametrize("is_followed", [False, True])
@pytest.mark.parametrize("confused", [(1,), (1, 3), (1, 2, 3), (0,), (0, 2)])
def test_most_crops_decide_which_side_is_left_unless_it_is_known(person, is_followed, confused):
    person = replace(person, turned_from=Region((1.0, 2.0), 3.0, 0.0))
    first = exchanged(person) if 0 in confused else person
    followed = [first] if is_followed else []
    search = in_other_crops([first], lambda regions: regions, 3, followed=followed)
    others = [
        replace(exchanged(person) if number in confused else person, region=region)
        for number, region in enumerate(next(search), 1)
    ]
    with pytest.raises(StopIteration) as end:
        search.send(others)
    (seen,) = end.value.value
    agreeing = sum((number in confused) == (0 in confused) for number in range(4))
    is_first_right = is_followed or agreeing >= 2
    expected = first if is_first_right else exchanged(first)
    np.testing.assert_allclose(seen.keypoints, expected.keypoints, atol=1e-3)
    assert len(seen.others) == (agreeing if is_first_right else 4 - agreeing) - 1
    assert not seen.region.is_mirrored
    assert seen.next_region == person.next_region
    assert seen.turned_from == person.turned_from


def test_more_crops_make_the_clip_steadier():
    images, truth = clip_frames(25), walk_of_the_demo()
    true = truth["joints"][: len(images)]
    jumps = {}
    for crops in (1, 6):
        estimator = PoseEstimator(EstimatorConfig(crops_per_person=crops))
        poses = [estimator.estimate(image, truth["K"])[0] for image in images]
        joints = np.array([pose.joints - pose.joints[0] for pose in poses])
        errors = joints - (true - true[:, :1])
        jumps[crops] = np.linalg.norm(np.diff(errors, axis=0), axis=-1).mean()
    assert jumps[6] < 0.9 * jumps[1]


def test_one_pass_gives_the_same_and_knows_its_sizes(estimator, image):
    poses = []
    for runtime in ("torch", "one_pass", "onnxruntime"):
        some = PoseEstimator(EstimatorConfig(runtime=runtime, crops_per_person=4, threads=1))
        poses.append(some.estimate(image, K)[0])
        if runtime == "one_pass":
            assert some.networks.warm_up_sizes(2, crops=4) == [1, 2, 4, 8]
            assert some.networks.warm_up_sizes(2, crops=8) == [1, 2, 4, 8, 16]
    for other in poses[1:]:
        np.testing.assert_allclose(other.joints, poses[0].joints, atol=2e-3)
        np.testing.assert_allclose(other.keypoints, poses[0].keypoints, atol=0.2)
    (single,) = estimator.estimate(image, K)
    assert np.abs(single.joints - poses[0].joints).max() > 2e-3


def test_the_number_of_crops_changes_from_one_image_to_the_next(estimator, image):
    estimator.reset()
    (first,) = estimator.estimate(image, K)
    estimator.update(replace(estimator.config, crops_per_person=3))
    (second,) = estimator.estimate(image, K)
    estimator.update(replace(estimator.config, crops_per_person=1))
    assert first.id == second.id
    with pytest.raises(ValueError, match="crops_per_person"):
        estimator.update(replace(estimator.config, crops_per_person=9))
