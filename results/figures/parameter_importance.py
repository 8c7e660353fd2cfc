"""Which parameters of a search decide its objective."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from results.figures.style import COLORS, broken
from results.parquet.search_results import SearchResults
from results.statistics.importance import Importance, importance
from trainable.records import EpochRecord

BAR = 0.38
LEAST_EXPLAINED = 0.05
"""Of the variance of trials unseen; below it shares of what the forest predicts say nothing of the space."""
ALONE, TOGETHER = ("alone", "with its interactions")
STYLES = {
    ALONE: {"facecolor": COLORS[0]},
    TOGETHER: {"facecolor": "white", "edgecolor": COLORS[0], "hatch": "///"},
}


def parameter_importance(
    search: SearchResults, epochs: Mapping[str, Sequence[EpochRecord]]
) -> list[tuple[str, Importance]]:
    """(words for the objective, its importances), for those of which they can be told.

    Of a population none: what a trial goes on from decides its value, too. Nor where the forest knows nothing.
    """
    if search.is_population:
        return []
    found = [(one.words, importance(search, epochs, index)) for index, one in enumerate(search.objectives)]
    return [(words, one) for words, one in found if one is not None and one.explained > LEAST_EXPLAINED]


def basis(one: Importance) -> str:
    """What the figures rest on."""
    when = "at the end" if one.epoch is None else f"after epoch {one.epoch}, before any was stopped"
    explained = f"{100 * max(one.explained, 0):.0f} % of the variance of trials unseen"
    return f"{one.num_trials} trials {when}; the forest explains {explained}"


def draw_parameter_importance(found: Sequence[tuple[str, Importance]], title: str) -> Figure:
    """A panel an objective, below each other; the largest bar on top."""
    heights = [0.55 * len(one.total) + 1.0 for _, one in found]
    figure = Figure(figsize=(7.2, sum(heights) + 1.0), layout="constrained")
    panels = figure.subplots(len(found), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axes, (words, one) in zip(panels, found, strict=True):
        names = sorted(one.total, key=lambda name: one.total[name])
        for shares, offset, kind in ((one.main, BAR / 2, ALONE), (one.total, -BAR / 2, TOGETHER)):
            places = [place + offset for place in range(len(names))]
            axes.barh(places, [100 * shares[name] for name in names], height=BAR, **STYLES[kind])
            for place, name in zip(places, names, strict=True):
                axes.text(100 * shares[name] + 1, place, f"{100 * shares[name]:.0f}", va="center", fontsize=8)
        axes.set_yticks(range(len(names)), names)
        axes.set_title(broken(f"{words}: {basis(one)}", 90), loc="left", fontsize="small")
        axes.grid(visible=True, axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    panels[-1].set_xlim(0, 108)
    panels[-1].set_xlabel("share of the objective's variance over the space (%)")
    figure.suptitle(broken(title, 80), fontsize="medium")
    handles = [Patch(label=kind, **style) for kind, style in STYLES.items()]  # type: ignore[arg-type]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    return figure
