"""Write the reference page of the nodes' parameters."""

import argparse
from pathlib import Path

from pandapose_ros.config.parameter_docs import parameters_page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose parameters`."""
    parser.add_argument("--out", default="", help="Markdown file to write (default: print it)")


def run(args: argparse.Namespace) -> int:
    """Write or print the page.

    Args:
        args: `out`, as declared by `add_arguments`.

    Returns:
        Exit code, 0.

    Raises:
        FileNotFoundError: If the folder of `out` does not exist.
    """
    page = parameters_page()
    if args.out:
        Path(args.out).expanduser().write_text(page, encoding="utf-8")
    else:
        print(page, end="")
    return 0
