"""What a sweep means: error curves with their best rates, laws between best rate and batch size, costs of rules."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from results.figures.style import COLORS, legend_beside, look, plain_numbers, set_log, set_title, unzipped
from results.insight.findings import Insight
from results.insight.groups import Error
from results.insight.law import Band, Law, Preferred
from results.insight.optima import Fit, Optimum, Status, fitted_heights
from results.insight.regret import Regret, Rule
from trainable.grouping import grouped

MOST_GROUPS = 3
"""Largest number of groups that are drawn, those that tell most."""
MOST_CURVES = 12
"""Largest number of batch sizes with a curve of their own."""
CURVE_POINTS = 60
HEADROOM = 0.08
"""Room above the curves, as a part of their range."""
LEGEND_ROOM = 1.25
"""Top of the panel of costs as a multiple of the largest cost, so that its legend covers nothing."""
RULE_OFFSET = 0.05
"""Distance between the marks of the two rules, as a part of the logarithmic range of batch sizes."""


@dataclass(frozen=True, slots=True)
class ErrorCurve:
    """Errors at a batch size, and the curve that was fitted to them."""

    batch_size: int
    errors: list[tuple[float, float]]
    """(rate, mean error in percent), ascending; without runs that are no better than chance."""
    saturated_lrs: list[float]
    """Rates at which training does no better than chance."""
    fitted: list[tuple[float, float]]
    """(rate, error); empty without a fit."""
    optimum: Optimum


def error_curves(insight: Insight) -> list[ErrorCurve]:
    """Return what the upper panel shows: at most MOST_CURVES batch sizes, rather those with a known best rate."""
    ranked = sorted(insight.best.optima, key=lambda optimum: optimum.status is Status.CANNOT_TELL)
    chosen = sorted(ranked[:MOST_CURVES], key=lambda optimum: optimum.batch_size)
    return [_curve(optimum, insight) for optimum in chosen]


def _curve(optimum: Optimum, insight: Insight) -> ErrorCurve:
    fit = insight.best.fits.get(optimum.batch_size)
    if fit is None:
        runs = [run for run in insight.group.runs if run.batch_size == optimum.batch_size]
        groups = grouped((run for run in runs if math.isfinite(run.error_percent)), lambda run: run.lr)
        errors = [(lr, float(np.mean([run.error_percent for run in same]))) for lr, same in sorted(groups.items())]
        return ErrorCurve(optimum.batch_size, errors, [], [], optimum)
    curve = fit.curve
    errors = list(zip(np.exp2(curve.log2_lrs).tolist(), curve.errors.tolist(), strict=True))
    return ErrorCurve(
        optimum.batch_size, errors, np.exp2(curve.saturated_log2_lrs).tolist(), _fitted(fit, optimum), optimum
    )


def _fitted(fit: Fit, optimum: Optimum) -> list[tuple[float, float]]:
    if math.isnan(optimum.error_percent):
        return []
    log2_lrs = np.linspace(fit.curve.log2_lrs[0], fit.curve.log2_lrs[-1], CURVE_POINTS)
    errors = optimum.error_percent + fitted_heights(fit, log2_lrs - math.log2(optimum.lr))
    return list(zip(np.exp2(log2_lrs).tolist(), errors.tolist(), strict=True))


def draw_insight(insight: Insight, title: str) -> Figure:
    """Draw the error curves above, and below the best rate and the cost of the rules against the batch size."""
    curves = error_curves(insight)
    figure = Figure(figsize=(9.6, 8.6), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(1.15, 1))
    upper = figure.add_subplot(grid[0, :])
    _draw_curves(upper, curves, "holdout error" if insight.group.error is Error.HOLDOUT else str(insight.group.error))
    set_title(upper, title, width=90)
    _draw_optima(figure.add_subplot(grid[1, 0]), insight.best.optima, insight.law)
    _draw_regrets(figure.add_subplot(grid[1, 1]), insight)
    return figure


def _draw_curves(axes: Axes, curves: Sequence[ErrorCurve], what: str) -> None:
    handles = []
    known = [error for curve in curves for _, error in curve.errors]
    low, high = min(known), max(known)
    top = high + HEADROOM * (high - low or 1)
    for index, curve in enumerate(curves):
        style = look(index)
        axes.plot(*unzipped(curve.fitted), color=style.color, linestyle=style.line, linewidth=1.2, zorder=2)
        axes.plot(*unzipped(curve.errors), color=style.color, marker=style.marker, linestyle="none", ms=5, zorder=3)
        axes.plot(
            curve.saturated_lrs, [top] * len(curve.saturated_lrs), color=style.color, marker="x", linestyle="none"
        )
        _mark_optimum(axes, curve.optimum, style.color)
        words = f"{curve.batch_size}"
        handles.append(
            Line2D([], [], color=style.color, linestyle=style.line, marker=style.marker, ms=5, label=words)
        )
    lrs = [lr for curve in curves for lr in (*(lr for lr, _ in curve.errors), *curve.saturated_lrs)]
    set_log(axes.xaxis, lrs)
    plain_numbers(axes.yaxis)
    axes.set_ylim(low - 2 * HEADROOM * (high - low or 1), top + HEADROOM * (high - low or 1) / 2)
    axes.set_xlabel("initial learning rate")
    axes.set_ylabel(f"{what} (%)")
    bar = Line2D([], [], color="black", marker="|", ms=9, label="best rate, 95 %")
    worst = [Line2D([], [], color="black", marker="x", linestyle="none", label="no better than chance")]
    has_worst = any(curve.saturated_lrs for curve in curves)
    legend_beside(axes, "batch size", [("", [*handles, bar, *worst * has_worst])])


def _mark_optimum(axes: Axes, optimum: Optimum, color: str) -> None:
    """Draw the interval of a best rate that lies between measured rates, at the fitted error."""
    if optimum.status is not Status.INSIDE or math.isnan(optimum.error_percent):
        return
    low, high = optimum.told
    ends = [max(low, optimum.measured_low), min(high, optimum.measured_high)]
    axes.plot(ends, [optimum.error_percent] * 2, color=color, linewidth=3.5, alpha=0.45, zorder=1)
    axes.plot(optimum.lr, optimum.error_percent, color=color, marker="|", ms=13, mew=2, zorder=4)


def _draw_optima(axes: Axes, optima: Iterable[Optimum], law: Law | None) -> None:
    told = [optimum for optimum in optima if optimum.status is not Status.CANNOT_TELL]
    if not told:
        _say_instead(axes, "no best learning rate is known")
        return
    handles: list[Line2D | Patch] = []
    if law is not None:
        for name, color, lrs, preferred in (
            ("power law", COLORS[0], law.power_lrs, Preferred.POWER),
            ("levelling off", COLORS[1], law.levelling_lrs, Preferred.LEVELLING),
        ):
            is_rejected = law.preferred not in (preferred, Preferred.EITHER)
            _draw_law(axes, lrs, color, "--" if is_rejected else "-")
            words = f"{name}, less likely" if is_rejected else name
            handles.append(Line2D([], [], color=color, linestyle="--" if is_rejected else "-", label=words))
    for optimum in told:
        low, high = optimum.told
        if optimum.status is Status.INSIDE:
            errors = [[optimum.lr - low], [high - optimum.lr]]
            axes.errorbar(optimum.batch_size, optimum.lr, errors, color="black", marker="o", ms=5, capsize=3)
        else:
            is_least = optimum.status is Status.AT_LEAST
            axes.plot(optimum.batch_size, low if is_least else high, color="black", marker="^" if is_least else "v")
    handles.append(Line2D([], [], color="black", marker="o", ms=5, label="best rate, 95 %"))
    for status, marker in ((Status.AT_LEAST, "^"), (Status.AT_MOST, "v")):
        if any(optimum.status is status for optimum in told):
            handles.append(Line2D([], [], color="black", marker=marker, linestyle="none", label=str(status)))
    ends = [end for optimum in told for end in optimum.told if 0 < end < math.inf]
    set_log(axes.yaxis, ends)
    _batch_axis(axes, [*(optimum.batch_size for optimum in told), *(law.batch_sizes if law else ())])
    axes.set_ylabel("best learning rate")
    axes.legend(handles=handles, fontsize="small", loc="best", frameon=False)


def _draw_law(axes: Axes, lrs: dict[int, Band], color: str, line: str) -> None:
    sizes, bands = list(lrs), list(lrs.values())
    axes.plot(sizes, [band.value for band in bands], color=color, linestyle=line)
    axes.fill_between(
        sizes, [band.low for band in bands], [band.high for band in bands], color=color, alpha=0.15, linewidth=0
    )


def _draw_regrets(axes: Axes, insight: Insight) -> None:
    axes.set_ylabel("cost of the rule (points, bars: 95 %)")
    measured = [regret for regrets in insight.regrets.values() for regret in regrets if regret.is_measured]
    if not measured:
        _say_instead(axes, "the cost of the rules is not measured")
        return
    sizes = [optimum.batch_size for optimum in insight.best.optima]
    offset = (max(sizes) / min(sizes)) ** (RULE_OFFSET / 2)
    for rule, color, marker, factor in (
        (Rule.LINEAR, COLORS[2], "s", 1 / offset),
        (Rule.SQUARE_ROOT, COLORS[3], "D", offset),
    ):
        _draw_rule(axes, [regret for regret in insight.regrets[rule] if regret.is_measured], color, marker, factor)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylim(top=LEGEND_ROOM * (max(regret.high for regret in measured) or 1))
    _batch_axis(axes, sizes)
    handles = [
        Line2D([], [], color=color, marker=marker, ms=5, label=f"{words} rule from batch size {insight.anchor}")
        for words, color, marker in (("linear", COLORS[2], "s"), ("square-root", COLORS[3], "D"))
    ]
    axes.legend(handles=handles, fontsize="small", loc="upper left", frameon=False)


def _say_instead(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", fontsize="small")


def _draw_rule(axes: Axes, regrets: Sequence[Regret], color: str, marker: str, factor: float) -> None:
    points = [regret.points for regret in regrets]
    errors = [
        [regret.points - regret.low for regret in regrets],
        [regret.high - regret.points for regret in regrets],
    ]
    sizes = [regret.batch_size * factor for regret in regrets]
    axes.errorbar(sizes, points, np.maximum(errors, 0), color=color, marker=marker, ms=5, capsize=3, linestyle="none")


def _batch_axis(axes: Axes, sizes: Sequence[int]) -> None:
    set_log(axes.xaxis, sizes)
    axes.set_xticks(sorted(set(sizes)), [str(size) for size in sorted(set(sizes))])
    axes.set_xlabel("batch size")
