"""A sweep beside the published tables: which of our cells stands for which configuration, and what can be said."""

import json
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from results.parquet.trials import Cell
from results.published.cells import LONGER_FILE, SEED_FILE, PublishedCell, published_cells, table_cells
from results.published.recipe import Departure, Recipe, departures, published_recipe
from results.statistics.noise import Dispersion, Repeats, median_variance_factor, pooled_dispersion
from results.statistics.verdicts import Verdict, judge, t_quantile
from trainable.errors import UserError
from trainable.records import PUBLISHED_BATCH_SIZE, PUBLISHED_EPOCHS, PUBLISHED_MODEL, Status
from trainable.rounding import printed_lr

STANDS_FOR = (PUBLISHED_MODEL, PUBLISHED_EPOCHS, PUBLISHED_BATCH_SIZE)
"""The variables of a scaled-down trial that say which published configuration it stands for."""
Configuration = tuple[str, int, float, str, int]
"""(model, batch_size, lr, schedule, epochs)"""


@dataclass(frozen=True, slots=True)
class Published:
    """A configuration with all its published runs, whichever table prints them."""

    configuration: Configuration
    tables: tuple[str, ...]
    cells: tuple[PublishedCell, ...]
    """One for each different error: where two tables print the same error, it is one run, printed twice."""

    @property
    def num_runs(self) -> int:
        return sum(cell.num_runs for cell in self.cells)

    @property
    def test_error_percent(self) -> float:
        """As printed; the mean where different errors are printed."""
        return statistics.fmean(cell.test_error_percent for cell in self.cells)

    @property
    def variance_factor(self) -> float:
        """Variance of `test_error_percent` over that of one run."""
        return sum(median_variance_factor(cell.num_runs) for cell in self.cells) / len(self.cells) ** 2


@dataclass(frozen=True, slots=True)
class Difference:
    """Ours less published, in points, with what can be said of it."""

    points: float
    standard_error: float
    interval: tuple[float, float]
    """Two-sided, at 1 - alpha, of this difference alone."""
    p_differs: float
    """Of 'there is no difference'; corrected within the comparison."""
    p_reproduced: float
    """Of 'the difference is at least the margin'; corrected within the comparison."""
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ComparedCell:
    """One published configuration, and what a sweep has of it."""

    model: str
    batch_size: int
    """As published; so are lr, schedule and epochs."""
    lr: float
    schedule: str
    epochs: int
    tables: tuple[str, ...]
    num_published_runs: int
    published_error_percent: float
    num_runs: int
    """Finished runs of ours, of `num_planned`."""
    num_planned: int
    test_error_percent: float | None
    """The mean of our finished runs, at the last epoch."""
    difference_points: float | None
    verdict: Verdict
    departures: tuple[Departure, ...] = ()
    """Why it is no comparison; empty where it is one."""
    note: str = ""
    test: Difference | None = None
    """None where no verdict is given."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A sweep beside the published tables."""

    sweep: str
    table: str | None
    margin_points: float
    alpha: float
    warnings: tuple[str, ...]
    """Why this is not, or not all of it, a comparison: to be shown first."""
    notes: tuple[str, ...]
    dispersion: Dispersion
    """The noise behind the verdicts."""
    cells: tuple[ComparedCell, ...]
    overall: Difference | None
    """The mean difference over all cells that have a verdict, a single test; None for fewer than two."""

    def count(self, verdict: Verdict) -> int:
        return sum(cell.verdict is verdict for cell in self.cells)


@dataclass(frozen=True, slots=True)
class _Match:
    """A published configuration with a cell of ours that stands for it, or none."""

    published: Published
    cell: Cell | None
    departures: tuple[Departure, ...] = ()


