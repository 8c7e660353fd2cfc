"""Train and test error and loss against the epoch, with a row of panels per configuration."""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from results.figures.points import distinguishing_words, sweep_points
from results.figures.ranks import ALL_RANKS, Ranks
from results.figures.style import COLORS, set_scale, wrapped
from results.parquet.search_results import SearchResults, params_text
from results.parquet.trials import Cell, EpochsByKey
from trainable.records import EpochRecord
from trainable.wording import counted, shortened

ROWS_PER_PAGE = 4
MOST_PANELS = 6 * ROWS_PER_PAGE
"""Number of panels that are drawn unless others are asked for: a panel takes 0.3 seconds."""
MOST_PANELS_OF_SEARCH = 2 * ROWS_PER_PAGE
BEST_OF_SEARCH = Ranks(1, MOST_PANELS_OF_SEARCH)
LABEL_WIDTH = 100
"""Width in characters of the label above a row of panels."""
SPLITS: dict[str, tuple[str, Any, str]] = {
    "train": (COLORS[1], "dashed", "s"),
    "held out": (COLORS[2], "dashdot", "^"),
    "test": (COLORS[0], "solid", "o"),
}
MARKS_PER_LINE = 8


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Error and loss on one split in one run; values that are unknown or not finite are NaN."""

    split: str
    epochs: list[int]
    errors: list[float]
    """Error in percent."""
    losses: list[float]
    """Mean cross entropy in nats."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves of all repeats of a configuration, finished or not, and their means."""

    label: str
    runs: list[LearningCurve]
    means: list[LearningCurve]
    """Mean curve of each split over the epochs that all repeats have; equal to the run if there is only one."""


def has_epochs(cell: Cell, records: EpochsByKey) -> bool:
    """Return whether any run of a configuration has an epoch."""
    return any(records.get(trial.row.trial_key) for trial in cell.trials)


def learning_curves(cells: Sequence[Cell], records: EpochsByKey, sweep: str, ranks: Ranks = ALL_RANKS) -> list[Panel]:
    """Return what is drawn: a panel per configuration with an epoch, sorted by batch size, lr and epochs.

    Args:
        ranks: the configurations that are drawn, by their mean test error; unfinished ones come last.
    """
    points = sweep_points(cells, sweep)
    found = [pair for pair in zip(points, cells, strict=True) if has_epochs(pair[1], records)]
    found.sort(key=lambda pair: statistics.fmean(pair[0].errors) if pair[0].errors else math.inf)
    panels = []
    for point, cell in sorted(
        found[ranks.positions], key=lambda pair: (pair[0].batch_size, pair[0].lr, pair[0].epochs)
    ):
        runs = [
            curve
            for trial in cell.trials
            if (epochs := records.get(trial.row.trial_key))
            for curve in curves_of(epochs)
        ]
        num_runs = sum(curve.split == "test" for curve in runs)
        words = [f"batch size {point.batch_size}", f"lr {point.lr:.4g}", *distinguishing_words(point, points)]
        panels.append(_panel(", ".join([*words, *([f"{num_runs} runs"] if num_runs > 1 else [])]), runs))
    return panels


def _panel(label: str, runs: list[LearningCurve]) -> Panel:
    means = [
        mean_curve(members) for split in SPLITS if (members := [curve for curve in runs if curve.split == split])
    ]
    return Panel(label, runs, means)


def search_curves(search: SearchResults, records: EpochsByKey, ranks: Ranks = BEST_OF_SEARCH) -> list[Panel]:
    """Return the panels at these ranks: completed trials, best first, then others, longest first.

    The panel of a confirmed trial is followed by that of its repeats on all training images.
    """
    best = search.best
    complete = [trial for trial in search.trials if trial.is_complete]
    others = [trial for trial in search.trials if not trial.is_complete]
    complete.sort(key=lambda trial: (trial not in best, trial.values, trial.number))
    others.sort(key=lambda trial: (-trial.trial.row.epochs_done, trial.number))
    panels = []
    for trial in [*complete, *others]:
        own = records.get(trial.trial.row.trial_key, ())
        status = "" if trial.is_complete else f" ({trial.trial.row.status.lower()})"
        if own:
            panels.append(_panel(f"proposal {trial.number}{status}: {params_text(trial)}", curves_of(own)))
        cell = search.confirmed.get(trial.number)
        repeats = [epochs for run in cell.trials if (epochs := records.get(run.row.trial_key))] if cell else []
        if repeats:
            label = f"proposal {trial.number} on all training images: {counted(len(repeats), 'run')}"
            panels.append(_panel(label, [curve for epochs in repeats for curve in curves_of(epochs)]))
    return panels[ranks.positions]


