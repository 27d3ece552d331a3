"""Errors of the lifter on people whose joints are known, to fit its covariances to."""

from collections.abc import Iterable

import numpy as np

from pandapose_ros.config import CovarianceConfig
from pandapose_ros.data.rendered_images import RenderedImage
from pandapose_ros.geometry import check_intrinsics, project
from pandapose_ros.lifting import PinholeImage, lift, place, viewing_rays
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.people.following import PeopleTracker
from pandapose_ros.people.subject import find_subject
from pandapose_ros.pose import RootSource
from pandapose_ros.uncertainty import ErrorSamples


def collect_errors(
    net: PandaPose, tracker: PeopleTracker, images: Iterable[RenderedImage]
) -> ErrorSamples:
    """Find, lift and place the person of each image.

    Args:
        net: In evaluation mode.
        tracker: Each image is processed by itself. If it looks for several people, others may be
            in the image, and are not taken for the person it is of.
        images: Those in which nobody is found are skipped.

    Raises:
        ValueError: If nobody is found in any image.
    """
    rows = []
    for item in images:
        tracker.reset()
        people = tracker.find(item.image, item.K)
        true = project(item.joints, item.K)
        person = find_subject(people, true, with_others=tracker.config.max_people > 1)
        if person is None:
            continue
        (lifted,) = lift(net, [person])
        view = PinholeImage(item.image, check_intrinsics(item.K), RootSource.INTRINSICS, None)
        pose = place(person, lifted, view, CovarianceConfig())
        if pose.root is None:
            continue
        rows.append(
            (
                pose.joints - (item.joints - item.joints[0]),
                lifted.scatter,
                viewing_rays(person, item.K),
                person.keypoint_scores,
                pose.root - item.joints[0],
                pose.root,
            )
        )
    if not rows:
        raise ValueError("nobody was found in any of the images; give others")
    return ErrorSamples(*(np.stack(column) for column in zip(*rows, strict=True)))
