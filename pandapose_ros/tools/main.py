"""The program `pandapose`: one subcommand per module of this folder."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from pandapose_ros.tools.remedies import packages_remedy

# Modules are imported only when called: PyTorch alone takes over a second to load.
_COMMANDS = {
    "demo": "run camera, node and recorder as ROS 2 processes on a clip and draw the result",
    "view": "show skeletons, anchors and the camera's image in a browser",
    "estimate": "estimate skeletons in pictures or a video, without ROS",
    "bag": "estimate skeletons in a recording (rosbag2) and write them into another",
    "doctor": "check everything that running needs, and say what to do",
    "fetch-models": "download and check MediaPipe's model files",
    "export": "write the network as ONNX",
    "benchmark": "measure every stage, and from image to skeleton over ROS 2",
    "parameters": "write the reference page of the nodes' parameters",
    "train-landmarks": "fine-tune the 2D landmark net on rendered people",
    "train": "train the lifter",
    "export-weights": "write the averaged weights of a training as a file to distribute",
    "evaluate": "score networks side by side on a data set, or on videos without truth",
    "tables": "redraw the tables of Markdown files from the results of evaluations",
    "calibrate": "fit the joints' covariances to rendered images with exact joints",
    "bake": "make dressed bodies for the renderer",
    "synthesize": "render people with exact joints, for training and testing",
    "furnish": "render rooms full of furniture without people, as negatives for training",
    "render-demo": "render the demo's clip again",
}

# These have the cores to themselves, and wait for a thread many thousand times a second.
_ALONE = ("train", "train-landmarks")

_SIGPIPE_CODE = 141  # of a program that the signal ends, in a shell


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: Arguments after the program's name; None: those of the process.

    Returns:
        The exit code, 0 on success; errors that a user can fix are printed as one line.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    listing = "\n".join(f"  {name:17}{text}" for name, text in _COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="pandapose",
        description="Metric 3D human poses from single images, in ROS 2 and without.",
        epilog=f"commands:\n{listing}\n\n`pandapose COMMAND --help` lists its options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=_COMMANDS, metavar="COMMAND")
    command = parser.parse_args(arguments[:1]).command
    if command not in _ALONE:
        # Threads that spin while they wait starve camera, node and listener of each other's
        # cores: with two cores busy a frame takes twenty times as long. Read when PyTorch is
        # loaded, so set here.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        module = importlib.import_module(f"pandapose_ros.tools.{command.replace('-', '_')}")
        options = argparse.ArgumentParser(f"pandapose {command}", description=module.__doc__)
        module.add_arguments(options)
        code = module.run(options.parse_args(arguments[1:]))
        sys.stdout.flush()  # here, where an error is still answered
        return code
    except BrokenPipeError:  # as of `pandapose doctor | head -1`
        # Python would flush once more when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _SIGPIPE_CODE
    except ModuleNotFoundError as error:
        message = f"{error}: {packages_remedy()}"
    except (OSError, ValueError) as error:
        message = str(error)
    except KeyboardInterrupt:
        return 130
    print(f"pandapose {command}: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