def population_curves(search: SearchResults, records: EpochsByKey, ranks: Ranks = ALL_RANKS) -> list[Panel]:
    """Return a panel per training that reached the last generation of a population, the best first."""
    panels = []
    for last in search.best:
        joined: list[EpochRecord] = []
        for trial in search.training(last):
            done = len(joined)
            own = records.get(trial.trial.row.trial_key, ())
            joined += [dataclasses.replace(record, epoch=done + record.epoch) for record in own]
        if joined:
            curves = curves_of(joined)
            panels.append(Panel(f"proposal {last.number}: {params_text(last)} at the end", curves, curves))
    return panels[ranks.positions]


def curves_of(records: Sequence[EpochRecord]) -> list[LearningCurve]:
    """Return the curves of train and test, and of the held-out images if there are any."""
    ordered = sorted(records, key=lambda record: record.epoch)
    epochs = [record.epoch for record in ordered]
    values: dict[str, list[tuple[float | None, float | None]]] = {
        "train": [(record.train_error_percent, record.train_loss) for record in ordered],
        "test": [(record.test_error_percent, record.test_loss) for record in ordered],
    }
    if any(record.holdout_error_percent is not None for record in ordered):
        values["held out"] = [(record.holdout_error_percent, record.holdout_loss) for record in ordered]
    return [
        LearningCurve(split, epochs, _known([error for error, _ in pairs]), _known([loss for _, loss in pairs]))
        for split, pairs in values.items()
    ]


def _known(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def mean_curve(curves: Sequence[LearningCurve]) -> LearningCurve:
    """Return the mean at each epoch that all runs have; NaN if a value is NaN."""

    def mean(columns: Iterable[Sequence[float]]) -> list[float]:
        return [sum(values) / len(values) for values in zip(*columns, strict=False)]  # ends with the shortest

    epochs = min((curve.epochs for curve in curves), key=len)
    errors, losses = mean(curve.errors for curve in curves), mean(curve.losses for curve in curves)
    return LearningCurve(curves[0].split, epochs, errors, losses)


def draw_learning_curves(panels: Sequence[Panel], title: str) -> Iterator[Figure]:
    """Draw pages of at most `ROWS_PER_PAGE` configurations, errors on the left and losses on the right.

    A page is drawn when it is asked for. Repeats are thin lines and their mean is thick; all panels of a column share
    their scale.
    """
    pages = [panels[start : start + ROWS_PER_PAGE] for start in range(0, len(panels), ROWS_PER_PAGE)]
    for number, page in enumerate(pages, start=1):
        yield _draw_page(page, title if len(pages) == 1 else f"{title} ({number} of {len(pages)})")


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
        if values:
            set_scale(grid[0][column].yaxis, values)
        else:
            grid[0][column].set_yticks([])
        grid[-1][column].set_xlabel("epoch")
    grid[0][0].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    splits = {curve.split for panel in panels for curve in panel.means}
    handles = [
        Line2D([], [], color=color, linestyle=style, marker=marker, label=split)
        for split, (color, style, marker) in SPLITS.items()
        if split in splits
    ]
    if any(len(panel.runs) > len(panel.means) for panel in panels):
        handles.append(Line2D([], [], color="black", linewidth=0.6, label="single runs (thick line: mean)"))
    figure.suptitle(wrapped(title, 90), fontsize="medium")
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
            markevery=max(1, len(curve.epochs) // MARKS_PER_LINE),
            linewidth=1.4,
        )
    axes.grid(visible=True, alpha=0.3)
