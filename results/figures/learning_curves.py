"""Train and test error and loss against the epoch: a few configurations together, or a row of panels for each."""

import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from results.figures.points import distinguishing_words, sweep_points
from results.figures.ranks import ALL_RANKS, Ranks
from results.figures.style import (
    COLORS,
    SWEEP_STYLES,
    fill_with_legend,
    legend_height,
    look,
    lost_handle,
    set_scale,
    wrapped,
)
from results.parquet.search_results import SearchResults, params_text
from results.parquet.trials import Cell, EpochsByKey
from trainable.grouping import grouped
from trainable.records import EpochRecord, Status
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
    "holdout": (COLORS[2], "dashdot", "^"),
    "test": (COLORS[0], "solid", "o"),
}
MARKS_PER_LINE = 8
YMARGIN = 0.05
"""Margin above and below the curves, as a fraction of their height."""
MOST_SHARED = 9
"""Largest number of configurations whose curves share a panel: those of a grid of three by three."""
WIDTH = 8.4
"""Width of a page in inches."""


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Error and loss on one split in one run; values that are unknown or not finite are NaN."""

    split: str
    epochs: list[int]
    errors: list[float]
    """Error in percent."""
    losses: list[float]
    """Mean cross entropy in nats."""
    is_diverged: bool = False
    """Whether the run ended at a loss that is not finite."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves of all repeats of a configuration, finished or not, and their means."""

    label: str
    runs: list[LearningCurve]
    means: list[LearningCurve]
    """Mean curve of each split over the epochs that all repeats have; equal to the run if there is only one. Runs
    that diverged do not count, unless all did."""
    sweep: str = ""
    """Name of the sweep, where several are drawn together."""


def has_epochs(cell: Cell, records: EpochsByKey) -> bool:
    """Return whether any run of a configuration has an epoch."""
    return any(records.get(trial.row.trial_key) for trial in cell.trials)


def learning_curves(
    cells: Sequence[Cell],
    records: EpochsByKey,
    sweep: str,
    ranks: Ranks = ALL_RANKS,
    among: Sequence[Cell] = (),
) -> list[Panel]:
    """Return what is drawn: a panel per configuration with an epoch, sorted by batch size, lr and epochs.

    Args:
        ranks: the configurations that are drawn, by their mean test error; unfinished ones come last.
        among: further cells of the figure, from which a label tells its configuration.
    """
    points = sweep_points([*cells, *among], sweep)
    found = [pair for pair in zip(points, cells, strict=False) if has_epochs(pair[1], records)]
    found.sort(key=lambda pair: statistics.fmean(pair[0].errors) if pair[0].errors else math.inf)
    panels = []
    for point, cell in sorted(
        found[ranks.positions], key=lambda pair: (pair[0].batch_size, pair[0].lr, pair[0].epochs)
    ):
        runs = [
            curve
            for trial in cell.trials
            if (epochs := records.get(trial.row.trial_key))
            for curve in curves_of(epochs, is_diverged=trial.status is Status.DIVERGED)
        ]
        words = [f"batch size {point.batch_size}", f"lr {point.lr:.4g}", *distinguishing_words(point, points)]
        panels.append(_panel(", ".join([*words, *_run_words(cell)]), runs))
    return panels


def _run_words(cell: Cell) -> list[str]:
    """Return how many runs a configuration has, and how those ended that did not complete: `2 runs`, `1 diverged`."""
    num_runs, ends = len(cell.trials), Counter(trial.status for trial in cell.trials)
    unfinished = [(count, status.lower()) for status, count in ends.items() if status is not Status.COMPLETE]
    if num_runs == 1:
        return [words for _, words in unfinished]
    return [f"{num_runs} runs", *(f"{count} {words}" for count, words in unfinished)]


def _panel(label: str, runs: list[LearningCurve]) -> Panel:
    by_split = grouped(runs, lambda curve: curve.split)
    means = [mean_curve(whole(by_split[split])) for split in SPLITS if split in by_split]
    return Panel(label, runs, means)


def whole(curves: Sequence[LearningCurve]) -> Sequence[LearningCurve]:
    """Return the curves of runs that did not diverge; all of them if all did."""
    return [curve for curve in curves if not curve.is_diverged] or curves


