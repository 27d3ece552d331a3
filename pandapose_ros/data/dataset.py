"""One interface to all data sets with true joints, the paper's three and rendered people.

A sample is an image of one person with what is known of it. Images are read on demand, one after
the other.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.camera.lens import Distortion, check_distortion
from pandapose_ros.data.human36m import (
    METRIC_CROP_SIZE,
    Human36mSamples,
    action_name,
    image_size,
    read_human36m,
)
from pandapose_ros.data.image_files import check_size, load_image
from pandapose_ros.data.mpi_inf_3dhp import MpiInf3dhpSamples, fit_crop, read_mpi_inf_3dhp
from pandapose_ros.data.rendered_images import (
    chunk_files,
    most_people,
    read_chunk,
    read_clip,
    read_clip_truth,
    read_names,
)
from pandapose_ros.data.threedpw import ThreeDpwSamples, read_threedpw
from pandapose_ros.geometry import project

Array = NDArray[np.floating]
Image = NDArray[np.uint8]
# From an index to a sample.
Take = Callable[[int], "Sample"]


@dataclass(frozen=True, eq=False)
class Sample:
    """Hold one person in one image.

    Attributes:
        image: RGB uint8 [H, W, 3], or its file; None without images.
        joints: [17, 3], camera frame, metres; NaN for joints that the data set lacks.
        true_keypoints: [17, 2], pixels of the original image; NaN likewise.
        K: [3, 3], pixels; None where it is unknown.
        distortion: Of the lens, no fisheye; None for an ideal one.
        keypoints: [17, 2], detections of the data set, pixels of the original image, NaN for what
            was not found; None if it has none.
        crop_from_image: [2, 3], to the 192 x 256 crop of the paper's networks; None if the data
            set does not define it.
        size: (width, height) of the image, pixels, to within a few; None if unknown.
    """

    image: Image | Path | None
    joints: Array
    true_keypoints: Array
    K: Array | None
    distortion: Distortion | None = None
    keypoints: Array | None = None
    crop_from_image: Array | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """Hold N samples in their order.

    Attributes:
        name: Includes the files read; a saved challenging subset belongs to one name.
        actions: N names of what the person does.
        subjects: N names of persons.
        read: Returns the samples, one after the other.
        successive: Images are the frames of videos, in which the person is followed.
        max_people: How many people an image shows at most.
        files: What was read, the folder of images too, so that a change is noticed.
        images: N files, where each sample has an image file of its own; else none.
        take: Returns the sample of an index; None where they come one after the other only.
    """

    name: str
    actions: tuple[str, ...]
    subjects: tuple[str, ...]
    read: Callable[[], Iterator[Sample]]
    successive: bool = False
    max_people: int = 1
    files: tuple[Path, ...] = ()
    images: tuple[Path, ...] = ()
    take: Take | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.actions)

    def at(self, index: int) -> Sample:
        """Return the sample of an index, if they can be had in any order."""
        if self.take is None:
            raise ValueError(f"{self.name}: samples come one after the other only")
        return self.take(index)

    def every(self, step: int) -> "Dataset":
        """Return each `step`-th sample, as a data set of its own; a step is 1 or more."""
        if step < 1:
            raise ValueError(f"expected every 1st sample, or fewer of them; got every {step}")
        if step == 1:
            return self
        return replace(
            self,
            name=f"{self.name}, every {step}",
            actions=self.actions[::step],
            subjects=self.subjects[::step],
            images=self.images[::step],
            read=lambda: islice(self.read(), 0, None, step),
            take=lambda index: self.at(index * step),
        )


def read_image(sample: Sample) -> Image | None:
    """Return a sample's image, RGB, from its file if need be; None if it has none.

    Raises:
        FileNotFoundError: If the file is missing or no image.
        ValueError: If it is of another size, as keypoints and crops would lie elsewhere in it.
    """
    if not isinstance(sample.image, Path):
        return sample.image
    image = load_image(sample.image)
    if image is None:
        raise FileNotFoundError(f"no image {sample.image}, or none that can be read")
    if sample.size is not None:
        check_size(sample.image, image, sample.size)
    return image


def one_after_another(counts: Sequence[int], takes: Sequence[Take]) -> Take:
    """Return what takes the samples of several sources, `counts` of each, by one index."""
    ends = np.cumsum(counts)

    def take(index: int) -> Sample:
        source = int(np.searchsorted(ends, index, side="right"))
        return takes[source](index - int(ends[source] - counts[source]))

    return take


def synthetic_images(folders: Sequence[Path]) -> Dataset:
    """Take folders that `pandapose synthesize` filled; the action is the family of poses."""
    files = tuple(path for folder in folders for path in chunk_files(folder))
    names = [read_names(path) for path in files]
    return Dataset(
        name=_name("synthetic", folders),
        actions=tuple(action for part in names for action in part.actions),
        subjects=tuple(f"body {body}" for part in names for body in part.bodies),
        read=lambda: (
            Sample(item.image, item.joints, project(item.joints, item.K), item.K)
            for path in files
            for item in read_chunk(path)
        ),
        max_people=max(map(most_people, folders)),
        files=files,
    )


def rendered_clips(videos: Sequence[Path]) -> Dataset:
    """Take rendered videos, each with its truth beside it; the action is the video."""
    counts = [len(read_clip_truth(path)[0]) for path in videos]
    stems = [path.stem for path in videos]  # nobody is followed from one name to the next
    names = tuple(
        stem if stems.count(stem) == 1 else f"{path.resolve().parent.name}/{stem}"
        for path, stem, count in zip(videos, stems, counts, strict=True)
        for _ in range(count)
    )
    return Dataset(
        name=_name("clip", videos),
        actions=names,
        subjects=names,
        read=lambda: (
            Sample(item.image, item.joints, project(item.joints, item.K), item.K)
            for path in videos
            for item in read_clip(path)
        ),
        successive=True,
        files=tuple(f for path in videos for f in (path, path.with_suffix(".npz"))),
    )


def human36m(pickles: Sequence[Path], images: Path | None, detector: str = "cpn") -> Dataset:
    """Take Human3.6M as `read_human36m` reads it; the name tells another detector than CPN."""
    parts = [read_human36m(path, images, detector) for path in pickles]
    takes = [partial(_human36m_sample, part, images is not None) for part in parts]
    take = one_after_another([len(part.images) for part in parts], takes)
    actions = tuple(action_name(number) for part in parts for number in part.actions)
    return Dataset(
        name=_name("human36m", pickles) + ("" if detector == "cpn" else f", {detector}"),
        actions=actions,
        subjects=tuple(f"S{number}" for part in parts for number in part.subjects),
        read=lambda: map(take, range(len(actions))),
        files=(*pickles, *filter(None, (images,))),
        images=_images(parts, images),
        take=take,
    )


def mpi_inf_3dhp(files: Sequence[Path], images: Path | None) -> Dataset:
    """Take MPI-INF-3DHP as `read_mpi_inf_3dhp` reads it; its images are crops.

    Source:
        Our choice: the crop is taken as an image of its own, whose camera follows from where the
        keypoints are in image and crop.
    """
    parts = [read_mpi_inf_3dhp(path, images) for path in files]
    takes = [partial(_mpi_inf_3dhp_sample, part, images is not None) for part in parts]
    take = one_after_another([len(part.images) for part in parts], takes)
    actions = tuple(name for part in parts for name in part.sequences)
    return Dataset(
        name=_name("mpi-inf-3dhp", files),
        actions=actions,
        subjects=tuple(name.split()[0] for name in actions),
        read=lambda: map(take, range(len(actions))),
        files=(*files, *filter(None, (images,))),
        images=_images(parts, images),
        take=take,
    )


def threedpw(sequences: Sequence[Path], images: Path | None) -> Dataset:
    """Take 3DPW as `read_threedpw` reads it; nose and head are unknown."""
    parts = [read_threedpw(path, images) for path in sequences]
    people = [f"{n} {p}" for part in parts for n, p in zip(part.sequences, part.people)]  # noqa: B905
    return Dataset(
        name=_name("3dpw", sequences),
        actions=tuple(name for part in parts for name in part.sequences),
        subjects=tuple(people),
        read=lambda: (
            Sample(
                image=None if images is None else part.images[i],
                joints=part.joints[i],
                true_keypoints=part.true_keypoints[i],
                K=part.K[i],
                keypoints=part.keypoints[i],
            )
            for part in parts
            for i in range(len(part.images))
        ),
        max_people=4,
        files=(*sequences, *filter(None, (images,))),
        images=_images(parts, images),
    )


def _name(kind: str, paths: Sequence[Path]) -> str:
    """Return the name of a data set that was read from some files."""
    return " ".join((kind, *(path.name for path in paths)))


def _images(
    parts: Sequence[Human36mSamples | MpiInf3dhpSamples | ThreeDpwSamples], folder: Path | None
) -> tuple[Path, ...]:
    """Return the images of some files of labels; none if there is no folder of them."""
    return () if folder is None else tuple(image for part in parts for image in part.images)


def _human36m_sample(part: Human36mSamples, with_image: bool, i: int) -> Sample:
    """Return a sample of Human3.6M."""
    return Sample(
        image=part.images[i] if with_image else None,
        joints=part.joints[i],
        true_keypoints=part.true_keypoints[i],
        K=part.K[i],
        distortion=check_distortion(part.distortion[i]),
        keypoints=part.keypoints[i],
        crop_from_image=part.crop_from_image[i],
        size=image_size(part.cameras[i]),
    )


def _mpi_inf_3dhp_sample(part: MpiInf3dhpSamples, with_image: bool, i: int) -> Sample:
    """Return a sample of MPI-INF-3DHP: in the crop with its image, else in the whole image."""
    K = part.K[i] if np.isfinite(part.K[i]).all() else None
    if not with_image:
        return Sample(None, part.joints[i], part.keypoints[i], K)
    crop = part.keypoints_crop[i]
    if not np.isfinite(crop).all():
        raise ValueError(
            f"expected keypoints in the crop {part.images[i]}, whose file has no 'data_2d_crop'; "
            "take a file with it, or evaluate without --images"
        )
    crop_from_image = fit_crop(part.keypoints[i], crop)
    if K is not None:
        K = None if crop_from_image is None else np.vstack((crop_from_image, (0, 0, 1))) @ K
    still = np.eye(3)[:2]  # the image is the crop already
    image, joints = part.images[i], part.joints[i]
    return Sample(image, joints, crop, K, crop_from_image=still, size=METRIC_CROP_SIZE)
