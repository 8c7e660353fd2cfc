"""Figures by name: which points each of them shows, and why it may be empty."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from results.figures import (
    ALL,
    SCATTER,
    TOGETHER,
    chosen_names,
    error_by_epochs,
    error_by_lr,
    heat_map,
    insight,
    learning_curves,
    marks,
    pareto_front,
    scatter,
)
from results.figures.fields import SweepTrials
from results.figures.figure_data import Results
from results.figures.points import (
    SGD,
    Point,
    Source,
    axis_label,
    leading_axes,
    missing_words,
    of_source,
    point_axes,
    published_points,
    spans_line,
    sweep_points,
    title,
    with_error,
)
from results.figures.ranks import ALL_RANKS, Ranks, shown_words
from results.figures.search_gallery import SEARCH_DRAWERS, search_title
from results.figures.style import literal_text, without_controls
from results.insight.findings import findings
from results.insight.groups import groups_of_published, groups_of_trials
from results.parquet.search_results import SearchResults, free_fields
from results.parquet.trials import Cell
from trainable.config import in_field_order
from trainable.errors import UserError
from trainable.wording import counted, listed


def draw(figure: str, results: Results) -> dict[str, Figure]:
    """Return file stem -> figure, as `pages` yields them."""
    return dict(pages(figure, results))


def pages(figure: str, results: Results) -> Iterator[tuple[str, Figure]]:
    """Draw one name, or all figures that the results can fill, and yield (file stem, figure).

    Each figure is drawn when it is asked for: all pages of a large sweep do not fit into memory.

    Raises:
        UserError: no such figure, or nothing to draw.
    """
    is_empty = True
    names = chosen_names(figure)
    if results.beside and figure not in (ALL, *TOGETHER):
        raise UserError(f"--figure {figure}: several sweeps are drawn together in {', '.join(TOGETHER)} only")
    for name in TOGETHER if results.beside and figure == ALL else names:
        parts = [name, *(results.roles.words() if name == SCATTER else ())]
        parts += [f"with_{other.sweep}" for other in results.beside]
        stem = re.sub(r"[^\w.-]", "_", "_".join(parts))
        number = 0
        for number, page in enumerate(_drawn(name, results), start=1):
            is_empty = False
            yield stem if number == 1 else f"{stem}_{number}", page
        if results.sweep and not number and name not in (*results.left_out, *SEARCH_DRAWERS):
            results.leave_out(name, _why_empty(name, results))
    if is_empty:
        what = "every figure" if figure == ALL else f"figure {figure!r}"
        raise UserError(f"{what} would be empty: {_why_empty(figure, results)}")


def _drawn(name: str, results: Results) -> Iterator[Figure]:
    """Draw the pages of a figure, whose texts are of unknown origin."""
    with literal_text():
        remaining = iter(_pages(name, results))
    while True:
        with literal_text():
            page = next(remaining, None)
        if page is None:
            return
        yield without_controls(page)


def _pages(name: str, results: Results) -> Iterable[Figure]:
    if name == SCATTER:
        return _scatter(results)
    if (reason := _unsuited(name, results.search)) and not results.published:
        return results.leave_out(name, reason)
    if name in DRAWERS:
        return DRAWERS[name](results)
    return SEARCH_DRAWERS[name](results.search, results) if results.search is not None else []


def _unsuited(figure: str, search: SearchResults | None) -> str:
    if search is not None and search.is_population and figure in FIGURES_OF_TRIALS:
        return NO_WHOLE_TRIALS
    return NO_GRID if search is not None and search.has_ranges and figure in FIGURES_OF_CONFIGURATIONS else ""


def _why_empty(figure: str, results: Results) -> str:
    if figure == "learning_curves" and results.sweep is None:
        return "there are no published learning curves"
    if figure in SEARCH_DRAWERS and results.search is None:
        return "the sweep is not a search"
    return results.left_out.get(figure, WHY_EMPTY.get(figure, "no finished trial has an error"))


def _error_by_lr(results: Results) -> list[Figure]:
    figures = _own_error_by_lr(results)
    if results.published and results.sweep is None:
        lars = error_by_lr.published((SGD, "lars"))
        figures.append(error_by_lr.draw_error_by_lr(error_by_lr.error_by_lr(lars), title(lars)))
    return figures


def _own_error_by_lr(results: Results) -> list[Figure]:
    points, search = results.points(results.published_grids, scattered=True), results.search
    known = with_error(points)
    if not known:
        return []
    parameters = search.parameters if search is not None else ()
    free = set(free_fields(search)) if search is not None else set()
    axes = error_by_lr.line_axes(points, free, parameters)
    if len({point.value(axes.x.name) for point in known}) < 2:
        return results.leave_out("error_by_lr", ONE_POINT if len(known) == 1 else f"one {axes.x.label} has an error")
    lines = error_by_lr.error_by_lr(points, axes)
    if search is not None and len(lines) > MOST_SERIES:
        separate = {axis.name for axis in axes.lines}
        best = next(axis.name for axis in point_axes(points, parameters, first=()) if axis.name in separate)
        free |= separate - {best}
        axes = error_by_lr.line_axes(points, free, parameters)
        lines = error_by_lr.error_by_lr(points, axes)
    heading = title(points, axes.shown)
    if others := [name for name in in_field_order(free) if name != axes.x.name]:
        heading += f"\npoints also differ in {listed(others, MOST_NAMED)}"
    if len(lines) > error_by_lr.MOST_LINES:
        words = shown_words(Ranks(1, error_by_lr.MOST_LINES), len(lines), "lines")
        lines = error_by_lr.best_lines(lines)
        heading += results.note("error_by_lr", words)
    heading += _missing(results, "error_by_lr", points)
    return [error_by_lr.draw_error_by_lr(lines, heading, axes)]


def _one_axis(points: Sequence[Point]) -> str:
    leading, followers = leading_axes(point_axes(points), points)
    return f"only one field varies: {axis_label(leading[0], followers)}" if leading else ONE_POINT


def _missing(results: Results, figure: str, points: Sequence[Point], *, lost: bool = False) -> str:
    """Return the further line of a title that counts the configurations without an error, and note it."""
    words = missing_words(points, lost=lost)
    return results.note(figure, f"configurations without an error: {words}" if words else "")


def _error_by_epochs(results: Results) -> list[Figure]:
    points = with_error(all_points := results.points(error_by_epochs.published))
    if not points:
        return []
    for label, values in (
        ("number of epochs", {p.epochs for p in points}),
        ("batch size", {p.batch_size for p in points}),
    ):
        if len(values) < 2:
            return results.leave_out("error_by_epochs", f"the {label} does not vary")
    panels = error_by_epochs.error_by_epochs(all_points)
    drawn = with_error(panels.points)
    if len({point.epochs for point in drawn}) < 2 or len({point.batch_size for point in drawn}) < 2:
        return results.leave_out("error_by_epochs", NO_RULE)
    note = results.note(
        "error_by_epochs", shown_words(Ranks(1, len(drawn)), panels.num_points, "configurations on the lines")
    )
    off = f"{counted(panels.num_off, 'further configuration')} with another lr"
    note += results.note("error_by_epochs", off if panels.num_off else "")
    note += _missing(results, "error_by_epochs", all_points)
    return [error_by_epochs.draw_error_by_epochs(panels, title(drawn), note)]


def _heat_map(results: Results) -> list[Figure]:
    points = results.points(results.published_grids)
    if not with_error(points):
        return []
    parameters = results.search.parameters if results.search is not None else ()
    maps: list[heat_map.HeatMap] = []
    headings, left_out = [], 0
    for members in filter(None, (of_source(points, source) for source in Source)):
        axes = heat_map.map_axes(members, parameters)
        if axes is None:
            results.leave_out("heat_map", _one_axis(members))
            continue
        maps += heat_map.heat_maps(members, axes)
        left_out += heat_map.left_out(members, axes)
        headings.append(title(members, axes.shown))
    if maps and all(len(panel.errors) == 1 for panel in maps):
        return results.leave_out("heat_map", f"each of the {len(maps) + left_out} maps would have one cell")
    of_all = f"{left_out} of the {len(maps) + left_out} maps"
    limits = f"at most {heat_map.MOST_MAPS} maps are drawn, each of at most {heat_map.MOST_COLUMNS} columns"
    if left_out and not maps:
        return results.leave_out("heat_map", limits)
    note = results.note(
        "heat_map", f"{of_all} {'is' if left_out == 1 else 'are'} not drawn: {limits}" * bool(left_out)
    )
    note += spans_line([len(point.errors) for point in with_error(of_source(points, Source.OURS))], has_bars=False)
    return [heat_map.draw_heat_maps(maps, "\n".join(headings) + note)] if maps else []


def _pareto_front(results: Results) -> list[Figure]:
    given = results.points(published_points)
    found = pareto_front.clouds(given)
    points = [point for cloud in found for point in cloud.points]
    if not points:
        return []
    if reason := pareto_front.equal_cost(points):
        return results.leave_out("pareto_front", reason)
    heading = title(points) + _missing(results, "pareto_front", given, lost=True)
    return [pareto_front.draw_pareto_front(found, heading)]


def _learning_curves(results: Results) -> Iterable[Figure]:
    search, sweep = results.search, results.sweep or ""
    if results.beside:
        return _curves_together((results, *results.beside))
    if search is None:
        ranks = results.curves or Ranks(1, learning_curves.MOST_PANELS)
        heading, what = title(sweep_points(results.cells, sweep)), "configurations"
    else:
        most = learning_curves.MOST_PANELS if search.is_population else learning_curves.MOST_PANELS_OF_SEARCH
        ranks, heading, what = results.curves or Ranks(1, most), search_title(search, results), "curves"
    panels, total = _curve_panels(results, ranks)
    if total and not panels:
        raise UserError(f"--curves {ranks.first}-{ranks.last}: there are only {total} {what}")
    heading += results.note("learning_curves", shown_words(ranks, total, what), "; plot --curves all draws all")
    return learning_curves.draw_learning_curves(panels, heading)


def _curve_panels(
    results: Results, ranks: Ranks, among: Sequence[Cell] = ()
) -> tuple[list[learning_curves.Panel], int]:
    """Return the learning curves at these ranks, and how many there are at all.

    `among` are the cells of all sweeps of the figure, from which a label tells its configuration.
    """
    search, records = results.search, results.epochs()
    if search is None:
        total = sum(learning_curves.has_epochs(cell, records) for cell in results.cells)
        return learning_curves.learning_curves(results.cells, records, results.sweep or "", ranks, among), total
    curves = learning_curves.population_curves if search.is_population else learning_curves.search_curves
    panels = curves(search, records, ALL_RANKS)
    return panels[ranks.positions], len(panels)


def _curves_together(sweeps: Sequence[Results]) -> list[Figure]:
    """Draw the curves of several sweeps in the same panels: the best of each, unless others are asked for."""
    first = sweeps[0]
    ranks = first.curves or Ranks(1, max(1, learning_curves.MOST_SHARED // len(sweeps)))
    among = [cell for results in sweeps if results.search is None for cell in results.cells]
    panels, heading = [], []
    for results in sweeps:
        found, total = _curve_panels(results, ranks, among)
        panels += [replace(panel, sweep=results.sweep or "") for panel in found]
        shown = first.note("learning_curves", shown_words(ranks, total, f"curves of {results.sweep}"))
        heading.append(title(sweep_points(results.cells, results.sweep or "")) + shown)
    if len(panels) > MOST_TOGETHER:
        raise UserError(f"--curves: {len(panels)} curves of {len(sweeps)} sweeps; {MOST_TOGETHER} can share a figure")
    return [learning_curves.draw_shared(panels, "\n".join(heading))] if panels else []


def _scatter(results: Results) -> list[Figure]:
    sweeps = [
        SweepTrials.of_sweep(each.sweep or "", each.cells, each.search, is_running=each.is_running)
        for each in (results, *results.beside)
    ]
    try:
        content = marks.scatter(sweeps, results.roles)
    except UserError as error:
        if not results.beside or results.roles.named():
            raise
        return results.leave_out(SCATTER, str(error))
    results.note(SCATTER, content.note)
    if not content.marks:
        return results.leave_out(SCATTER, f"no trial has a value of each: {listed(content.results, MOST_NAMED)}")
    return [scatter.draw_scatter(content)]


def _insight(results: Results) -> list[Figure]:
    groups = groups_of_trials(trial for cell in results.cells for trial in cell.trials)
    groups += groups_of_published() if results.published and results.sweep is None else []
    found = [each for each in findings(groups).insights if each.tells_rates]
    shown = shown_words(Ranks(1, insight.MOST_GROUPS), len(found), "groups of equal settings")
    note = results.note("insight", shown)
    of_sweep = f"{results.sweep}, " if results.sweep else ""
    return [insight.draw_insight(each, f"{of_sweep}{each.label}{note}") for each in found[: insight.MOST_GROUPS]]


DRAWERS: dict[str, Callable[[Results], Iterable[Figure]]] = {
    "error_by_lr": _error_by_lr,
    "error_by_epochs": _error_by_epochs,
    "heat_map": _heat_map,
    "pareto_front": _pareto_front,
    "learning_curves": _learning_curves,
    "insight": _insight,
}
FIGURES_OF_CONFIGURATIONS = ("error_by_epochs", "heat_map", "pareto_front")
"""Figures of configurations on a grid, by test error."""
FIGURES_OF_TRIALS = (*FIGURES_OF_CONFIGURATIONS, "error_by_lr", "parameter_importance")
"""Figures of the final errors of trials, which a population does not have."""
MOST_TOGETHER = 24
"""Largest number of learning curves of several sweeps in a figure: as many look different."""
MOST_NAMED = 4
"""Number of fields that a title names."""
MOST_SERIES = 12
"""Largest number of lines of a search in a figure against lr."""
NO_GRID = "a search over ranges fills no grid and is not judged by test error (see error_by_lr)"
ONE_POINT = "only one configuration has an error"
NO_RULE = "no rule for lr holds for several batch sizes and several numbers of epochs"
NO_WHOLE_TRIALS = "a trial of a population is only one generation of a training"
WHY_EMPTY = {
    "objective_front": "the search has one objective",
    "insight": "no batch size has runs at enough learning rates to tell the best one",
    "learning_curves": "no epoch is recorded",
}
