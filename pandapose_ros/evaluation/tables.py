"""Tables in Markdown from the JSON files of evaluations, between marks in the text.

A mark names the kind of table and the file, relative to the text's folder or one above it:

    <!-- table: scores benchmark/results/test.json -->
    ...
    <!-- end of table -->
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pandapose_ros.evaluation.paper import PAPER_ARMS, PAPER_OFFSETS_MM
from pandapose_ros.evaluation.speed_tables import SPEED_TABLES

Report = Mapping[str, Any]
# Rows of cells, the head first.
Table = list[list[str]]

# What a table does not compare is that of the whole network in all its rows.
_WHOLE = {"anchors": "both", "lifting": "joint", "depth_head": "bins", "sampling": "prior"}
# And what most of the networks have, as the whole one may have any number of these.
_NUMBERS = ("depth_bins", "layers")
_SUBSETS = ("all", "challenging", "rest")
_BEGIN = r"<!-- table: (?P<kind>\w+) (?P<file>\S(?:(?! -->)[^\n])*) -->\n"
_END = "<!-- end of table -->"
# Up to the next mark of either kind: the end of another table is not this one's.
_MARK = re.compile(rf"({_BEGIN})(?:(?!<!-- table: ).)*?({_END})", re.S)


def redraw(text: str, folder: Path) -> str:
    """Return a Markdown text with the tables between its marks drawn anew.

    Args:
        text: With any number of marks.
        folder: Where the text lies; files are looked for there and in the folders above.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a mark is not complete or has no end, a kind of table is unknown, or a file
            is no JSON or lacks its numbers.
    """
    for line in re.findall(r"^<!-- table:.*\n?", text, re.M):
        if not re.fullmatch(_BEGIN, line):
            raise ValueError(f"expected '<!-- table: KIND FILE -->', got '{line.strip()}'")
    ended = {match.start() for match in _MARK.finditer(text)}
    for match in re.finditer(_BEGIN, text):
        if match.start() not in ended:
            raise ValueError(f"no '{_END}' after '{match[0].strip()}': write it below the table")

    def table(match: re.Match[str]) -> str:
        path = _find(match["file"], folder)
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}; write it anew") from error
        try:
            rows = draw_table(match["kind"], report)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{path} has no numbers for '{match['kind']}': {error!r}") from error
        lines = f"\n{markdown(rows)}\n"
        if command := report.get("command"):
            lines += f"\n`{command}`\n"
        return f"{match[1]}{lines}\n{match[4]}"

    return _MARK.sub(table, text)


def draw_table(kind: str, report: Report) -> Table:
    """Return a table of a report.

    Args:
        kind: scores (all subsets), joints, actions, noise, video, or what was varied and is to
            stand beside the paper's numbers: anchors, lifting, depth_head, sampling, layers; or
            of a benchmark: speed (over DDS), latency (that in short), stages, networks, one_pass,
            paper, anchor_cost, machine.
        report: As `pandapose evaluate` or `pandapose benchmark` writes it.

    Raises:
        ValueError: If the kind is unknown.
    """
    match kind:
        case "scores":
            return _scores(report)
        case "joints":
            return _by(report, "by_joint", "joint")
        case "actions":
            return _by(report, "by_action", "action")
        case "noise":
            return _noise(report)
        case "video":
            return _videos(report)
    if kind in PAPER_ARMS or kind in SPEED_TABLES:
        return SPEED_TABLES[kind](report) if kind in SPEED_TABLES else _arms(kind, report)
    known = ["scores", "joints", "actions", "noise", "video", *PAPER_ARMS, *SPEED_TABLES]
    raise ValueError(f"unknown table '{kind}'; expected one of {known}")


def overview(report: Report) -> Iterator[tuple[str, Table]]:
    """Return title and rows of the tables to show after an evaluation."""
    if "dataset" in report:
        dataset = report["dataset"]
        found = f"found {dataset['found']} of {dataset['samples']} people"
        error = report.get("keypoint_error_px")
        title = f"{dataset['name']}: {found}" + ("" if error is None else f", 2D error {error} px")
        yield title, _scores(report)
        if any(result.get("noise") for result in report["results"]):
            yield "MPJPE by noise on the keypoints", _noise(report)
    if "videos" in report:
        yield "videos", _videos(report)


def markdown(table: Table) -> str:
    """Return a table as Markdown, the first column to the left, numbers to the right."""
    head, *rows = table
    ruler = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ruler, *rows))


def _find(name: str, folder: Path) -> Path:
    """Return a file named in a text."""
    for place in (folder, *folder.resolve().parents):
        if (place / name).is_file():
            return place / name
    raise FileNotFoundError(f"no file {name} for a table, in {folder} or above")


def _number(value: float | None, digits: int) -> str:
    """Format a number; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def _scores(report: Report) -> Table:
    """Return the errors of all networks on all subsets."""
    rows = [["", "samples", "MPJPE mm", "PA-MPJPE mm", "PCK@150", "AUC"]]
    for subset in _SUBSETS:
        for result in report["results"]:
            scores = result[subset]
            if scores["samples"]:
                rows.append(
                    [
                        f"{result['name']}, {subset}",
                        str(scores["samples"]),
                        _number(scores["mpjpe_mm"], 1),
                        _number(scores["pa_mpjpe_mm"], 1),
                        _number(scores["pck_150mm"], 3),
                        _number(scores["auc_150mm"], 3),
                    ]
                )
    return rows


