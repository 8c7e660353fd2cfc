"""Error and loss against the epoch, train and test, a row of panels a configuration."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from results.figures.points import sweep_points, telling_parts
from results.figures.style import COLORS, broken, plain_numbers, set_log, wants_log
from results.parquet.search_results import SearchResults, param_words
from results.parquet.trials import Cell
from trainable.records import EpochRecord
from trainable.wording import counted, shortened

ROWS_A_PAGE = 4
MOST_OF_A_SEARCH = 2 * ROWS_A_PAGE
LABEL_WIDTH = 100
"""Characters above a row of panels."""
SPLITS: dict[str, tuple[str, Any, str]] = {
    "train": (COLORS[1], "dashed", "s"),
    "held out": (COLORS[2], "dashdot", "^"),
    "test": (COLORS[0], "solid", "o"),
}
MARKS_A_LINE = 8


@dataclass(frozen=True, slots=True)
class Curve:
    """One split in one run; values that are not known or not finite are NaN."""

    split: str
    epochs: list[int]
    errors: list[float]
    """Percent."""
    losses: list[float]
    """Mean cross entropy, nats."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A configuration: the curves of all its repeats, finished or not, and their means."""

    label: str
    runs: list[Curve]
    means: list[Curve]
    """Over the epochs that every repeat has, a curve a split; the run itself where there is only one."""


def learning_curves(cells: Sequence[Cell], records: Mapping[str, Sequence[EpochRecord]], sweep: str) -> list[Panel]:
    """What is drawn: a panel for every configuration with an epoch, in rising batch size, lr and length.

    Args:
        records: trial key -> its epochs.
    """
    points = sweep_points(cells, sweep)
    panels = []
    order = sorted(range(len(cells)), key=lambda i: (points[i].batch_size, points[i].lr, points[i].epochs))
    for index in order:
        point = points[index]
        runs = [
            curve
            for trial in cells[index].trials
            if (epochs := records.get(trial.row.trial_key))
            for curve in curves_of(epochs)
        ]
        if not runs:
            continue
        num_runs = sum(curve.split == "test" for curve in runs)
        words = [f"batch size {point.batch_size}", f"lr {point.lr:.4g}", *telling_parts(point, points)]
        panels.append(_panel(", ".join([*words, *([f"{num_runs} runs"] if num_runs > 1 else [])]), runs))
    return panels


def _panel(label: str, runs: list[Curve]) -> Panel:
    means = [
        mean_curve(members) for split in SPLITS if (members := [curve for curve in runs if curve.split == split])
    ]
    return Panel(label, runs, means)


def search_curves(search: SearchResults, records: Mapping[str, Sequence[EpochRecord]]) -> list[Panel]:
    """The `MOST_OF_A_SEARCH` panels that a reader asks for first: best first, what was confirmed with its repeats.

    After those that ran to the end the others follow, the longest first.

    Args:
        records: trial key -> its epochs.
    """
    unfinished = [one for one in search.trials if not one.is_complete]
    complete = [one for one in search.trials if one.is_complete]
    complete.sort(key=lambda one: (one not in search.best, one.values or (), one.number))
    unfinished.sort(key=lambda one: (-one.trial.row.epochs_done, one.number))
    panels = []
    for one in [*complete, *unfinished]:
        own = records.get(one.trial.row.trial_key, ())
        ended = "" if one.is_complete else f" ({one.trial.row.status.lower()})"
        if own:
            panels.append(_panel(f"proposal {one.number}{ended}: {param_words(one)}", curves_of(own)))
        cell = search.confirmed.get(one.number)
        again = [epochs for trial in cell.trials if (epochs := records.get(trial.row.trial_key))] if cell else []
        if again:
            label = f"proposal {one.number} on all training images: {counted(len(again), 'run')}"
            panels.append(_panel(label, [curve for epochs in again for curve in curves_of(epochs)]))
    return panels[:MOST_OF_A_SEARCH]


def population_curves(search: SearchResults, records: Mapping[str, Sequence[EpochRecord]]) -> list[Panel]:
    """A panel for each training of a population that has come to its last generation, the best first.

    Args:
        records: trial key -> its epochs.
    """
    panels = []
    for last in search.best:
        joined: list[EpochRecord] = []
        for one in search.training(last):
            done = len(joined)
            own = records.get(one.trial.row.trial_key, ())
            joined += [dataclasses.replace(record, epoch=done + record.epoch) for record in own]
        if joined:
            curves = curves_of(joined)
            panels.append(Panel(f"proposal {last.number}: {param_words(last)} at the end", curves, curves))
    return panels


