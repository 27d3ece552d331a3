"""Do to the node what robots, cameras and networks do, and write down what becomes of it.

Run: .venv/bin/python benchmark/reliability.py [--soak 600] [--only FAULT ...]

Real processes over real DDS. Writes one entry for each fault: what was done, what was seen, the
bound, and whether it held. Entries of faults that were not tried stay as they are.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reliability_bench import ROOT, Bench
from reliability_faults import camera_restart, clock_jumps, floods, node_restart, parameter_storm
from reliability_fuzz import fuzz_compressed, fuzz_raw, sizes
from reliability_load import overload, soak, thirty_people

PARTS = ("fuzz", "compressed", "sizes", "faults", "people", "soak")


@dataclass(frozen=True)
class Effort:
    """Say how much is done of each.

    Attributes:
        images: Fuzzed images.
        infos: Fuzzed camera_info.
        depths: Fuzzed depth images.
        compressed: Fuzzed compressed images.
        overload: Seconds with a camera that is too fast.
        storm: Seconds of parameter changes, and of floods.
        soak: Seconds of the soak.
        crowds: Images of thirty people.
    """

    images: int = 900
    infos: int = 400
    depths: int = 200
    compressed: int = 500
    overload: float = 120.0
    storm: float = 5.0
    soak: float = 600.0
    crowds: int = 10


QUICK = Effort(60, 12, 8, 60, overload=5.0, storm=1.0, soak=4.0, crowds=2)


def try_faults(bench: Bench, effort: Effort) -> Iterator[dict]:
    """Do everything to one node that it has to survive, and kill it at the end."""
    node = bench.start_pose_node(image_timeout=1.0)
    yield overload(bench, node, effort.overload)
    yield camera_restart(bench, node)
    yield clock_jumps(bench, node)
    yield parameter_storm(bench, node, effort.storm)
    yield floods(bench, node, effort.storm)
    result, node = node_restart(bench, node)
    yield result
    bench.end_pose_node(node)


def try_soak(bench: Bench, effort: Effort) -> Iterator[dict]:
    """Let a new node work for long."""
    node = bench.start_pose_node()
    yield soak(bench, node, effort.soak)
    bench.end_pose_node(node)


def run(
    parts: list[str], effort: Effort, logs: Path | None, write: Callable[[dict], None]
) -> bool:
    """Try the parts, hand over each result, and return whether all bounds held."""
    with tempfile.TemporaryDirectory() as temporary:
        if logs:
            logs.mkdir(parents=True, exist_ok=True)
        bench = Bench(logs or Path(temporary))
        passed = True
        try:
            for part in parts:
                results: Iterator[dict] = {
                    "fuzz": lambda: iter(
                        [fuzz_raw(bench, effort.images, effort.infos, effort.depths)]
                    ),
                    "compressed": lambda: iter([fuzz_compressed(bench, effort.compressed)]),
                    "sizes": lambda: iter([sizes(bench)]),
                    "faults": lambda: try_faults(bench, effort),
                    "people": lambda: iter([thirty_people(bench, effort.crowds)]),
                    "soak": lambda: try_soak(bench, effort),
                }[part]()
                for result in results:
                    write(result)
                    passed = passed and result["passed"]
        finally:
            bench.close()
    return passed


def main() -> int:
    """Run what was asked for; return 0 if every bound held."""
    parser = argparse.ArgumentParser(
        description="Do to the node what robots, cameras and networks do"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="a few seconds of each")
    parser.add_argument("--soak", type=float, help="seconds of the soak")
    out = ROOT / "benchmark" / "results" / "reliability.json"
    parser.add_argument("--out", type=Path, default=out)
    parser.add_argument("--logs", type=Path, help="folder to keep the nodes' logs in")
    args = parser.parse_args()
    effort = QUICK if args.quick else Effort()
    if args.soak is not None:
        effort = Effort(**{**vars(effort), "soak": args.soak})
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def write(result: dict) -> None:
        content = json.loads(args.out.read_text()) if args.out.exists() else {"faults": []}
        load = round(os.getloadavg()[0], 1)
        result |= {"load_average": load}
        kept = [old for old in content["faults"] if old["fault"] != result["fault"]]
        machine = (
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        )
        content = {"machine": machine, "faults": [*kept, result]}
        args.out.write_text(json.dumps(content, indent=1) + "\n")

    return 0 if run(args.only, effort, args.logs, write) else 1


if __name__ == "__main__":
    sys.exit(main())
