"""Test error against the initial learning rate, one line a batch size."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from models.names import display_name
from results.figures.style import COLORS, MARKERS
from results.trials import Cell, varying_fields
from trainable.config import TrainConfig

LABELLED_DIGITS = (1.0, 2.0, 5.0)
"""Leading digits of the ticks on a logarithmic error axis: all nine would overlap."""
LOG_FROM_RATIO = 5
"""Largest over smallest error from which on the error's axis is logarithmic."""


@dataclass(frozen=True, slots=True)
class Line:
    """One batch size: points in rising lr; `errors` (percent) are means over the repeats."""

    label: str
    lrs: list[float]
    errors: list[float]
    spreads: list[tuple[float, float]]
    """Distance from the mean down to the smallest and up to the largest repeat."""


def error_by_lr(cells: Sequence[Cell]) -> list[Line]:
    """What is drawn: a line for every batch size (and for every other field that differs), smallest first."""
    groups: dict[TrainConfig, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(dataclasses.replace(cell.config, lr=1.0, seed=0), []).append(cell)
    others = [name for name in varying_fields(list(groups)) if name != "batch_size"]
    lines = []
    for config, members in sorted(groups.items(), key=lambda item: item[0].batch_size):
        points = sorted((cell.config.lr, cell.test_errors) for cell in members if cell.test_errors)
        if not points:
            continue
        means = [sum(errors) / len(errors) for _, errors in points]
        lines.append(
            Line(
                label=", ".join([str(config.batch_size), *(f"{name} {getattr(config, name)}" for name in others)]),
                lrs=[lr for lr, _ in points],
                errors=means,
                spreads=[
                    (mean - min(errors), max(errors) - mean) for mean, (_, errors) in zip(means, points, strict=True)
                ],
            )
        )
    return lines


def title(sweep: str, cells: Sequence[Cell]) -> str:
    """Sweep, and whatever of model, data set and length all cells have in common."""
    configs = [cell.config for cell in cells]
    parts = [{display_name(c.model) for c in configs}, {c.dataset for c in configs}]
    parts.append({f"{c.epochs} epochs" for c in configs})
    return ", ".join([sweep, *(part.pop() for part in parts if len(part) == 1)])


def draw_error_by_lr(lines: Sequence[Line], title: str) -> Figure:
    """Learning rate on a log axis, the error too where it spans much; bars from smallest to largest repeat."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for index, line in enumerate(lines):
        axes.errorbar(
            line.lrs,
            line.errors,
            yerr=list(zip(*line.spreads, strict=True)) if any(map(any, line.spreads)) else None,
            label=line.label,
            color=COLORS[index % len(COLORS)],
            marker=MARKERS[index % len(MARKERS)],
            capsize=3,
        )
    axes.set_xscale("log")
    errors = [error for line in lines for error in line.errors]
    if errors and min(errors) > 0 and max(errors) > LOG_FROM_RATIO * min(errors):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=LABELLED_DIGITS))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(FixedLocator(sorted({lr for line in lines for lr in line.lrs})))
    axes.xaxis.set_minor_locator(NullLocator())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("initial learning rate")
    axes.set_ylabel("test error at the last epoch (%)")
    axes.set_title(title)
    axes.grid(visible=True, which="major", alpha=0.3)
    if lines:
        axes.legend(title="batch size")
    return figure
