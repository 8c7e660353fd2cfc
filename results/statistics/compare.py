"""Comparison of a sweep with the published tables: differences, verdicts, and warnings."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from results.parquet.trials import Cell
from results.published.recipe import Departure, Recipe, published_recipe
from results.statistics.matching import (
    STANDS_FOR,
    Match,
    Published,
    match_cells,
    num_test_images,
    published_configurations,
    published_repeats,
)
from results.statistics.noise import Dispersion, Repeats, pooled_dispersion
from results.statistics.verdicts import Verdict, equality_p, judge, t_quantile
from trainable.errors import UserError
from trainable.grouping import grouped
from trainable.records import Status
from trainable.wording import counted


@dataclass(frozen=True, slots=True)
class Difference:
    """Our error minus the published one, in percentage points, with its statistics."""

    points: float
    standard_error: float
    interval: tuple[float, float]
    """Two-sided confidence interval at 1 - alpha, not corrected for the number of rows."""
    p_differs: float
    """p value of 'there is no difference', corrected within the comparison."""
    p_reproduced: float
    """p value of 'the difference is at least the margin', corrected within the comparison."""
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ComparedCell:
    """A published configuration and our results for it."""

    published: Published
    cell: Cell | None
    """Our results; None if the sweep lacks the configuration."""
    departures: tuple[Departure, ...]
    """Settings in which our runs depart from the published ones; with any, the errors are not comparable."""
    verdict: Verdict
    test: Difference | None = None
    """None if no verdict is given."""

    @property
    def errors(self) -> list[float]:
        """Errors of our finished runs at the last epoch."""
        return self.cell.test_errors if self.cell else []

    @property
    def test_error_percent(self) -> float | None:
        """Mean error of our finished runs."""
        return statistics.fmean(self.errors) if self.errors else None

    @property
    def difference_points(self) -> float | None:
        """Our error minus the published one."""
        ours = self.test_error_percent
        return None if ours is None else ours - self.published.test_error_percent

    @property
    def note(self) -> str:
        """States of our runs without a final error: `2 diverged, 1 failed`."""
        trials = self.cell.trials if self.cell else ()
        counts = Counter(trial.row.status.lower() for trial in trials if trial.status is not Status.COMPLETE)
        return ", ".join(f"{count} {status}" for status, count in counts.items())


@dataclass(frozen=True, slots=True)
class Comparison:
    """A sweep compared with the published tables."""

    sweep: str
    table: str | None
    margin_points: float
    alpha: float
    warnings: tuple[str, ...]
    """Why some or all rows are not comparable; shown first."""
    notes: tuple[str, ...]
    dispersion: Dispersion
    """The noise that the verdicts assume."""
    cells: tuple[ComparedCell, ...]
    overall: Difference | None
    """Single test of the mean difference over all cells with a verdict; None for fewer than two."""

    @property
    def p_equal(self) -> float:
        """p value of 'all cells with a verdict have the same difference'."""
        return rows_equal_p([cell.test for cell in self.cells if cell.test], self.dispersion)

    def count(self, verdict: Verdict) -> int:
        return sum(cell.verdict is verdict for cell in self.cells)


def rows_equal_p(tests: Sequence[Difference], dispersion: Dispersion) -> float:
    """Return the p value of 'the differences of all these rows are equal'."""
    points, errors = (np.array([getattr(test, name) for test in tests]) for name in ("points", "standard_error"))
    return equality_p(points, errors, dispersion.degrees_of_freedom)


@dataclass(frozen=True, slots=True)
class _Tests:
    """What all tests of one comparison share."""

    dispersion: Dispersion
    recipe: Recipe
    margin: float
    alpha: float

    def of_matches(self, matches: Sequence[Match]) -> tuple[list[Difference], Difference | None]:
        """Test each match, corrected as one family, and their mean difference by a single test."""
        points, variances = [], []
        for match in matches:
            if match.cell is None:
                continue
            errors, published = match.cell.test_errors, match.published
            ours = statistics.fmean(errors)
            points.append(ours - published.test_error_percent)
            variances.append(
                self.dispersion.run_variance(ours, num_test_images(match.cell, self.recipe)) / len(errors)
                + self.dispersion.run_variance(published.test_error_percent, self.recipe.num_test_images)
                * published.variance_factor
            )
        tests = self._family(points, [math.sqrt(variance) for variance in variances])
        if len(points) < 2:
            return tests, None
        return tests, self._family([statistics.fmean(points)], [math.sqrt(sum(variances)) / len(points)])[0]

    def _family(self, points: Sequence[float], standard_errors: Sequence[float]) -> list[Difference]:
        degrees = self.dispersion.degrees_of_freedom
        return judged_family(points, standard_errors, degrees, margin=self.margin, alpha=self.alpha)


def judged_family(
    points: Sequence[float],
    standard_errors: Sequence[float],
    degrees_of_freedom: float | Sequence[float],
    *,
    margin: float,
    alpha: float,
    choices: Sequence[tuple[int, int]] | None = None,
) -> list[Difference]:
    """Test a family of differences; the arguments are those of `judge`.

    Where a side of a difference is the best of several configurations, `choices` has the numbers of those on the
    reference side and on the other: p values and intervals then allow for the choice.
    """
    differences, errors = np.array(points), np.array(standard_errors)
    degrees = np.broadcast_to(np.array(degrees_of_freedom, dtype=np.float64), differences.shape)
    numbers = np.array(choices or [(1, 1)] * len(points)).reshape(-1, 2)
    judgement = judge(differences, errors, degrees, margin=margin, alpha=alpha, choices=numbers)
    reach = t_quantile(1 - alpha / 2 / numbers, degrees[:, None]) * errors[:, None]
    return [
        Difference(point, error, (point - low, point + high), p_differs, p_reproduced, verdict)
        for point, error, (low, high), p_differs, p_reproduced, verdict in zip(
            points,
            standard_errors,
            reach.tolist(),
            judgement.p_differs.tolist(),
            judgement.p_reproduced.tolist(),
            judgement.verdicts(),
            strict=True,
        )
    ]


def compare(
    sweep: str,
    cells: Sequence[Cell],
    *,
    table: str | None = None,
    margin: float = 0.5,
    alpha: float = 0.05,
    anyway: bool = False,
) -> Comparison:
    """Compare the sweep with every published configuration it has; with `table`, list those it lacks, too.

    Args:
        sweep: name of the sweep.
        cells: configurations of the sweep.
        table: name of a published table; None compares with all tables.
        margin: largest difference, in points, that would not matter; above 0.
        alpha: chance of any wrong verdict of a kind, in (0, 1).
        anyway: give verdicts on cells that depart from the published settings, too. If the test images differ as
            well, their sampling no longer cancels, and such verdicts claim more than is known.

    Raises:
        UserError: no such table, or the sweep has no published configuration.
    """
    recipe = published_recipe()
    published = published_configurations(table)
    if table is None:
        published.sort(key=_order)
    matches = match_cells(published, cells, recipe)
    if table is None:
        matches = [match for match in matches if match.cell is not None]
        if not matches:
            raise UserError(
                f"no configuration of {sweep!r} is in the published tables (configurations are matched by model, "
                f"batch_size, lr, schedule and epochs, or by the variables {', '.join(STANDS_FOR)} of the space)"
            )
    compared = [_unjudged(match) for match in matches]
    judged = [index for index, cell in enumerate(compared) if cell.errors and (anyway or not cell.departures)]
    our_repeats = [
        Repeats(cell.test_errors, num_test_images(cell, recipe)) for i in judged if (cell := matches[i].cell)
    ]
    dispersion = pooled_dispersion(published_repeats(recipe) + our_repeats)
    tests, overall = _Tests(dispersion, recipe, margin, alpha).of_matches([matches[i] for i in judged])
    for index, test in zip(judged, tests, strict=True):
        compared[index] = replace(compared[index], verdict=test.verdict, test=test)
    notes = [_noise_note(our_repeats, dispersion, recipe), *_notes(matches, len(cells), recipe)]
    return Comparison(
        sweep=sweep,
        table=table,
        margin_points=margin,
        alpha=alpha,
        warnings=tuple(_warnings(compared)),
        notes=tuple(notes),
        dispersion=dispersion,
        cells=tuple(compared),
        overall=overall,
    )


def _order(published: Published) -> tuple[object, ...]:
    """Return the place of a configuration among those of all tables; a table prints large batches and rates first."""
    item = published.configuration
    return (item.model, item.schedule, item.variant, item.epochs, -item.batch_size, -item.lr)


def _unjudged(match: Match) -> ComparedCell:
    verdict = Verdict.NOT_RUN
    if match.cell is not None:
        verdict = Verdict.NOT_COMPARABLE if match.departures and match.cell.test_errors else Verdict.NO_RESULT
    return ComparedCell(match.published, match.cell, match.departures, verdict)


def _warnings(cells: Sequence[ComparedCell]) -> list[str]:
    """Return a warning that rows are not comparable, then one line for each setting that departs."""
    ours = [cell for cell in cells if cell.verdict is not Verdict.NOT_RUN]
    departed = [cell for cell in ours if cell.departures]
    if not departed:
        return []
    departures = [departure for cell in departed for departure in cell.departures]
    num_ours = counted(len(ours), "configuration")
    which = "" if len(departed) == len(ours) else f" for {len(departed)} of {num_ours}"
    return [
        f"NOT COMPARABLE WITH THE PUBLISHED RUNS{which}: ours were trained with other settings",
        *(
            f"{name}: {', '.join(dict.fromkeys(f'{item.ours} instead of {item.published}' for item in items))} "
            f"({len(items)} of {num_ours})"
            for name, items in grouped(departures, lambda departure: departure.field).items()
        ),
    ]


def _noise_note(our_repeats: Sequence[Repeats], dispersion: Dispersion, recipe: Recipe) -> str:
    num_repeated = sum(len(group.test_errors) > 1 for group in our_repeats)
    published = counted(len(published_repeats(recipe)), "published configuration")
    degrees = counted(dispersion.degrees_of_freedom, "degree of freedom", "degrees of freedom")
    return (
        f"noise: a run's variance is {dispersion.factor:.2f} times the binomial variance "
        f"({math.sqrt(dispersion.run_variance(8, recipe.num_test_images)):.2f} points at an error of 8 %), "
        f"estimated with {degrees} from {published} with repeats and {num_repeated} of ours"
    )


def _notes(matches: Sequence[Match], num_cells: int, recipe: Recipe) -> list[str]:
    notes, found = [], [match for match in matches if match.cell is not None]
    precisions = {
        trial.row.precision_resolved
        for match in found
        if match.cell is not None and match.published.configuration.precision == recipe.precision
        for trial in match.cell.trials
    }
    if others := sorted(precisions - {recipe.precision}):
        notes.append(
            f"precision: {', '.join(others)} instead of {recipe.precision}; its effect is part of the difference"
        )
    num_unmatched = num_cells - len(found)
    if num_unmatched > 0:
        verb = counted(num_unmatched, "configuration of the sweep is", "configurations of the sweep are")
        notes.append(f"{verb} not among these published ones")
    return notes
