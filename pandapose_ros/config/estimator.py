"""Defaults of finding and lifting people."""

from dataclasses import dataclass

from pandapose_ros.config.options import option

MOST_CROPS = 8  # of one person in one image; as many are described in `people/other_crops.py`


@dataclass(frozen=True)
class EstimatorConfig:
    """Set how people are found in an image and lifted to 3D."""

    weights: str = option(
        "default",
        "default; accurate (packaged too: better on real people, for up to three times the time "
        "on a CPU); or the path of a weights file (.safetensors)",
    )
    model_dir: str = option("", "Folder of the model files; empty: the user's data folder")
    device: str = option("auto", "auto, cpu, cuda or cuda:N; auto uses CUDA if available")
    threads: int = option(0, "Number of CPU threads; 0: PyTorch's default", low=0, high=256)
    runtime: str = option(
        "auto",
        "auto, torch, onnxruntime or one_pass; auto uses ONNX Runtime on a CPU, which saves up "
        "to two thirds of the time, and one_pass on CUDA: both networks together, as CUDA graphs",
    )
    precision: str = option(
        "auto",
        "Numerical precision of the networks; auto: fp16 on CUDA if it agrees with fp32, else "
        "fp32; fp16 and bf16 need runtime one_pass or auto",
        choices=("auto", "fp32", "fp16", "bf16"),
    )
    max_people: int = option(
        5,
        "Maximum number of people tracked at a time; a tracked person keeps the slot, and no new "
        "people are searched for while all slots are taken: leave spare slots for posters and "
        "mirror images",
        low=1,
        high=30,
        live=True,
    )
    detection_score: float = option(
        0.2,
        "Minimum score of the person detector; a detection below 0.5 counts only if the person is "
        "upright and apart from other people",
        low=0.0,
        high=1.0,
        live=True,
    )
    body_score: float = option(
        0.35,
        "Minimum score of the body detector, which finds people whom the person detector misses; "
        "its scores are low; 1: it does not run",
        low=0.0,
        high=1.0,
        live=True,
    )
    newcomer_score: float = option(
        0.9,
        "Minimum score of the landmark net to start tracking a person",
        low=0.0,
        high=1.0,
        live=True,
    )
    presence_score: float = option(
        0.5,
        "Minimum score of the landmark net to keep tracking a person",
        low=0.0,
        high=1.0,
        live=True,
    )
    tracking: bool = option(
        True,
        "Track people from image to image and run the detector only when needed; IDs need it",
        live=True,
    )
    detection_interval: int = option(
        15,
        "Number of images between searches for new people while some are tracked; the default is "
        "half a second at 30 Hz; use 2 at 4 Hz",
        low=1,
        high=1000,
        live=True,
    )
    detection_tiles: int = option(
        1,
        "Number of image tiles that the detector scans between two scans of the whole image, for "
        "people who are small or close to others; tiles take turns, each takes about 13 ms of "
        "one core; after somebody new is found, all are scanned in the next images; 100: all at a "
        "time; 0: none",
        low=0,
        high=100,
        live=True,
    )
    background_detection: bool = option(
        False,
        "Search for new people in parallel to the networks and add them one image later, so that "
        "no image waits for the detector while people are tracked",
        live=True,
    )
    crops_per_person: int = option(
        1,
        "Number of slightly different crops, half of them mirrored, in which the networks see "
        "each person; joints and keypoints are their medians; more: less error and noise, in as "
        "many times the networks' time",
        low=1,
        high=MOST_CROPS,
        live=True,
    )
    prediction_time: float = option(
        0.3,
        "How long an unseen person is predicted before being lost; at least two or three times "
        "the interval between images; 0: no prediction [s]",
        low=0.0,
        high=10.0,
        live=True,
    )
    memory_time: float = option(
        3.0,
        "How long a lost person is remembered, to get the same ID if seen again; recognised by "
        "place, body and clothes; 0: never [s]",
        low=0.0,
        high=60.0,
        live=True,
    )
    smoothing: bool = option(
        False, "Smooth the 3D output over time (one euro filter); off: raw estimates", live=True
    )
    smoothing_min_cutoff: float = option(
        1.5,
        "Cut-off frequency of the smoothing at rest; lower: smoother, more lag [Hz]",
        low=0.01,
        high=100.0,
        live=True,
    )
    smoothing_beta: float = option(
        5.0,
        "How fast the cut-off frequency grows with speed; higher: less lag [Hz per m/s]",
        low=0.0,
        high=100.0,
        live=True,
    )
    field_of_view: float = option(
        1.05,
        "Horizontal field of view assumed without camera_info; 0: people get no position [rad]",
        low=0.0,
        high=3.0,
    )
