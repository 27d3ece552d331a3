"""The bag tool on recordings and parameter files of other kinds than the usual."""

import argparse
from pathlib import Path

from pandapose_ros.tools import bag

# When a simulation is recorded, in nanoseconds: its own time began with it.
LATER = 1_700_000_000 * 10**9


def options(*arguments):
    parser = argparse.ArgumentParser()
    bag.add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


def test_topics_of_like_names_are_kept_apart(tmp_path):
    jobs = bag.make_jobs(
        options(tmp_path, tmp_path), {"/a/b_image": "", "/a_b/image": "", "/a_b_image": ""}, Path()
    )
    assert len({job.out for job in jobs}) == 3


def test_parts_with_other_namespaces_are_not_gone_on_with(tmp_path):
    beside, named = ("/left/image", "/right/image"), ("/left/image", "/left/other")
    assert bag.choose_namespaces(beside)["/left/image"] == "/left"
    assert bag.choose_namespaces(named)["/left/image"] == "/left/image"
    prints = {
        bag.fingerprint(options(tmp_path, tmp_path, "--image", *topics))
        for topics in (beside, named)
    }
    assert len(prints) == 2
    again = bag.fingerprint(options(tmp_path, tmp_path, "--image", *reversed(beside)))
    assert again in prints
