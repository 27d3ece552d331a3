"""Which motion a training really holds out, given its starting weights and its images."""

from pathlib import Path
from typing import NamedTuple

from pandapose_ros.checkpoint import HELD_OUT_KEY, MOTION_KEY, read_metadata
from pandapose_ros.config import TrainConfig, TrainDataConfig
from pandapose_ros.data.file_identity import file_sha256
from pandapose_ros.data.motion_files import motion_files
from pandapose_ros.data.rendered_images import read_options

_BETWEEN = "; "  # of motion files in the metadata


class Unseen(NamedTuple):
    """Hold which motion the weights have not seen.

    Attributes:
        metadata: For the weights: share of the clips, and identities of all motion trained on.
        warnings: One line for each reason why scores on the held-out clips are too good.
    """

    metadata: dict[str, str]
    warnings: tuple[str, ...]


def unseen_motion(data: TrainDataConfig, share: float, motion: str, before: Path | None) -> Unseen:
    """Find out which motion is really held out.

    The last clips of each kind are held out, so the smaller of two shares is part of the other.

    Args:
        data: What is trained on.
        share: Of the clips, which this training holds out.
        motion: Identity of the clips, as of `data_identity`.
        before: Weights that it starts from or goes on with; None: fresh ones.

    Raises:
        ValueError: If a file is not what it should be.
    """
    motions, least, warnings = {motion}, share, []
    if before is not None:
        told = read_metadata(before)
        seen = set(told[MOTION_KEY].split(_BETWEEN)) if MOTION_KEY in told else set()
        held_out = float(told.get(HELD_OUT_KEY, TrainConfig().held_out_share))
        if share and held_out < share:
            warnings.append(f"{before} held out {held_out:g} of the clips, this run {share:g}")
        elif share and seen - motions:
            warnings.append(f"{before} was trained on other motion too, held-out clips maybe")
        motions, least = motions | seen, min(least, held_out)
    if data.images:
        shown = _share_not_shown(data, share)
        if shown < share:
            warnings.append(f"{data.images} shows motion of clips that this run holds out")
        least = min(least, shown)
    metadata = {HELD_OUT_KEY: str(least), MOTION_KEY: _BETWEEN.join(sorted(motions))}
    return Unseen(
        metadata, tuple(f"{text}: its scores on these are too good" for text in warnings)
    )


def _share_not_shown(data: TrainDataConfig, share: float) -> float:
    """Return which share of the clips the images do not show; what is not told counts as held out.

    Images to test on show those that are held out.
    """
    told = read_options(Path(data.images))
    shown = 0.0 if told.get("test") else float(told.get("held_out_share", share))
    if shown >= share or told.get("motion_sha256") != file_sha256(
        *motion_files(Path(data.motion))
    ):
        return share
    return shown