def compare(
    sweep: str,
    cells: Sequence[Cell],
    *,
    table: str | None = None,
    margin: float = 0.5,
    alpha: float = 0.05,
    anyway: bool = False,
) -> Comparison:
    """Every published configuration that the sweep has; with `table`, those of that table that it lacks too.

    Args:
        margin: points, above 0; alpha: in (0, 1).
        anyway: give verdicts on cells that were trained otherwise than the published rows, too. Where the test
            images are others as well, their draw no longer cancels: such verdicts claim more than is known.

    Raises:
        UserError: no such table, or the sweep has no published configuration at all.
    """
    recipe = published_recipe()
    published = published_configurations(table)
    matches = _match(published, cells, recipe)
    if table is None:
        matches = [match for match in matches if match.cell is not None]
        if not matches:
            raise UserError(
                f"no configuration of {sweep!r} stands in a published table (model, batch_size, lr, schedule and "
                f"epochs decide, or what {', '.join(STANDS_FOR)} of its space say)"
            )
    compared = [_unjudged(match) for match in matches]
    judged = [
        index
        for index, cell in enumerate(compared)
        if cell.test_error_percent is not None and (anyway or not cell.departures)
    ]
    groups = published_repeats(recipe) + [_repeats(cell, recipe) for i in judged if (cell := matches[i].cell)]
    dispersion = pooled_dispersion(groups)
    tests, overall = _tests([matches[i] for i in judged], dispersion, recipe, margin, alpha)
    for index, test in zip(judged, tests, strict=True):
        compared[index] = replace(compared[index], verdict=test.verdict, test=test)
    ours = [match.cell for match in matches if match.cell is not None]
    return Comparison(
        sweep=sweep,
        table=table,
        margin_points=margin,
        alpha=alpha,
        warnings=tuple(_warnings(compared)),
        notes=tuple(_notes(ours, len(cells) - len(ours), groups, dispersion, recipe)),
        dispersion=dispersion,
        cells=tuple(compared),
        overall=overall,
    )


def published_configurations(table: str | None = None) -> list[Published]:
    """In the order in which they were first printed; of one table, or of all. The runs are those of all tables.

    Raises:
        UserError: no such table.
    """
    groups: dict[Configuration, list[PublishedCell]] = {}
    for file in (SEED_FILE, LONGER_FILE):
        for cell in published_cells(file):
            groups.setdefault(cell.configuration, []).append(cell)
    wanted = list(groups) if table is None else list(dict.fromkeys(cell.configuration for cell in table_cells(table)))
    return [
        Published(
            configuration,
            tuple(dict.fromkeys(cell.table for cell in groups[configuration])),
            tuple({cell.error_printed: cell for cell in groups[configuration]}.values()),
        )
        for configuration in wanted
    ]


def published_repeats(recipe: Recipe) -> list[Repeats]:
    """The configurations that stand in the published tables with different errors, of one run each."""
    return [
        Repeats([cell.test_error_percent for cell in item.cells], recipe.num_test_images)
        for item in published_configurations()
        if len(item.cells) > 1 and item.num_runs == len(item.cells)
    ]


def stands_for(cell: Cell) -> Configuration:
    """The published configuration that a cell of ours would have to be compared with."""
    variables = json.loads(cell.trials[0].row.variables)
    config = cell.config
    epochs = round(variables.get(PUBLISHED_EPOCHS, config.epochs))
    batch_size = round(variables.get(PUBLISHED_BATCH_SIZE, config.batch_size))
    model = variables.get(PUBLISHED_MODEL, config.model)
    return (model, batch_size, printed_lr(config.lr), config.schedule, epochs)


def _match(published: Sequence[Published], cells: Sequence[Cell], recipe: Recipe) -> list[_Match]:
    ours: dict[Configuration, list[Cell]] = {}
    for cell in cells:
        ours.setdefault(stands_for(cell), []).append(cell)
    matches = []
    for item in published:
        model, batch_size, lr, schedule, epochs = item.configuration
        found = ours.get((model, batch_size, printed_lr(lr), schedule, epochs), [])
        matches += [_Match(item, cell, _departures(cell, item, recipe)) for cell in found] or [_Match(item, None)]
    return matches


def _departures(cell: Cell, published: Published, recipe: Recipe) -> tuple[Departure, ...]:
    model, batch_size, _, _, epochs = published.configuration
    scaled = [
        Departure(name, str(ours), str(theirs))
        for name, ours, theirs in (
            ("model", cell.config.model, model),
            ("epochs", cell.config.epochs, epochs),
            ("batch_size", cell.config.batch_size, batch_size),
        )
        if ours != theirs
    ]
    return (*departures(cell.config, recipe), *scaled)


def _unjudged(match: _Match) -> ComparedCell:
    model, batch_size, lr, schedule, epochs = match.published.configuration
    errors = match.cell.test_errors if match.cell else []
    error = statistics.fmean(errors) if errors else None
    verdict = Verdict.NOT_COMPARABLE if match.departures and errors else Verdict.NO_RESULT
    return ComparedCell(
        model=model,
        batch_size=batch_size,
        lr=lr,
        schedule=schedule,
        epochs=epochs,
        tables=match.published.tables,
        num_published_runs=match.published.num_runs,
        published_error_percent=match.published.test_error_percent,
        num_runs=len(errors),
        num_planned=len(match.cell.trials) if match.cell else 0,
        test_error_percent=error,
        difference_points=None if error is None else error - match.published.test_error_percent,
        verdict=Verdict.NOT_RUN if match.cell is None else verdict,
        departures=match.departures,
        note=_states(match.cell) if match.cell else "",
    )


