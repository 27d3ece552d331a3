"""Plots of the numbers that `pandapose evaluate` writes; matplotlib is loaded only here."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pandapose_ros.evaluation.scores import PCK_THRESHOLDS_MM

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# One evaluation as read from JSON.
Report = Mapping[str, Any]


def require_matplotlib() -> None:
    """Raise ValueError if plots cannot be drawn, with the remedy."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("plots need matplotlib: pip install matplotlib, or leave out --plots")


def draw_plots(report: Report, folder: Path) -> list[Path]:
    """Draw all plots that a report has the numbers for.

    Args:
        report: As `pandapose evaluate` writes it.
        folder: To write PNG files into.

    Returns:
        The files.

    Raises:
        ValueError: If matplotlib is missing.
    """
    require_matplotlib()
    folder.mkdir(parents=True, exist_ok=True)
    results = report.get("results", [])
    noisy = [result for result in results if result.get("noise")]
    videos = [result for video in report.get("videos", []) for result in video["results"]]
    written = []
    for name, chosen, draw, size in (
        ("pck", results, _pck, (6, 4)),
        ("joints", results, _joints, (10, 4)),
        ("subsets", results, _subsets, (8, 4)),
        ("noise", noisy, _noise, (6, 4)),
        ("bones", videos, _bones, (10, 4)),
    ):
        if chosen:
            written.append(_draw(folder / f"{name}.png", chosen, draw, size))
    return written


def _draw(
    path: Path,
    results: Sequence[Report],
    draw: "Callable[[Axes, Sequence[Report]], None]",
    size: tuple[float, float],
) -> Path:
    """Draw one plot into a file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    draw(axes, results)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)
    return path


def _pck(axes: "Axes", results: Sequence[Report]) -> None:
    """Draw the share of joints below each error."""
    for result in results:
        label = f"{result['name']} (AUC {result['all']['auc_150mm']:.3f})"
        axes.plot(PCK_THRESHOLDS_MM, result["pck_curve"], label=label)
    axes.set(xlabel="error below [mm]", ylabel="share of joints", xlim=(0, 150), ylim=(0, 1))


def _joints(axes: "Axes", results: Sequence[Report]) -> None:
    """Draw the error of every joint as bars, networks side by side."""
    _bars(axes, {r["name"]: {j: s["mpjpe_mm"] for j, s in r["by_joint"].items()} for r in results})
    axes.set_ylabel("MPJPE [mm]")


def _subsets(axes: "Axes", results: Sequence[Report]) -> None:
    """Draw the error over all, challenging and other samples."""
    subsets = [name for name in ("all", "challenging", "rest") if results[0][name]["samples"]]
    values = {
        result["name"]: {
            f"{measure}, {name}": result[name][key]
            for measure, key in (("MPJPE", "mpjpe_mm"), ("PA-MPJPE", "pa_mpjpe_mm"))
            for name in subsets
        }
        for result in results
    }
    _bars(axes, values)
    axes.set_ylabel("error [mm]")


def _noise(axes: "Axes", results: Sequence[Report]) -> None:
    """Draw the error by noise on the keypoints, as the paper's figure 9."""
    for result in results:
        levels = [point["noise_px"] for point in result["noise"]]
        errors = [point["mpjpe_mm"] for point in result["noise"]]
        axes.plot(levels, errors, marker="o", label=result["name"])
    axes.set(xlabel="Gaussian noise on the keypoints [px of the crop]", ylabel="MPJPE [mm]")
    greatest = max(point["mpjpe_mm"] for result in results for point in result["noise"])
    axes.set_ylim(0, 1.1 * greatest)


def _bones(axes: "Axes", results: Sequence[Report]) -> None:
    """Draw how much the length of each bone varies over a video."""
    values = {
        f"{r['name']} (mean {100 * r['bone_length_cv']:.1f} %)": {
            joint: 100 * value for joint, value in r["by_bone"].items()
        }
        for r in results
    }
    _bars(axes, values)
    axes.set_ylabel("coefficient of variation of bone length [%]")


def _bars(axes: "Axes", values: Mapping[str, Mapping[str, float]]) -> None:
    """Draw groups of bars: one colour for each of `values`, one group for each of its keys."""
    labels = list(next(iter(values.values())))
    width = 0.8 / len(values)
    for i, (name, bars) in enumerate(values.items()):
        places = [place - 0.4 + width * (i + 0.5) for place in range(len(labels))]
        axes.bar(places, [bars[label] for label in labels], width, label=name)
    axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right")
