"""The best configuration of a sweep, and a space that trains it again."""

import dataclasses

import pyarrow as pa

from results.parquet.axes import varying_names
from results.parquet.search_results import read_search
from results.parquet.trials import Cell, best_cell, group_repeats, trials_from_table
from results.tables.layout import mean_text
from results.tables.search_table import nothing_ended
from sweep.trial_label import describe
from sweep.written_space import own_files_comment, space_content
from trainable.config import SHARED_HOLDOUT
from trainable.data.sizes import NUM_IMAGES
from trainable.errors import UserError
from trainable.limited_yaml import dump_yaml
from trainable.wording import command, counted


@dataclasses.dataclass(frozen=True, slots=True)
class BestConfiguration:
    """The configuration of a sweep with the lowest error, or the one that its search chose."""

    sweep: str
    cell: Cell
    varied: list[str]
    """Fields in which the sweep's configurations differ."""
    num_configurations: int
    """Number of configurations with a final error among which it is the best."""
    chosen_by: str | None
    """Words for the objective by which a search chose it; None where test error chose it."""


def best_configuration(sweep: str, table: pa.Table) -> BestConfiguration:
    """Find the best configuration in the `trials` table of a sweep.

    A search chooses by its own objective; a planned sweep has none, so that the lowest mean test error decides, which
    is then selected on the test images.

    Raises:
        UserError: no trial has finished, or the search has several objectives and so no single best.
    """
    search = read_search(table)
    if search is None:
        cells = group_repeats(trials_from_table(table))
        best = best_cell(cells)
        if best is None:
            raise UserError(f"best {sweep}: no trial has finished yet")
        varied = varying_names([cell.config for cell in cells])
        return BestConfiguration(sweep, best, varied, sum(bool(cell.test_errors) for cell in cells), None)
    if len(search.objectives) > 1:
        raise UserError(
            f"best {sweep}: its search has several objectives, and a front instead of one best: "
            f"see `{command('table', sweep)}`"
        )
    if not search.chosen:
        raise UserError(f"best {sweep}: {nothing_ended(search)}")
    chosen = search.chosen[0]
    cell = search.confirmed.get(chosen.number) or Cell(chosen.trial.config, chosen.trainings)
    varied = varying_names([trial.trial.config for trial in search.trials])
    chosen_by = f"{search.objectives[0].label}{search.mean_words}"
    return BestConfiguration(sweep, cell, varied, len(search.finalists), chosen_by)


def best_text(best: BestConfiguration) -> str:
    """Say which configuration is the best, its test error and how it was chosen."""
    among = counted(best.num_configurations, "finished configuration")
    how = (
        f"chosen by {best.chosen_by}" if best.chosen_by else "lowest mean test error, so selected on the test images"
    )
    return "\n".join(
        [
            f"{best.sweep}: {describe(best.cell.config, best.varied)}",
            f"  test error  {_error_text(best.cell.test_errors)}",
            f"  among       {among}, {how}",
            f"next: {command('best', best.sweep, '--yaml')} prints a space that trains it again",
        ]
    )


def _error_text(errors: list[float]) -> str:
    if not errors:
        return "unknown: no run on all training images has finished"
    return f"{mean_text(errors)} (n = {len(errors)})"


def best_yaml(best: BestConfiguration) -> str:
    """Write a space whose trials have the keys of the configuration's trials, so that finished ones are reused.

    The best of a search over `train_subset` that confirms nothing is trained anew, on all images of its subset.

    Raises:
        UserError: the configuration continues from another trial, as in population based training.
    """
    if best.cell.config.parent is not None:
        raise UserError(
            f"best {best.sweep} --yaml: the best trial continues from others, so that no single configuration trains "
            f"it again: `{command('report', best.sweep)}` shows its schedule"
        )
    config, repeats = best.cell.config, len(best.cell.trials)
    if config.recipe_version == SHARED_HOLDOUT:  # only its search can hold out those images
        config = config.without_holdout()
    name = f"{best.sweep}-best"
    run = command("run", f"{name}.yaml")
    data = "" if config.dataset in NUM_IMAGES else " --data DIR"
    space = space_content(name, f"The best configuration of the sweep {best.sweep}.", [config], best.varied)
    head = f"# Run: {run}{data}\n# Outcome: test error {_error_text(best.cell.test_errors)}\n"
    space["repeats"] = repeats
    return head + own_files_comment([config]) + dump_yaml(space).rstrip()