def search_curves(search: SearchResults, records: EpochsByKey, ranks: Ranks = BEST_OF_SEARCH) -> list[Panel]:
    """Return the panels at these ranks: completed trials, best first, then others.

    Others are sorted by their epochs, most first, and then by their last value.
    The panel of a confirmed trial is followed by that of its repeats on all training images.
    """
    best = search.best
    complete = [trial for trial in search.trials if trial.is_complete]
    others = [trial for trial in search.trials if not trial.is_complete]
    complete.sort(key=lambda trial: (trial not in best, trial.values, trial.number))
    others.sort(key=lambda trial: (-trial.trial.row.epochs_done, trial.values or (math.inf,), trial.number))
    panels = []
    for trial in [*complete, *others]:
        status = "" if trial.is_complete else f" ({trial.status.value.lower()})"
        curves = [
            curve
            for run in trial.trainings
            if (own := records.get(run.row.trial_key))
            for curve in curves_of(own, is_diverged=run.status is Status.DIVERGED)
        ]
        if curves:
            panels.append(_panel(f"proposal {trial.number}{status}: {params_text(trial)}", curves))
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


def curves_of(records: Sequence[EpochRecord], *, is_diverged: bool = False) -> list[LearningCurve]:
    """Return the curves of train and test, and of the held-out images if there are any."""
    ordered = sorted(records, key=lambda record: record.epoch)
    epochs = [record.epoch for record in ordered]
    values: dict[str, list[tuple[float | None, float | None]]] = {
        "train": [(record.train_error_percent, record.train_loss) for record in ordered],
        "test": [(record.test_error_percent, record.test_loss) for record in ordered],
    }
    if any(record.holdout_error_percent is not None for record in ordered):
        values["holdout"] = [(record.holdout_error_percent, record.holdout_loss) for record in ordered]
    return [
        LearningCurve(
            split, epochs, _known([error for error, _ in pairs]), _known([loss for _, loss in pairs]), is_diverged
        )
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
    """Draw errors on the left and losses on the right, those of a few configurations in the same panels.

    More configurations fill pages with `ROWS_PER_PAGE` rows, and all panels of a column share their scale. A page is
    drawn when it is asked for. Repeats are thin lines and their mean is thick.
    """
    if 1 < len(panels) <= MOST_SHARED:
        yield draw_shared(panels, title)
        return
    pages = [panels[start : start + ROWS_PER_PAGE] for start in range(0, len(panels), ROWS_PER_PAGE)]
    for number, page in enumerate(pages, start=1):
        yield _draw_page(page, title if len(pages) == 1 else f"{title} ({number} of {len(pages)})")


def draw_shared(panels: Sequence[Panel], title: str) -> Figure:
    """Draw a row of panels for each split, in which each configuration has a colour and each sweep a line style."""
    splits = [
        split for split in reversed(SPLITS) if any(curve.split == split for panel in panels for curve in panel.runs)
    ]
    numbers = {label: index for index, label in enumerate(dict.fromkeys(panel.label for panel in panels))}
    styles = {
        sweep: SWEEP_STYLES[index % len(SWEEP_STYLES)]
        for index, sweep in enumerate(dict.fromkeys(panel.sweep for panel in panels))
    }

    def line(number: int, sweep: str) -> Any:  # noqa: ANN401 (a line style of matplotlib)
        return look(number).line if len(styles) == 1 else styles[sweep]

    handles = []
    for label, number in numbers.items():
        sweeps = {panel.sweep for panel in panels if panel.label == label}
        style: Any = line(number, *sweeps) if len(sweeps) == 1 else "none"
        color, marker = look(number).color, look(number).marker
        handles.append(Line2D([], [], color=color, marker=marker, linestyle=style, label=label))
    if len(styles) > 1:
        handles += [
            Line2D([], [], color="black", linestyle=style, label=f"sweep {sweep}") for sweep, style in styles.items()
        ]
    handles += _further_handles(panels)
    below = legend_height(handles, WIDTH)
    figure = Figure(figsize=(WIDTH, 2.5 * len(splits) + 0.8 + below), layout="constrained")
    grid = figure.add_gridspec(len(splits) + 1, 2, height_ratios=[*[2.5] * len(splits), below])
    for row, split in enumerate(splits):
        for column in (0, 1):
            axes = figure.add_subplot(grid[row, column], sharex=figure.axes[0] if figure.axes else None)
            for panel in panels:
                kind = look(number := numbers[panel.label])
                own = Panel(
                    panel.label,
                    [curve for curve in panel.runs if curve.split == split],
                    [curve for curve in panel.means if curve.split == split],
                )
                _draw_panel(
                    axes, own, {split: (kind.color, line(number, panel.sweep), kind.marker)}, losses=column == 1
                )
            _label_panel(axes, panels, (split,), losses=column == 1)
            axes.set_ylabel(f"{split} {axes.get_ylabel()}")
            axes.tick_params(labelbottom=row == len(splits) - 1)
            if row == len(splits) - 1:
                axes.set_xlabel("epoch")
    figure.axes[0].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    figure.suptitle(wrapped(title, 90), fontsize="medium")
    fill_with_legend(figure.add_subplot(grid[-1, :]), handles, "", WIDTH)
    return figure


def _further_handles(panels: Sequence[Panel]) -> list[Line2D]:
    """Return the entries of a legend that explain thin lines and crosses, if there are any."""
    handles = []
    if any(len(panel.runs) > len(panel.means) for panel in panels):
        handles.append(Line2D([], [], color="black", linewidth=0.6, label="single runs (thick line: mean)"))
    if any(curve.is_diverged for panel in panels for curve in panel.runs):
        handles.append(lost_handle("diverged"))
    return handles


def _label_panel(axes: Axes, panels: Sequence[Panel], splits: Collection[str], *, losses: bool) -> None:
    """Set the scale and the label of a vertical axis that shows these splits of all panels.

    Runs that diverged do not count for the scale.
    """
    axes.set_ylabel("loss (nats)" if losses else "error (%)")
    drawn = [curve for panel in panels for curve in panel.runs if curve.split in splits]
    known = [
        [value for value in (curve.losses if losses else curve.errors) if not math.isnan(value)]
        for curve in whole(drawn)
    ]
    values = [value for own in known for value in own]
    if not values:
        axes.set_yticks([])
        return
    set_scale(axes.yaxis, values)
    if len(known) < len(drawn) and min(values) < max(values):
        scale = axes.yaxis.get_transform()
        low, high = scale.transform([min(values), max(values)])
        axes.set_ylim(*scale.inverted().transform([low - YMARGIN * (high - low), high + YMARGIN * (high - low)]))


def _draw_page(panels: Sequence[Panel], title: str) -> Figure:
    figure = Figure(figsize=(WIDTH, 2.1 * len(panels) + 1.4), layout="constrained")
    grid = figure.subplots(len(panels), 2, squeeze=False, sharex=True, sharey="col")
    for (left, right), panel in zip(grid, panels, strict=True):
        for axes, losses in ((left, False), (right, True)):
            _draw_panel(axes, panel, SPLITS, losses=losses)
            _label_panel(axes, panels, SPLITS, losses=losses)
        left.set_title(shortened(panel.label, LABEL_WIDTH), loc="left", fontsize="small")
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    grid[0][0].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    splits = {curve.split for panel in panels for curve in panel.means}
    handles = [
        Line2D([], [], color=color, linestyle=style, marker=marker, label=split)
        for split, (color, style, marker) in SPLITS.items()
        if split in splits
    ]
    handles += _further_handles(panels)
    figure.suptitle(wrapped(title, 90), fontsize="medium")
    figure.legend(
        handles=handles, loc="outside lower center", ncols=4, fontsize="small", handlelength=3, frameon=False
    )
    return figure


def _draw_panel(axes: Axes, panel: Panel, looks: Mapping[str, tuple[str, Any, str]], *, losses: bool) -> None:
    """Draw the curves of a panel with the colour, line style and marker of each split."""
    for curve in panel.runs:
        if curve.is_diverged:
            edge: Any = {"transform": axes.get_xaxis_transform(), "clip_on": False, "linestyle": "none"}
            axes.plot(curve.epochs[-1:], [1.0], color=looks[curve.split][0], marker="x", markeredgewidth=1.6, **edge)
    if len(panel.runs) > len(panel.means):
        for curve in panel.runs:
            color, style, _ = looks[curve.split]
            values = curve.losses if losses else curve.errors
            axes.plot(curve.epochs, values, color=color, linestyle=style, linewidth=0.6, alpha=0.7)
    for curve in panel.means:
        color, style, marker = looks[curve.split]
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
