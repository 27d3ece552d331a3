"""What came over the topics in a run: images and skeletons, in one file without pickles."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.pose import AnchorVotes, Pose, RootSource, TrackState


@dataclass(frozen=True)
class Result:
    """Hold one skeleton message.

    Attributes:
        stamp_ns: Stamp of the image, nanoseconds.
        received_ns: When the message was received, the same clock.
        poses: The people in it; anchors as in the message of the same stamp, empty without one.
    """

    stamp_ns: int
    received_ns: int
    poses: list[Pose]


@dataclass
class Recording:
    """Collect a run.

    Attributes:
        image_stamps_ns: Stamp of each image in the order of arrival, nanoseconds.
        images: JPEG bytes of each image.
        results: Skeleton messages in the order of arrival.
    """

    image_stamps_ns: list[int] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the recording as .npz; the file appears only when it is whole."""
        arrays: dict[str, Any] = self._arrays()
        part = path.with_suffix(".part.npz")
        np.savez(part, **arrays)
        part.replace(path)

    def _arrays(self) -> dict[str, NDArray]:
        """Flatten the run: one row per image, result, person and anchor."""
        people = [(i, pose) for i, result in enumerate(self.results) for pose in result.poses]
        poses = [pose for _, pose in people]
        return {
            "image_stamps_ns": np.array(self.image_stamps_ns, np.int64),
            "image_ends": np.cumsum([len(image) for image in self.images], dtype=np.int64),
            "image_bytes": np.frombuffer(b"".join(self.images), np.uint8),
            "result_stamps_ns": np.array([r.stamp_ns for r in self.results], np.int64),
            "result_received_ns": np.array([r.received_ns for r in self.results], np.int64),
            "result": np.array([i for i, _ in people], np.int64),
            "id": np.array([pose.id for pose in poses], np.int64),
            "state": np.array([int(pose.state) for pose in poses], np.int64),
            "joints": _stack([pose.joints for pose in poses], (17, 3)),
            "root": _stack(
                [np.full(3, np.nan) if p.root is None else p.root for p in poses], (3,)
            ),
            "root_source": np.array([int(pose.root_source) for pose in poses], np.int64),
            "joint_scores": _stack([pose.joint_scores for pose in poses], (17,)),
            "keypoints": _stack([pose.keypoints for pose in poses], (17, 2)),
            "box_xyxy": _stack([pose.box_xyxy for pose in poses], (4,)),
            "score": np.array([pose.score for pose in poses], np.float32),
            "anchor_ends": np.cumsum([len(p.anchors.positions) for p in poses], dtype=np.int64),
            "anchors": np.concatenate([np.zeros((0, 3)), *(p.anchors.positions for p in poses)]),
            "shares": np.concatenate([np.zeros(0), *(p.anchors.shares for p in poses)]),
            "kinds": np.concatenate([np.zeros(0), *(p.anchors.kinds for p in poses)]).astype(int),
            "owners": np.concatenate([np.zeros(0), *(p.anchors.owners for p in poses)]).astype(
                int
            ),
        }

    @staticmethod
    def load(path: Path) -> "Recording":
        """Read what `save` wrote.

        Args:
            path: The .npz file.

        Returns:
            The recording; anchor weights are the shares over all joints, [A, 1].
        """
        with np.load(path, allow_pickle=False) as file:
            data = dict(file)
        content, ends = data["image_bytes"].tobytes(), data["image_ends"]
        starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
        poses = [_pose(data, i) for i in range(len(data["id"]))]
        stamps = zip(data["result_stamps_ns"], data["result_received_ns"], strict=True)
        return Recording(
            image_stamps_ns=data["image_stamps_ns"].tolist(),
            images=[content[a:b] for a, b in zip(starts, ends, strict=True)],
            results=[
                Result(
                    int(t),
                    int(now),
                    [p for p, n in zip(poses, data["result"], strict=True) if n == i],
                )
                for i, (t, now) in enumerate(stamps)
            ],
        )


def _stack(rows: list[NDArray], shape: tuple[int, ...]) -> NDArray:
    """Stack rows of a known shape, also when there are none."""
    return np.stack(rows) if rows else np.zeros((0, *shape))


def _pose(data: dict[str, NDArray], i: int) -> Pose:
    """Rebuild the pose of row `i`."""
    end = data["anchor_ends"][i]
    start = data["anchor_ends"][i - 1] if i else 0
    placed = bool(np.isfinite(data["root"][i]).all())
    return Pose(
        id=int(data["id"][i]),
        state=TrackState(int(data["state"][i])),
        joints=data["joints"][i],
        root=data["root"][i] if placed else None,
        root_covariance=None,
        root_source=RootSource(int(data["root_source"][i])),
        joint_scores=data["joint_scores"][i],
        keypoints=data["keypoints"][i],
        box_xyxy=data["box_xyxy"][i],
        score=float(data["score"][i]),
        anchors=AnchorVotes(
            positions=data["anchors"][start:end],
            weights=data["shares"][start:end, None],
            kinds=data["kinds"][start:end],
            owners=data["owners"][start:end],
        ),
    )