def _states(cell: Cell) -> str:
    """What became of the runs without an error: `2 diverged, 1 failed`."""
    counts = Counter(trial.row.status.lower() for trial in cell.trials if trial.status is not Status.COMPLETE)
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def _repeats(cell: Cell, recipe: Recipe) -> Repeats:
    return Repeats(cell.test_errors, _num_test_images(cell, recipe))


def _num_test_images(cell: Cell, recipe: Recipe) -> int:
    if cell.config.test_subset is not None:
        return cell.config.test_subset
    bits = cell.finished[0].row.test_correct_bits
    own = cell.config.dataset != recipe.fields["dataset"] and bits
    return 8 * len(bits) if own and bits else recipe.num_test_images  # one bit an image: up to 7 too many


def _tests(
    matches: Sequence[_Match], dispersion: Dispersion, recipe: Recipe, margin: float, alpha: float
) -> tuple[list[Difference], Difference | None]:
    """One family of tests for the cells, and one test of their mean difference."""
    points, variances = [], []
    for match in matches:
        if match.cell is None:
            continue
        errors, published = match.cell.test_errors, match.published
        ours = statistics.fmean(errors)
        points.append(ours - published.test_error_percent)
        variances.append(
            dispersion.run_variance(ours, _num_test_images(match.cell, recipe)) / len(errors)
            + dispersion.run_variance(published.test_error_percent, recipe.num_test_images)
            * published.variance_factor
        )
    errors_of_cells = [math.sqrt(variance) for variance in variances]
    tests = _family(points, errors_of_cells, dispersion, margin, alpha)
    if len(points) < 2:
        return tests, None
    return tests, _family(
        [statistics.fmean(points)], [math.sqrt(sum(variances)) / len(points)], dispersion, margin, alpha
    )[0]


def _family(
    points: Sequence[float], standard_errors: Sequence[float], dispersion: Dispersion, margin: float, alpha: float
) -> list[Difference]:
    degrees = dispersion.degrees_of_freedom
    judgement = judge(np.array(points), np.array(standard_errors), degrees, margin=margin, alpha=alpha)
    reach = t_quantile(1 - alpha / 2, degrees)
    return [
        Difference(point, error, (point - reach * error, point + reach * error), p_differs, p_reproduced, verdict)
        for point, error, p_differs, p_reproduced, verdict in zip(
            points,
            standard_errors,
            judgement.p_differs.tolist(),
            judgement.p_reproduced.tolist(),
            judgement.verdicts(),
            strict=True,
        )
    ]


def _warnings(cells: Sequence[ComparedCell]) -> list[str]:
    """The first says that it is no comparison; one more for every training field that says why."""
    ours = [cell for cell in cells if cell.verdict is not Verdict.NOT_RUN]
    departed = [cell for cell in ours if cell.departures]
    if not departed:
        return []
    fields: dict[str, list[Departure]] = {}
    for cell in departed:
        for departure in cell.departures:
            fields.setdefault(departure.field, []).append(departure)
    which = "" if len(departed) == len(ours) else f" for {len(departed)} of {len(ours)} configurations"
    return [
        f"THIS IS NOT A COMPARISON WITH THE PUBLISHED RUNS{which}: ours were trained otherwise",
        *(
            f"{name}: {', '.join(dict.fromkeys(f'{item.ours} in place of {item.published}' for item in items))} "
            f"({len(items)} of {len(ours)} configurations)"
            for name, items in fields.items()
        ),
    ]


def _notes(
    ours: Sequence[Cell], num_unmatched: int, groups: Sequence[Repeats], dispersion: Dispersion, recipe: Recipe
) -> list[str]:
    repeated = [group for group in groups if len(group.test_errors) > 1]
    num_published = len(published_repeats(recipe))
    notes = [
        f"noise: a run's variance is {dispersion.factor:.2f} of the binomial's "
        f"({math.sqrt(dispersion.run_variance(8, recipe.num_test_images)):.2f} points at an error of 8 %), "
        f"{dispersion.degrees_of_freedom} degrees of freedom, from {num_published} published configurations "
        f"with repeats and {len(repeated) - num_published} of ours"
    ]
    precisions = sorted({trial.row.precision_resolved for cell in ours for trial in cell.trials} - {recipe.precision})
    if precisions:
        notes.append(f"precision: {', '.join(precisions)} in place of {recipe.precision}; the verdicts include it")
    if num_unmatched > 0:
        notes.append(f"{num_unmatched} of the sweep's configurations are not among these published ones")
    return notes
