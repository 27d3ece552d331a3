"""Rows of tables about speed, from the JSON that `pandapose benchmark` writes."""

from collections.abc import Callable, Mapping
from typing import Any

_STAGES = ("detect", "bodies", "landmarks", "lifter", "one_pass", "place_and_track")
_STEPS = ("receive", "decode", "estimate", "message", "publish")


def speed(report: Mapping[str, Any]) -> list[list[str]]:
    """Return the runs over DDS: from an image's stamp to its skeletons in another process."""
    rows = [
        ["image, people, input", "Hz", "p50 ms", "p95 ms", "p99 ms", "mean / min / max ms",
         "jitter ms", "missed", *(f"{step} p50 ms" for step in _STEPS), "around estimate ms",
         "cores", "RSS MB"]
    ]  # fmt: skip
    for case in report["end_to_end"]:
        rate, latency, steps = case["input_hz"], case["latency"], case["steps"]
        around = latency["p50"] - steps["estimate"]["p50"] if "estimate" in steps else None
        sent_at = rate if isinstance(rate, str) else f"{rate:g} Hz"
        rows.append(
            [
                f"{case['size']}, {_people(case)}, {sent_at}",
                f"{case['rate_hz']:.1f}",
                *(_ms(latency, name) for name in ("p50", "p95", "p99")),
                " / ".join(_ms(latency, name) for name in ("mean", "min", "max")),
                _ms(latency, "jitter"),
                f"{case['missed_frames']}/{case['sent']}",
                *(_ms(steps.get(step, {}), "p50") for step in _STEPS),
                "-" if around is None else f"{around:.1f}",
                f"{case['cpu_cores']:.2f}",
                f"{case['rss_mb']:.0f}",
            ]
        )
    return rows


def latency(report: Mapping[str, Any]) -> list[list[str]]:
    """Return the runs over DDS in short, and MediaPipe's time on the same images."""
    names, *cases = speed(report)
    kept = [names[0], "p50 ms", "p95 ms", "Hz", "cores", "RSS MB"]
    rows = [kept]
    rows += [[dict(zip(names, case, strict=True))[name] for name in kept] for case in cases]
    for case in report["mediapipe"]:
        times = [_ms(case["frame"], name) for name in ("p50", "p95")]
        rows.append([f"MediaPipe alone, {case['size']}, 1", *times, "-", "-", "-"])
    return rows


def stages(report: Mapping[str, Any]) -> list[list[str]]:
    """Return whole images in tracking mode without ROS, their stages, and MediaPipe's time."""
    stages = [stage for stage in _STAGES if any(stage in case for case in report["frames"])]
    rows = [["image, people", "p50 ms", "p95 ms", "Hz", *(f"{s} p50 ms" for s in stages)]]
    for case in report["frames"]:
        rows.append(
            [
                f"{case['size']}, {case['people']:g}",
                *(_ms(case["frame"], name) for name in ("p50", "p95")),
                f"{case['rate_hz']:.1f}",
                *(_ms(case[stage], "p50") for stage in stages),
            ]
        )
    for case in report["mediapipe"]:
        frame = case["frame"]
        rows.append(
            [
                f"MediaPipe {case['version']}, {case['size']}, 1",
                *(_ms(frame, name) for name in ("p50", "p95")),
                f"{1e3 / frame['mean']:.1f}",
                *("-" for _ in stages),
            ]
        )
    return rows


def networks(report: Mapping[str, Any]) -> list[list[str]]:
    """Return the networks alone by batch, beside eager PyTorch in the same run."""
    rows = [
        ["people", f"landmarks p50 ms, {report['runtime']}", "eager", "lifter p50 ms", "eager",
         "RSS MB"]
    ]  # fmt: skip
    for case in report["networks"]:
        names = ("runtime_landmarks", "eager_landmarks", "runtime_lifter", "eager_lifter")
        times = (_ms(case.get(name, {}), "p50") for name in names)
        rows.append([str(case["people"]), *times, f"{case['memory_mb']['rss_peak']:.0f}"])
    return rows


def one_pass(report: Mapping[str, Any]) -> list[list[str]]:
    """Return both networks in one pass by batch, beside eager PyTorch, and the memory."""
    rows = [["people", "one pass p50 ms", "p95 ms", "eager p50 ms", "people/s", "MB"]]
    for case in report["networks"]:
        runtime, memory = case["runtime_both"], case["memory_mb"]
        rows.append(
            [
                str(case["people"]),
                *(_ms(runtime, name) for name in ("p50", "p95")),
                _ms(case["eager_both"], "p50"),
                f"{case['people_per_s']:.0f}",
                f"{memory.get('vram_reserved', memory['rss_peak']):.0f}",
            ]
        )
    return rows


def paper(report: Mapping[str, Any]) -> list[list[str]]:
    """Return the paper's network by batch, beside eager PyTorch."""
    rows = [["people", "precision", "p50 ms", "people/s", "eager p50 ms", "people/s"]]
    for case in report["paper"]:
        rates = case["people_per_s"]
        rows.append(
            [
                str(case["people"]),
                case["precision"],
                _ms(case["runtime"], "p50"),
                f"{rates['runtime']:.1f}",
                _ms(case["eager"], "p50"),
                f"{rates['eager']:.1f}",
            ]
        )
    return rows


def anchor_cost(report: Mapping[str, Any]) -> list[list[str]]:
    """Return how the eager lifter's time grows with its anchors."""
    cases = report["anchors"]
    return [
        ["anchors", *(str(case["anchors"]) for case in cases)],
        ["lifter p50 ms, eager", *(_ms(case["eager_lifter"], "p50") for case in cases)],
    ]


def machine(report: Mapping[str, Any]) -> list[list[str]]:
    """Return where and with what it was measured."""
    told = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    start = report["end_to_end"][0]["first_skeleton_s"] if report["end_to_end"] else None
    return [
        ["measured on", f"{told['cpu']}, {told['cores']} cores, {told['gpu'] or 'no GPU'}"],
        ["date, commit", f"{report['date']}, {report['commit']}"],
        ["load average before and after", f"{told['load_before']}, {told['load_after']}"],
        ["threads, runtime", f"{told['threads']}, {report['runtime']}"],
        ["Python, PyTorch", f"{told['python']}, {told['torch']}"],
        ["packages", versions],
        ["loading; first skeleton after the node's start", f"{report['load_s']} s; {start} s"],
    ]


SPEED_TABLES: Mapping[str, Callable[[Mapping[str, Any]], list[list[str]]]] = {
    "speed": speed,
    "latency": latency,
    "stages": stages,
    "networks": networks,
    "one_pass": one_pass,
    "paper": paper,
    "anchor_cost": anchor_cost,
    "machine": machine,
}


def _people(case: Mapping[str, Any]) -> str:
    """Return how many people were shown, and how many were seen if not all of them were."""
    shown = str(case["people_shown"])
    seen = f"{case['people']:.1f}"
    return shown if float(seen) == case["people_shown"] else f"{shown} ({seen} seen)"


def _ms(summary: Mapping[str, float], name: str) -> str:
    """Format a time; a dash where it was not measured."""
    return f"{summary[name]:.1f}" if name in summary else "-"
