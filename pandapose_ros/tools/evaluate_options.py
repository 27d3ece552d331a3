"""The options of `pandapose evaluate`, and the command that reproduces a result."""

import argparse
import math
import shlex
from dataclasses import replace
from pathlib import Path

from pandapose_ros.config import MOST_CROPS, EstimatorConfig, EvaluationConfig
from pandapose_ros.data.challenging import ErrorUnit, Reduction
from pandapose_ros.evaluation.views import KeypointSource
from pandapose_ros.packaged_weights import PACKAGED_WEIGHTS, find_weights

_WITHOUT_EFFECT = ("help", "plots", "cache", "threads")  # on the numbers
_DATASETS = ("synthetic", "clip", "motion", "human36m", "mpi-inf-3dhp", "3dpw")


def declare_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose evaluate`."""
    config = EvaluationConfig()
    data = parser.add_argument_group("what to score on")
    data.add_argument("--dataset", choices=_DATASETS, default="", help="kind of --data")
    data.add_argument(
        "--data", nargs="+", type=Path, default=[], metavar="PATH", help="folders of `pandapose "
        "synthesize`; rendered videos with their truth beside them; an npz of motion clips, whose "
        "last ones are scored as skeletons; label files of Human3.6M (h36m_*.pkl), MPI-INF-3DHP "
        "(data_*_3dhp.npz) or 3DPW (sequences)")  # fmt: skip
    data.add_argument("--images", type=Path, help="image folder of Human3.6M, MPI-INF-3DHP or "
                      "3DPW; without it BlazePose's networks get no image")  # fmt: skip
    data.add_argument("--every", type=int, default=1, help="score every N-th sample only")
    data.add_argument("--held-out-share", type=float, help="fraction of the clips of each kind of "
                      "motion that is scored (default: as in training)")  # fmt: skip
    data.add_argument("--video", nargs="+", type=Path, default=[], help="videos without truth")
    data.add_argument("--fov", type=float, default=EstimatorConfig().field_of_view,
                      help="horizontal field of view of their camera [rad]")  # fmt: skip
    nets = parser.add_argument_group("what to score")
    nets.add_argument("--weights", nargs="+", default=[EstimatorConfig().weights],
                      metavar="[NAME=]FILE", help="weights files (.safetensors) or packaged ones: "
                      f"{', '.join(PACKAGED_WEIGHTS)}; not given: the first")  # fmt: skip
    nets.add_argument("--backbone-weights", type=Path, help="COCO file for networks on HRNet")
    nets.add_argument("--keypoints", choices=[source.value for source in KeypointSource],
                      default="", help="2D pose to lift: detected by BlazePose, given by the "
                      "data set, or true (default: detected; with HRNet: given)")  # fmt: skip
    nets.add_argument("--detections", choices=("cpn", "hrnet"), default="cpn",
                      help="whose 2D pose Human3.6M gives (hrnet: Table 10)")  # fmt: skip
    nets.add_argument("--flip-test", action="store_true", help="average with the mirrored crop")
    nets.add_argument("--crops-per-person", type=int, choices=range(1, MOST_CROPS + 1),
                      metavar="N", default=1, help="take the medians over N crops, as the "
                      "node's parameter of this name does; for BlazePose too")  # fmt: skip
    nets.add_argument("--noise", nargs="*", type=float, metavar="PX", help="lift with noise on "
                      f"keypoints too, crop pixels (default: {config.noise_px})")  # fmt: skip
    _declare_rule(parser.add_argument_group("which samples are challenging"), config)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--plots", type=Path, help="folder for plots; needs matplotlib")
    parser.add_argument("--cache", type=Path, help="folder to cache the backbone's outputs")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: PyTorch's choice)")


def _declare_rule(rule: argparse._ArgumentGroup, config: EvaluationConfig) -> None:
    """Declare the options that say which samples are challenging."""
    rule.add_argument("--challenging-threshold", type=float, default=config.challenging_threshold,
                      help="2D error above which a sample is challenging, in its unit "
                      f"({config.challenging_threshold:g})")  # fmt: skip
    rule.add_argument("--challenging-unit", choices=[unit.value for unit in ErrorUnit],
                      default=config.challenging_unit, help="unit of that error: pixels of crop "
                      "or image, or a share of the person's height, in per cent "
                      f"({config.challenging_unit})")  # fmt: skip
    rule.add_argument("--challenging-reduction", choices=[r.value for r in Reduction],
                      default=config.challenging_reduction, help="how the errors of a sample's "
                      f"keypoints are combined ({config.challenging_reduction})")  # fmt: skip
    rule.add_argument("--challenging-in", type=Path, help="use the samples of this file instead")
    rule.add_argument("--challenging-out", type=Path, help="write their list to this file")


def check(args: argparse.Namespace) -> None:
    """Raise ValueError if there is nothing to score on, or options are wrong or do not agree."""
    if bool(args.dataset) != bool(args.data) or not (args.data or args.video):
        raise ValueError("nothing to score on; give --dataset with --data, or --video")
    numbers = {"noise": args.noise or [], "challenging-threshold": [args.challenging_threshold]}
    for option, values in numbers.items():
        for value in values:
            if not 0 <= value < math.inf:  # so written, NaN is out of range too
                raise ValueError(f"--{option}: expected 0 or more, and finite; got {value}")
    single = {
        "--flip-test": args.flip_test,
        "--noise": args.noise is not None,
        "--cache": args.cache is not None,
        "--video": bool(args.video),
        f"--keypoints {args.keypoints}": args.keypoints not in ("", "detected"),
        "--dataset motion": args.dataset == "motion",
    }
    given = [option for option, is_given in single.items() if is_given]
    if args.crops_per_person > 1 and given:
        raise ValueError(f"--crops-per-person is not for {given[0]}; leave one of them out")


def evaluation_config(args: argparse.Namespace) -> EvaluationConfig:
    """Return the defaults, changed as the options say."""
    return replace(
        EvaluationConfig(),
        challenging_threshold=args.challenging_threshold,
        challenging_unit=args.challenging_unit,
        challenging_reduction=args.challenging_reduction,
        noise_px=tuple(args.noise or EvaluationConfig().noise_px),
    )


def named_weights(weights: list[str]) -> list[tuple[str, Path]]:
    """Return names and files; without NAME=, the file's stem, with its folder if not unique."""
    # Folders may be called "lr=1e-3", too.
    has_name = ["=" in text and not Path(text).is_file() for text in weights]
    pairs = [
        text.partition("=")[::2] if has else ("", text)
        for text, has in zip(weights, has_name, strict=True)
    ]
    paths = [find_weights(path) for _, path in pairs]
    stems = [path.stem for path in paths]
    names = [
        path.stem if stems.count(path.stem) == 1 else f"{path.resolve().parent.name}/{path.stem}"
        for path in paths
    ]
    return [
        (given or name, path) for (given, _), name, path in zip(pairs, names, paths, strict=True)
    ]


def command(args: argparse.Namespace) -> str:
    """Return the command that reproduces these numbers."""
    parser = argparse.ArgumentParser()
    declare_options(parser)
    words = ["pandapose", "evaluate"]
    for action in parser._actions:
        value = getattr(args, action.dest, None)
        if action.dest in _WITHOUT_EFFECT or value == action.default or value is False:
            continue
        words.append(action.option_strings[0])
        if value is not True:
            words += [str(v) for v in (value if isinstance(value, list) else [value])]
    return shlex.join(words)
