"""Redraw the tables between marks in Markdown files from the JSON files that they name."""

import argparse
from pathlib import Path

from pandapose_ros.evaluation.tables import redraw


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pandapose tables`."""
    parser.add_argument("files", nargs="+", type=Path, help="Markdown files")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if the tables are outdated"
    )


def run(args: argparse.Namespace) -> int:
    """Redraw the tables; return 1 if some were not up to date and only checking was asked for."""
    outdated = []
    for path in args.files:
        text = path.read_text(encoding="utf-8")
        drawn = redraw(text, path.parent)
        if drawn == text:
            continue
        outdated.append(path)
        if not args.check:
            path.write_text(drawn, encoding="utf-8")
    for path in outdated:
        print(f"{path} {'is not up to date' if args.check else 'redrawn'}")
    return int(bool(args.check and outdated))
