import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapose_ros.geometry import transform_points
from pandapose_ros.people.region import (
    Region,
    box_round_points,
    intersection_over_union,
    is_same_place,
    quarter_turns,
    region_from_points,
)

regions = st.builds(
    Region,
    st.tuples(st.floats(-500, 2000), st.floats(-500, 2000)),
    st.floats(10, 3000),
    st.floats(-np.pi, np.pi),
)


@given(regions, st.integers(2, 512))
def test_the_regions_corners_are_the_outer_edges_of_the_crop(region, size):
    corners = transform_points(region.crop_from_image(size), region.corners())
    edge = [[-0.5, -0.5], [size - 0.5, -0.5], [size - 0.5, size - 0.5], [-0.5, size - 0.5]]
    np.testing.assert_allclose(corners, edge, atol=1e-6)


@given(regions)
def test_corners_are_a_square_round_the_centre(region):
    corners = region.corners()
    np.testing.assert_allclose(corners.mean(axis=0), region.centre, atol=1e-6)
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    np.testing.assert_allclose(sides, region.size)


@given(
    st.tuples(st.floats(0, 1000), st.floats(0, 1000)),
    st.floats(-np.pi, np.pi),
    st.floats(5, 500),
)
def test_the_circle_point_comes_to_lie_above_the_middle(centre, angle, radius):
    centre = np.array(centre)
    circle_point = centre + radius * np.array([np.sin(angle), -np.cos(angle)])
    region = region_from_points(centre, circle_point)
    assert region.size == pytest.approx(2.5 * radius)
    middle, above = transform_points(region.crop_from_image(256), np.stack((centre, circle_point)))
    np.testing.assert_allclose(middle, 127.5, atol=1e-6)
    np.testing.assert_allclose(above, [127.5, 127.5 - 256 / 2.5], atol=1e-6)


def test_an_upright_region_of_the_crops_size_copies_pixels():
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    region = Region((19.5, 9.5), 16.0, 0.0)
    crop = cv2.warpAffine(image, region.crop_from_image(16), (16, 16))
    np.testing.assert_array_equal(crop, image[2:18, 12:28])


def test_a_quarter_turn_turns_the_crop():
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    upright = Region((19.5, 9.5), 16.0, 0.0)
    lying = Region((19.5, 9.5), 16.0, np.pi / 2)  # the head points to the image's right
    crops = [cv2.warpAffine(image, r.crop_from_image(16), (16, 16)) for r in (upright, lying)]
    np.testing.assert_array_equal(np.rot90(crops[0]), crops[1])


def test_a_box_is_widened_and_clipped():
    points = np.array([[10.0, 20.0], [30.0, 60.0]])
    np.testing.assert_allclose(box_round_points(points, 0.1, (100, 100)), [6, 16, 34, 64])
    np.testing.assert_allclose(box_round_points(points, 0.5, (40, 50)), [0, 0, 39, 49])
    np.testing.assert_allclose(box_round_points(points + 1000, 0.1, (40, 50)), [39, 49, 39, 49])


def test_overlap_by_hand():
    box = np.array([0.0, 0.0, 2.0, 2.0])
    others = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6], [2, 0, 3, 2], [1, 1, 1, 1]])
    np.testing.assert_allclose(intersection_over_union(box, others), [1, 1 / 7, 0, 0, 0])
    beyond = np.array([[3.0, 3, 6, 6]])  # past a corner, with a gap on both axes
    np.testing.assert_array_equal(intersection_over_union(box, beyond), 0)
    empty = np.zeros(4)
    np.testing.assert_allclose(intersection_over_union(empty, empty[None]), 0)


def test_quarter_turns_are_counted_from_0_to_3():
    quarters = [quarter_turns(angle) for angle in (0.7, 1.6, 3.1, -3.1, -1.6, -0.7, 6.3)]
    assert quarters == [0, 1, 2, 2, 3, 0, 0]


def test_a_child_before_an_adult_is_somebody_else():
    adult = Region((100.0, 100.0), 200.0, 0.0)
    assert is_same_place(adult, Region((119.0, 100.0), 199.0, 1.0))
    assert not is_same_place(adult, Region((121.0, 100.0), 200.0, 0.0))
    child = Region((100.0, 100.0), 130.0, 0.0)
    assert not is_same_place(adult, child)
    assert not is_same_place(child, adult)
