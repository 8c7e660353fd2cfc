"""What a report of `benchmarks/gpu.py` says, as Markdown: a paragraph in plain English, and tables."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
PEER = "strong peer"
EVEN = 0.02
"""Largest difference from 1 of a ratio that is told as 'no different'."""


def markdown(figures: Row) -> str:
    """Tell a report; sections that were not measured are left out."""
    sections: Row = figures["sections"]
    cells = {name: section.get("cells", []) for name, section in sections.items()}
    tellers: dict[str, Callable[[list[Row]], str]] = {
        "tests": _tests,
        "speed": lambda found: _speed(found, cells.get("machine", [])),
        "profiler": _profiler,
        "together": _together,
        "switches": _switches,
        "machine": _machine,
        "formats": _formats,
    }
    parts = [_paragraph(figures, cells), *(tell(cells[name]) for name, tell in tellers.items() if cells.get(name))]
    notes = [
        f"- {name}, {key.replace('_', ' ')}: {text}"
        for name, section in sections.items()
        for key, texts in section.items()
        if key != "cells"
        for text in texts
    ]
    return "\n\n".join([part for part in parts if part] + (["\n".join(notes)] if notes else []))


def _paragraph(figures: Row, cells: Mapping[str, list[Row]]) -> str:
    """Tell the most important figures in sentences."""
    versions = figures.get("versions", {})
    device = figures["device"]["name"]
    sentences = [f"Measured on one {device}, torch {versions.get('torch', 'unknown')}, {figures.get('date', '')}."]
    tests = [cell for cell in cells.get("tests", []) if "passed" in cell]
    if tests:
        num_passed = sum(bool(cell["passed"]) for cell in tests)
        sentences.append(f"{num_passed} of {len(tests)} tests passed.")
    rates = {(size, way): rate for size, way, rate in _train_rates(cells.get("speed", []))}
    for size in sorted({size for size, _ in rates}):
        ways = {way: rate for (other, way), rate in rates.items() if other == size}
        if "graph" in ways:
            against = [f"{ways['graph'] / ways[way]:.2f} times {way}" for way in ("eager", PEER) if way in ways]
            sentences.append(
                f"At batch {size} a CUDA graph trains {ways['graph']:,.0f} images/s"
                + (f" ({', '.join(against)})." if against else ".")
            )
    for size, found in _by_size(cells.get("together", [])).items():
        best = max(found, key=lambda cell: cell["images_per_second"])
        alone = [cell["images_per_second"] for cell in found if cell["count"] == 1]
        gain = f", {best['images_per_second'] / max(alone):.1f} times one alone" if alone else ""
        sentences.append(
            f"At batch {size} {best['count']} at once as {best['way']} train the most: "
            f"{best['images_per_second']:,.0f} images/s{gain}."
        )
    return " ".join(sentences)


def _train_rates(cells: Sequence[Row]) -> list[tuple[int, str, float]]:
    """List (batch size, way, images per second); of a way measured twice the first figure counts."""
    found: dict[tuple[int, str], float] = {}
    for cell in cells:
        for way, run in cell["figures"].items():
            found.setdefault((cell["batch_size"], way), run["train_images_per_second"]["median"])
    return [(size, way, rate) for (size, way), rate in found.items()]


def _by_size(cells: Sequence[Row]) -> dict[int, list[Row]]:
    sizes = sorted({cell["batch_size"] for cell in cells})
    return {size: [cell for cell in cells if cell["batch_size"] == size] for size in sizes}


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a table; numbers are rounded to three digits, or to whole ones from 100 on."""
    lines = [f"| {' | '.join(columns)} |", f"|:--{'|--:' * (len(columns) - 1)}|"]
    lines += [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]
    return f"{title}:\n\n" + "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    if isinstance(value, Mapping):
        return _cell(value["median"])
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")


def _tests(cells: list[Row]) -> str:
    rows = [(cell["test"], bool(cell["passed"])) for cell in cells if "test" in cell]
    return table("Tests", ("test", "passed"), rows)


def _speed(cells: list[Row], machine: list[Row]) -> str:
    limits = {cell["batch_size"]: cell["images_per_second"] for cell in machine if "images_per_second" in cell}
    rows = []
    for size, found in _by_size(cells).items():
        for cell in found:
            for way, run in cell["figures"].items():
                rate = run["train_images_per_second"]["median"]
                share = 100 * rate / limits[size] if size in limits else None
                values = (run["train_images_per_second"], run["train_times_the_first"], share)
                memory = None if run["peak_bytes"] is None else run["peak_bytes"] / 1e6
                label = f"{size}, {way} of {cell['compared']}"
                rows.append((label, *values, run["eval_images_per_second"], run["start_seconds"], memory))
    columns = ("batch size, way", "images/s", "times the first", "% of convolutions alone")
    return table("Speed, medians", (*columns, "evaluated images/s", "start-up, s", "memory, MB"), rows)


def _profiler(cells: list[Row]) -> str:
    columns = ("batch size, way", "kernels a step", "us a step", "busy, %", "gaps a step", "median gap, us")
    rows = [
        (
            f"{cell['batch_size']}, {cell['way']}",
            cell["kernels_per_step"],
            cell["wall_us_per_step"],
            100 * cell["busy_share"],
            cell["gaps_per_step"],
            cell["median_gap_us"],
        )
        for cell in cells
    ]
    kernels = [
        (f"{cell['batch_size']}, {cell['way']}: `{kernel['name'][:60]}`", kernel["us_per_step"], kernel["per_step"])
        for cell in cells
        if cell["way"] == "graph"
        for kernel in cell["longest_kernels"]
    ]
    longest = table("The longest kernels of the graph", ("kernel", "us a step", "times a step"), kernels)
    return table("Under the profiler", columns, rows) + "\n\n" + longest


def _together(cells: list[Row]) -> str:
    counts = sorted({cell["count"] for cell in cells})
    rows = []
    for size, found in _by_size(cells).items():
        for way in dict.fromkeys(cell["way"] for cell in found):
            rates = {cell["count"]: cell["images_per_second"] for cell in found if cell["way"] == way}
            rows.append((f"{size}, {way}", *(rates.get(count) for count in counts)))
    title = "Trainings at once, images/s of all together (evaluation included)"
    return table(title, ("batch size, way", *map(str, counts)), rows)


def _switches(cells: list[Row]) -> str:
    rows = []
    for cell in cells:
        run = cell["figures"][cell["switch"]]
        ratios = [run[f"{kind}_times_the_first"]["median"] for kind in ("train", "eval")]
        verdict = "no different" if all(abs(ratio - 1) <= EVEN for ratio in ratios) else ""
        rows.append((f"{cell['batch_size']}, {cell['switch']}", *ratios, verdict))
    return table(
        "Switches, times the speed without", ("batch size, switch", "training", "evaluation", "verdict"), rows
    )


def _machine(cells: list[Row]) -> str:
    names = ("what", "batch_size", "size")
    rows = []
    for cell in cells:
        label = " ".join(str(cell[name]) for name in names if name in cell)
        rows += [(f"{label}, {key.replace('_', ' ')}", value) for key, value in cell.items() if key not in names]
    return table("The machine", ("what", "figure"), rows)


def _formats(cells: list[Row]) -> str:
    rows = [
        (
            f"{cell['precision']}, {cell['epochs']} epochs",
            cell["train_losses"][-1],
            cell["test_losses"][-1],
            cell["test_error_percent"][-1],
            cell["epoch_seconds"],
        )
        for cell in cells
    ]
    return table("Number formats", ("format", "training loss", "test loss", "test error, %", "s an epoch"), rows)
