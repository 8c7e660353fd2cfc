"""Parameter importance in a search, as bars."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from results.figures.style import COLORS, wrapped
from results.parquet.search_results import SearchResults
from results.parquet.trials import EpochsByKey
from results.statistics.importance import Importance, importance
from trainable.wording import counted

BAR = 0.38
LEAST_EXPLAINED = 0.05
"""Smallest explained share of the variance on unseen trials; below it, importances would mean nothing."""
ALONE, TOGETHER = ("alone", "with interactions")
STYLES = {
    ALONE: {"facecolor": COLORS[0]},
    TOGETHER: {"facecolor": "white", "edgecolor": COLORS[0], "hatch": "///"},
}


def parameter_importance(search: SearchResults, epochs: EpochsByKey) -> list[tuple[str, Importance]]:
    """Return (label of the objective, importances) for each objective that the forest can predict.

    A population has none, because the value of a trial also depends on the state it starts from.
    """
    if search.is_population:
        return []
    found = [
        (objective.label, importance(search, epochs, index)) for index, objective in enumerate(search.objectives)
    ]
    return [(words, shares) for words, shares in found if shares is not None and shares.explained > LEAST_EXPLAINED]


def basis(shares: Importance) -> str:
    """Return what the importances are estimated from."""
    when = "at the end" if shares.epoch is None else f"after epoch {shares.epoch}, before any was stopped"
    explained = f"{100 * max(shares.explained, 0):.0f} % of the variance on unseen trials"
    return f"{counted(shares.num_trials, 'trial')} {when}; the forest explains {explained}"


def draw_parameter_importance(found: Sequence[tuple[str, Importance]], title: str) -> Figure:
    """Draw a panel per objective, one below the other, with the largest bar on top."""
    heights = [0.55 * len(shares.total) + 1.0 for _, shares in found]
    figure = Figure(figsize=(7.2, sum(heights) + 1.0), layout="constrained")
    panels = figure.subplots(len(found), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axes, (words, shares) in zip(panels, found, strict=True):
        names = sorted(shares.total, key=shares.total.__getitem__)
        for values, offset, kind in ((shares.main, BAR / 2, ALONE), (shares.total, -BAR / 2, TOGETHER)):
            heights = [index + offset for index in range(len(names))]
            axes.barh(heights, [100 * values[name] for name in names], height=BAR, **STYLES[kind])
            for height, name in zip(heights, names, strict=True):
                axes.text(100 * values[name] + 1, height, f"{100 * values[name]:.0f}", va="center", fontsize=8)
        axes.set_yticks(range(len(names)), names)
        axes.set_title(wrapped(f"{words}: {basis(shares)}", 90), loc="left", fontsize="small")
        axes.grid(visible=True, axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    panels[-1].set_xlim(0, 108)
    panels[-1].set_xlabel("share of the variance of the objective over the space (%)")
    figure.suptitle(wrapped(title, 80), fontsize="medium")
    handles = [Patch(label=kind, **style) for kind, style in STYLES.items()]  # type: ignore[arg-type]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    return figure
