"""Write the network as ONNX, for other runtimes: features and lifter, and the landmark net."""

import argparse
from pathlib import Path

from pandapose_ros.checkpoint import check_hrnet, load_weights, read_config
from pandapose_ros.config import EstimatorConfig
from pandapose_ros.landmark_weights import open_landmark_net
from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model.hrnet import HRNet, load_coco_weights
from pandapose_ros.model.pandapose import PandaPose
from pandapose_ros.packaged_weights import WEIGHTS_CHOICE, find_weights
from pandapose_ros.runtime.export import export_landmark_net, export_whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose export`."""
    parser.add_argument(
        "out",
        type=Path,
        help="OUT.onnx: crops [B, 3, 256, 256] (HRNet: 192 wide), RGB in [0, 1], and keypoints "
        "[B, 17, 2] in pixels of the crop -> joints, anchors, weights, offsets; the net that "
        "finds landmarks in crops is written too, if the network uses it, as OUT_landmarks.onnx",
    )
    parser.add_argument("--weights", default=EstimatorConfig().weights, help=WEIGHTS_CHOICE)
    parser.add_argument("--backbone-weights", type=Path, help="COCO file for networks on HRNet")


def run(args: argparse.Namespace) -> int:
    """Export, and print what was written.

    Raises:
        ValueError: If the network is on HRNet, and its COCO file is not given or not its own.
    """
    weights = find_weights(args.weights)
    model = read_config(weights)
    backbone = open_landmark_net(weights) if model.backbone == "blazepose" else None
    network = PandaPose(model, backbone).eval()
    load_weights(weights, network)
    if isinstance(network.backbone, HRNet):
        if args.backbone_weights is None:
            backbone = network.config.backbone
            raise ValueError(f"networks on {backbone} need its COCO file: --backbone-weights")
        load_coco_weights(network.backbone, args.backbone_weights)
        check_hrnet(weights, args.backbone_weights)
    written = {args.out: export_whole(network)}
    if isinstance(network.backbone, BlazePose):
        path = args.out.with_name(f"{args.out.stem}_landmarks.onnx")
        written[path] = export_landmark_net(network.backbone)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for path, content in written.items():
        path.write_bytes(content)
        print(f"{path}: {len(content) / 1e6:.1f} MB")
    return 0
