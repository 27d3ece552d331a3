"""Defaults of finding and lifting people."""

from dataclasses import dataclass

from pandapose_ros.config.options import option


@dataclass(frozen=True)
class EstimatorConfig:
    """Set how people are found in an image and lifted to 3D."""

    weights: str = option("", "Lifter weights (.safetensors); empty: those of the package")
    model_dir: str = option("", "Folder of the BlazePose files; empty: the per-user data folder")
    device: str = option("auto", "auto, cpu, cuda or cuda:N; auto takes CUDA when there is one")
    threads: int = option(0, "CPU threads; 0 lets PyTorch choose", low=0, high=256)
    runtime: str = option(
        "auto",
        "auto, torch, onnxruntime or one_pass; auto takes ONNX Runtime on a CPU, which saves up "
        "to two thirds there, and on CUDA one_pass: both networks together, as CUDA graphs",
    )
    precision: str = option(
        "auto",
        "Of the networks' numbers; auto is fp16 on CUDA if that agrees with fp32, else fp32; "
        "fp16 and bf16 need runtime one_pass or auto",
        choices=("auto", "fp32", "fp16", "bf16"),
    )
    max_people: int = option(
        5,
        "People followed at a time; whoever is followed keeps the place, and while there is no "
        "place nobody new is looked for: leave room for a poster or a mirror image",
        low=1,
        high=30,
        live=True,
    )
    detection_score: float = option(
        0.5, "Least score of the person detector", low=0.0, high=1.0, live=True
    )
    presence_score: float = option(
        0.5, "Least score of the landmark net to keep a person", low=0.0, high=1.0, live=True
    )
    tracking: bool = option(
        True, "Take regions from the last frame; detect when needed", live=True
    )
    detection_interval: int = option(
        15,
        "Images between looks for new people while some are tracked: half a second at 30 Hz; at 4 "
        "Hz take 2",
        low=1,
        high=1000,
        live=True,
    )
    detection_tiles: int = option(
        1,
        "Squares of the image in which the detector looks for people who are small or close to "
        "others, between two looks at the whole; they take turns, each is some 13 ms of one "
        "core; 100: all; 0: none",
        low=0,
        high=100,
        live=True,
    )
    background_detection: bool = option(
        False,
        "Look for new people beside the work on the networks, and take them in one image later: "
        "no image waits for the detector while people are tracked",
        live=True,
    )
    prediction_time: float = option(
        0.3,
        "How long somebody out of sight is predicted before being lost, two or three times the "
        "interval of the images at least; 0: not at all [s]",
        low=0.0,
        high=10.0,
        live=True,
    )
    smoothing: bool = option(
        False, "Smooth people in 3D over time (one euro filter); off: as estimated", live=True
    )
    smoothing_min_cutoff: float = option(
        1.5,
        "Cut-off of the smoothing at rest; lower: smoother, more lag [Hz]",
        low=0.01,
        high=100.0,
        live=True,
    )
    smoothing_beta: float = option(
        5.0,
        "How much the cut-off grows with speed; higher: less lag [Hz per m/s]",
        low=0.0,
        high=100.0,
        live=True,
    )
    field_of_view: float = option(
        1.05,
        "Horizontal field of view assumed without intrinsics; 0: none [rad]",
        low=0.0,
        high=3.0,
    )