def curves_of(records: Sequence[EpochRecord]) -> list[Curve]:
    """Train and test, and held out where a part of the training images was."""
    ordered = sorted(records, key=lambda record: record.epoch)
    epochs = [record.epoch for record in ordered]
    curves = [
        Curve(
            "train",
            epochs,
            _known([record.train_error_percent for record in ordered]),
            _known([record.train_loss for record in ordered]),
        ),
        Curve(
            "test",
            epochs,
            _known([record.test_error_percent for record in ordered]),
            _known([record.test_loss for record in ordered]),
        ),
    ]
    if any(record.holdout_error_percent is not None for record in ordered):
        curves.append(
            Curve(
                "held out",
                epochs,
                _known([record.holdout_error_percent for record in ordered]),
                _known([record.holdout_loss for record in ordered]),
            )
        )
    return curves


def _known(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean at each epoch that all runs have, NaN where one of them is."""
    shortest = min(curves, key=lambda curve: len(curve.epochs)).epochs
    count = len(shortest)

    def mean(columns: Sequence[Sequence[float]]) -> list[float]:
        return [sum(values) / len(values) for values in zip(*(column[:count] for column in columns), strict=True)]

    return Curve(
        curves[0].split,
        list(shortest),
        mean([curve.errors for curve in curves]),
        mean([curve.losses for curve in curves]),
    )


def draw_learning_curves(panels: Sequence[Panel], title: str) -> list[Figure]:
    """Pages of at most `ROWS_A_PAGE` configurations: left the errors, right the losses.

    Repeats are thin lines, their mean is thick; all panels of a column share their scale.
    """
    pages = [panels[start : start + ROWS_A_PAGE] for start in range(0, len(panels), ROWS_A_PAGE)]
    return [
        _draw_page(page, title if len(pages) == 1 else f"{title} ({number} of {len(pages)})")
        for number, page in enumerate(pages, start=1)
    ]


def _draw_page(panels: Sequence[Panel], title: str) -> Figure:
    figure = Figure(figsize=(8.4, 2.1 * len(panels) + 1.4), layout="constrained")
    grid = figure.subplots(len(panels), 2, squeeze=False, sharex=True, sharey="col")
    for (left, right), panel in zip(grid, panels, strict=True):
        for axes, losses in ((left, False), (right, True)):
            _draw_panel(axes, panel, losses=losses)
            axes.set_ylabel("loss (nats)" if losses else "error (%)")
        left.set_title(shortened(panel.label, LABEL_WIDTH), loc="left", fontsize="small")
    for column, losses in ((0, False), (1, True)):
        values = [
            value
            for panel in panels
            for curve in panel.runs
            for value in (curve.losses if losses else curve.errors)
            if not math.isnan(value)
        ]
        if not values:
            grid[0][column].set_yticks([])
        elif wants_log(values):
            set_log(grid[0][column].yaxis, values)
        else:
            plain_numbers(grid[0][column].yaxis)
        grid[-1][column].set_xlabel("epoch")
    grid[0][0].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    splits = {curve.split for panel in panels for curve in panel.means}
    handles = [
        Line2D([], [], color=color, linestyle=style, marker=marker, label=split)
        for split, (color, style, marker) in SPLITS.items()
        if split in splits
    ]
    if any(len(panel.runs) > len(panel.means) for panel in panels):
        handles.append(Line2D([], [], color="black", linewidth=0.6, label="single runs (thick: their mean)"))
    figure.suptitle(broken(title, 90), fontsize="medium")
    figure.legend(
        handles=handles, loc="outside lower center", ncols=4, fontsize="small", handlelength=3, frameon=False
    )
    return figure


def _draw_panel(axes: Axes, panel: Panel, *, losses: bool) -> None:
    if len(panel.runs) > len(panel.means):
        for curve in panel.runs:
            color, style, _ = SPLITS[curve.split]
            values = curve.losses if losses else curve.errors
            axes.plot(curve.epochs, values, color=color, linestyle=style, linewidth=0.6, alpha=0.7)
    for curve in panel.means:
        color, style, marker = SPLITS[curve.split]
        axes.plot(
            curve.epochs,
            curve.losses if losses else curve.errors,
            color=color,
            linestyle=style,
            marker=marker,
            markersize=3.5,
            markevery=max(1, len(curve.epochs) // MARKS_A_LINE),
            linewidth=1.4,
        )
    axes.grid(visible=True, alpha=0.3)
