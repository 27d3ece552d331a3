"""Write the weights of a training, averaged over its steps, as a file to distribute."""

import argparse
from pathlib import Path

import torch
from torch import nn

from pandapose_ros.checkpoint import (
    CONFIG_KEY,
    SKELETON_KEY,
    load_weights,
    read_config,
    save_weights,
)
from pandapose_ros.landmark_weights import VERIFIER_PREFIX, has_backbone, open_landmark_net
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.training.loop import WEIGHTS_FILE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose export-weights`."""
    parser.add_argument("run", help="folder of `pandapose train`, or a file of weights")
    parser.add_argument("--out", required=True, help="file to write (.safetensors)")
    parser.add_argument(
        "--name", required=True, help="name of the model, published in SkeletonInfo"
    )
    parser.add_argument(
        "--version", required=True, help="version of the weights, published in SkeletonInfo"
    )
    parser.add_argument(
        "--landmarks",
        type=Path,
        help="landmark net to store instead of the run's; only visibilities or presence may "
        "differ",
    )
    parser.add_argument("--half", action="store_true", help="store float16 instead of float32")


def run(args: argparse.Namespace) -> int:
    """Write the file.

    Args:
        args: As declared by `add_arguments`.

    Returns:
        Exit code 0.
    """
    source, out = Path(args.run), Path(args.out)
    source = source / WEIGHTS_FILE if source.is_dir() else source
    # MediaPipe's own weights are in its file; only fine-tuned ones are written.
    is_tuned = has_backbone(source) or args.landmarks
    backbone = open_landmark_net(source) if is_tuned else nn.Identity()
    net = PandaPose(read_config(source), backbone)
    metadata = load_weights(source, net)
    if args.landmarks:
        _replace_landmark_net(net, args.landmarks)
    if args.half:
        net = net.half()
        _refuse_overflow(net)
    kept = {k: v for k, v in metadata.items() if k not in (CONFIG_KEY, SKELETON_KEY)}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(out, net, {**kept, "name": args.name, "version": args.version})
    print(f"{out}: {args.name} {args.version}, {out.stat().st_size / 1e6:.1f} MB")
    return 0


def _replace_landmark_net(net: PandaPose, path: Path) -> None:
    """Put another landmark net in; raise ValueError if the lifter would see other features."""
    other = open_landmark_net(path)
    heads = (other.landmark_head(), other.presence_head())
    of_no_matter = {id(parameter) for head in heads for parameter in head.parameters()}
    trained_on, given = dict(net.backbone.named_parameters()), dict(other.named_parameters())
    for name in sorted(trained_on.keys() | given.keys()):
        if id(given.get(name)) in of_no_matter or name.startswith(VERIFIER_PREFIX):
            continue
        is_same = name in given and name in trained_on
        if not is_same or not torch.equal(trained_on[name], given[name]):
            raise ValueError(
                f"{path} gives other features or keypoints than the lifter was trained on ({name} "
                "differs); make it with `pandapose train-landmarks --visibilities-only`, or "
                "`--presence-only`"
            )
    net.backbone = other


def _refuse_overflow(net: PandaPose) -> None:
    """Raise ValueError if a number is too great for 16 bits."""
    for key, tensor in net.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{key} is not finite in 16 bits; leave out --half")
