"""Which configurations of a sweep correspond to which published configurations."""

import functools
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.user_code import is_reference
from results.parquet.trials import Cell
from results.published.cells import (
    MEDIAN_VARIANCE,
    SEQUEL_FILE,
    Configuration,
    PublishedCell,
    all_cells,
    table_cells,
    table_names,
)
from results.published.recipe import Departure, Recipe, configuration_of, departures
from results.statistics.noise import Repeats
from trainable.grouping import grouped
from trainable.records import PUBLISHED_BATCH_SIZE, PUBLISHED_EPOCHS, PUBLISHED_GHOST_BATCH_SIZE, PUBLISHED_MODEL
from trainable.wording import counted

STANDS_FOR = (PUBLISHED_MODEL, PUBLISHED_EPOCHS, PUBLISHED_BATCH_SIZE)
"""Variables of a scaled-down trial that name the published configuration it stands for."""


@dataclass(frozen=True, slots=True)
class Published:
    """A configuration with all its published runs, from all tables that print it."""

    configuration: Configuration
    tables: tuple[str, ...]
    cells: tuple[PublishedCell, ...]
    """One cell per run, or median of runs: an error printed in two tables for the same GPU is the same run."""

    @property
    def num_runs(self) -> int:
        return sum(cell.num_runs for cell in self.cells)

    @property
    def test_error_percent(self) -> float:
        """The error as printed; the mean if different errors are printed."""
        return statistics.fmean(cell.test_error_percent for cell in self.cells)

    def recipes(self, common: Recipe) -> list[Recipe]:
        """Return the settings of these runs, given those that all published runs have in common.

        There are two for runs that are printed in the sequel and in the first tables: which final rate they had is
        not known.
        """
        fields = {
            **common.fields,
            "weight_decay": self.configuration.weight_decay,
            "weight_decay_on": "all" if self.configuration.weight_decay_on_bn else "no_bn",
            "ghost_batch_size": self.configuration.ghost_batch_size,
        }
        if self.configuration.optimizer == "lars":
            fields |= common.lars_fields
        are_of_sequel = {table in table_names(SEQUEL_FILE) for table in self.tables}
        return [
            replace(common, fields={**fields, **(common.sequel_fields if is_of_sequel else {})})
            for is_of_sequel in sorted(are_of_sequel)
        ]

    @property
    def variance_factor(self) -> float:
        """Variance of `test_error_percent` divided by the variance of one run."""
        return sum(MEDIAN_VARIANCE[cell.num_runs] for cell in self.cells) / len(self.cells) ** 2


@dataclass(frozen=True, slots=True)
class Match:
    """A published configuration with our cell that corresponds to it, if any."""

    published: Published
    cell: Cell | None
    departures: tuple[Departure, ...] = ()


def published_configurations(table: str | None = None) -> list[Published]:
    """Return the configurations of one table, or of all, in the order of printing, each with its runs in all tables.

    Raises:
        UserError: no such table.
    """
    groups = grouped(all_cells(), lambda cell: cell.configuration)
    wanted = list(groups) if table is None else list(dict.fromkeys(cell.configuration for cell in table_cells(table)))
    return [
        Published(
            configuration,
            tuple(dict.fromkeys(cell.table for cell in groups[configuration])),
            tuple(
                {(cell.error_printed, cell.num_runs, cell.hardware): cell for cell in groups[configuration]}.values()
            ),
        )
        for configuration in wanted
    ]


def published_repeats(recipe: Recipe) -> list[Repeats]:
    """Return the configurations that are printed with several errors, of single runs or medians of three."""
    return [
        Repeats(
            [cell.test_error_percent for cell in item.cells],
            recipe.num_test_images,
            [MEDIAN_VARIANCE[cell.num_runs] for cell in item.cells],
        )
        for item in published_configurations()
        if len(item.cells) > 1
    ]


def stands_for(cell: Cell) -> Configuration:
    """Return the published configuration that our cell has to be compared with.

    Of those with its model, batch size, lr, schedule and epochs, this is the one with the fewest other settings; the
    optimiser is its own or SGD. What differs is a departure. If none was published, the result is not either.
    """
    variables = json.loads(cell.trials[0].row.variables)
    own = configuration_of(cell.config)
    exact = own._replace(
        model=own.model if is_reference(own.model) else variables.get(PUBLISHED_MODEL, own.model),
        epochs=round(variables.get(PUBLISHED_EPOCHS, own.epochs)),
        batch_size=round(variables.get(PUBLISHED_BATCH_SIZE, own.batch_size)),
        ghost_batch_size=variables.get(PUBLISHED_GHOST_BATCH_SIZE, own.ghost_batch_size),
    )
    base = exact._replace(**Configuration._field_defaults)
    candidates = [
        known for known in _known_configurations().get(base, ()) if known.optimizer in ("sgd", exact.optimizer)
    ]
    return min(candidates, key=lambda known: (_distance(known, exact), _distance(known, base)), default=exact)


def _distance(ours: Configuration, theirs: Configuration) -> int:
    """Return the number of settings in which two configurations differ."""
    return sum(own != other for own, other in zip(ours, theirs, strict=True))


@functools.cache
def _known_configurations() -> dict[Configuration, list[Configuration]]:
    """Return the published configurations by what is left of them without the settings that only the sequel has."""
    known = dict.fromkeys(cell.configuration for cell in all_cells())
    return grouped(known, lambda configuration: configuration._replace(**Configuration._field_defaults))


def match_cells(published: Sequence[Published], cells: Sequence[Cell], recipe: Recipe) -> list[Match]:
    """Return one match for each pair of corresponding configurations, and one for each that the sweep lacks."""
    ours = grouped(cells, stands_for)
    matches = []
    for item in published:
        found = ours.get(item.configuration, [])
        matches += [Match(item, cell, _departures(cell, item, recipe)) for cell in found] or [Match(item, None)]
    return matches


def _departures(cell: Cell, published: Published, recipe: Recipe) -> tuple[Departure, ...]:
    scaled = [
        Departure(name, str(ours), str(theirs))
        for name in ("model", "epochs", "batch_size")
        if (ours := getattr(cell.config, name)) != (theirs := getattr(published.configuration, name))
    ]
    found = min((departures(cell.config, known) for known in published.recipes(recipe)), key=len)
    num_test, theirs = num_test_images(cell, recipe), recipe.num_test_images
    if num_test != theirs and not {"dataset", "test_subset"} & {departure.field for departure in found}:
        found.append(
            Departure("dataset", counted(num_test, "test image"), f"the {theirs:,} of {cell.config.dataset}")
        )
    return (*found, *scaled)


def num_test_images(cell: Cell, recipe: Recipe) -> int:
    """Return the number of test images of our trials.

    A row holds one bit per image, in whole bytes, and the error, which together tell the number. It is assumed to be
    the published one where they do not.
    """
    if cell.config.test_subset is not None:
        return cell.config.test_subset
    for trial in cell.finished:
        bits, error = trial.row.test_correct_bits or b"", trial.row.test_error_percent
        num_correct, most = int.from_bytes(bits).bit_count(), 8 * len(bits)
        for number in range(most, most - 8, -1):
            if error is not None and number > 0 and math.isclose(100 * (number - num_correct) / number, error):
                return number
    return recipe.num_test_images
