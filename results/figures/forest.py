"""Differences of pairs with their intervals, one below the other (a forest plot)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import blended_transform_factory

from results.figures.style import COLORS, literal_text, set_title, without_controls, wrapped
from results.statistics.comparison_text import interval_text, signed
from results.statistics.paired import PairedComparison
from results.statistics.paired_text import arms_words, pair_title
from results.statistics.sequel import effect
from trainable.wording import shortened

STEM = "comparison"
ROWS_PER_PAGE = 30
ROW_HEIGHT = 0.36
LINE_WIDTH = 50
"""Width in characters of a line of a label, which has two at most."""
LOOKS = {
    "better": (COLORS[0], "o"),
    "worse": (COLORS[1], "s"),
    "no difference": (COLORS[2], "D"),
    "cannot tell": (COLORS[7], "o"),
}
"""Verdict -> colour and marker; that of `cannot tell` is hollow."""
SMALL = "small"


@dataclass(frozen=True, slots=True)
class ForestRow:
    """A difference with its interval."""

    label: str
    points: float
    interval: tuple[float, float]
    verdict: str
    text: str
    """Difference, interval and verdict in words."""
    is_average: bool = False


def forest_rows(comparison: PairedComparison) -> list[ForestRow]:
    """Return what is drawn: the pairs in the order of the table, then the averages."""
    tested = [(pair_title(comparison, pair), pair.test, "", False) for pair in comparison.pairs]
    for mean in comparison.averages:
        doubt = ", but rows disagree" * (mean.p_equal <= comparison.alpha)
        tested.append((f"{mean.arm}: mean of {mean.num_pairs}", mean.test, doubt, True))
    return [
        ForestRow(
            shortened(label, 2 * LINE_WIDTH),
            test.points,
            test.interval,
            effect(test),
            f"{signed(test.points)} {interval_text(test)} {effect(test)}{doubt}",
            is_average,
        )
        for label, test, doubt, is_average in tested
        if test is not None
    ]


def forest_pages(comparison: PairedComparison, sweep: str = "") -> Iterator[tuple[str, Figure]]:
    """Yield the name of the file and the figure of each page; `sweep` names the one whose arms are compared."""
    rows = forest_rows(comparison)
    title = f"{f'{sweep}: ' * bool(sweep)}{arms_words(comparison)}, {100 * (1 - comparison.alpha):g} % intervals"
    pages = [rows[start : start + ROWS_PER_PAGE] for start in range(0, len(rows), ROWS_PER_PAGE)]
    for number, page in enumerate(pages, 1):
        yield f"{STEM}{f'_{number}' * (len(pages) > 1)}", without_controls(_draw(page, comparison, title))


@literal_text()
def _draw(rows: Sequence[ForestRow], comparison: PairedComparison, title: str) -> Figure:
    """Draw the rows from top to bottom, with the margin as a band and the values in words to the right."""
    figure = Figure(figsize=(10.5, 1.7 + ROW_HEIGHT * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    margin = comparison.margin_points
    axes.axvspan(-margin, margin, color=COLORS[7], alpha=0.15, linewidth=0)
    axes.axvline(0, color="black", linewidth=0.8)
    for index, row in enumerate(rows):
        color, marker = LOOKS[row.verdict]
        face = "white" if row.verdict == "cannot tell" else color
        width = 3.0 if row.is_average else 1.6
        axes.plot(row.interval, [index] * 2, color=color, linewidth=width, solid_capstyle="butt", zorder=2)
        axes.plot(row.points, index, color=color, marker=marker, mfc=face, ms=8 if row.is_average else 6, zorder=3)
        beside = blended_transform_factory(axes.transAxes, axes.transData)
        axes.text(1.01, index, row.text, transform=beside, va="center", fontsize=SMALL)
    axes.set_yticks(range(len(rows)), [wrapped(row.label, LINE_WIDTH) for row in rows], fontsize=SMALL)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(f"difference in test error from {comparison.first} (points): left of 0 is better")
    axes.grid(axis="x", alpha=0.25)
    set_title(axes, title, width=90)
    _add_legend(axes, rows, comparison)
    return figure


def _add_legend(axes: Axes, rows: Sequence[ForestRow], comparison: PairedComparison) -> None:
    handles: list[Line2D | Patch] = []
    for verdict, (color, marker) in LOOKS.items():
        if any(row.verdict == verdict for row in rows):
            face = "white" if verdict == "cannot tell" else color
            handles.append(Line2D([], [], color=color, marker=marker, mfc=face, ms=6, label=verdict))
    margin = f"within the margin of {comparison.margin_points:g} points"
    handles.append(Patch(color=COLORS[7], alpha=0.15, linewidth=0, label=margin))
    axes.figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=SMALL, frameon=False)