def _by(report: Report, key: str, title: str) -> Table:
    """Return MPJPE and PA-MPJPE by joint or action, a column for each network."""
    results = report["results"]
    rows = [[title, *(result["name"] for result in results)]]
    for name in results[0][key]:
        cells = (result[key][name] for result in results)
        rows.append([name, *(f"{c['mpjpe_mm']:.1f} / {c['pa_mpjpe_mm']:.1f}" for c in cells)])
    if key == "by_action":
        means = [result["all"]["mean_over_actions"] for result in results]
        rows.append(["mean", *(f"{m['mpjpe_mm']:.1f} / {m['pa_mpjpe_mm']:.1f}" for m in means)])
    return rows


def _noise(report: Report) -> Table:
    """Return MPJPE by noise."""
    results = [result for result in report["results"] if result.get("noise")]
    levels = [point["noise_px"] for point in results[0]["noise"]]
    return [
        ["noise px", *(f"{level:g}" for level in levels)],
        *(
            [result["name"], *(_number(point["mpjpe_mm"], 1) for point in result["noise"])]
            for result in results
        ),
    ]


def _videos(report: Report) -> Table:
    """Return the figures of videos."""
    rows = [["", "frames", "bones %", "2D %", "flips", "legs", "arms"]]
    for video in report["videos"]:
        for result in video["results"]:
            share = result["reprojection_share"]
            rows.append(
                [
                    f"{video['video']}, {result['name']}",
                    f"{video['found']}/{video['frames']}",
                    _number(100 * result["bone_length_cv"], 1),
                    _number(None if share is None else 100 * share, 1),
                    *(str(result[name]) for name in ("flips", "leg_flips", "arm_flips")),
                ]
            )
    return rows


def _arms(kind: str, report: Report) -> Table:
    """Return the networks of an ablation beside the paper's numbers."""
    rows = [
        [kind, "MPJPE mm", "challenging", "PA-MPJPE mm", "challenging", "offset mm", "paper",
         "challenging", "offset"]
    ]  # fmt: skip
    networks = [result for result in report["results"] if "config" in result]
    for result in networks:
        if _is_of_another_table(kind, result, networks):
            continue
        arm = str(result["config"]["depth_bins" if _has_bins(kind, result) else kind])
        paper = PAPER_ARMS[kind].get(arm, (None, None))
        hard = result["challenging"]
        offsets = result.get("anchor_offsets_mm", {})
        rows.append(
            [
                arm + _prior(result),
                _number(result["all"]["mpjpe_mm"], 1),
                _number(hard.get("mpjpe_mm"), 1),
                _number(result["all"]["pa_mpjpe_mm"], 1),
                _number(hard.get("pa_mpjpe_mm"), 1),
                _number(offsets.get("all"), 1),
                _number(paper[0], 1),
                _number(paper[1], 1),
                _number(PAPER_OFFSETS_MM.get(arm) if kind == "anchors" else None, 1),
            ]
        )
    return rows


def _is_of_another_table(kind: str, result: Report, networks: list[Report]) -> bool:
    """Return whether a network differs from the whole one in other ways than this table's."""
    whole = dict(_WHOLE)
    for name in _NUMBERS:
        counts = Counter(network["config"].get(name) for network in networks)
        whole[name] = counts.most_common(1)[0][0]
    varied = {kind, "depth_bins"} if kind == "depth_head" else {kind}
    others = {name: value for name, value in whole.items() if name not in varied}
    return any(result["config"].get(name, value) != value for name, value in others.items())


def _has_bins(kind: str, result: Report) -> bool:
    """Return whether an arm of the depth head is named by its number of bins."""
    return kind == "depth_head" and result["config"]["depth_head"] == "bins"


def _prior(result: Report) -> str:
    """Return a remark for direct regression whose queries the 2D pose does not place."""
    config = result["config"]
    is_learned = config.get("joint_places") == "learned" and config.get("anchors") == "none"
    return ", without 2D prior" if is_learned else ""
