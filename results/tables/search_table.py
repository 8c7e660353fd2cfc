"""The table of a sweep; for a search, the configurations that it chose or completed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from models.user_code import is_reference
from results.parquet.axes import axis_value, varying_axes, varying_variables
from results.parquet.markdown import escaped
from results.parquet.schema import METADATA_PREFIX
from results.parquet.search_results import SearchResults, read_search, rounded
from results.parquet.settings import is_default
from results.parquet.trials import Cell, Trial, best_cell, group_repeats, trials_from_table
from results.store.search_settings import SCHEDULER_TYPE, Scalar
from results.tables.layout import TableRow, flat_row, flat_settings, in_table_order, render, table_rows
from results.tables.sorting import sort_rows
from trainable.config import SETTABLE_FIELDS, TrainConfig, in_field_order, is_field
from trainable.field_checks import ARGUMENT_PREFIX
from trainable.records import Status
from trainable.wording import command, counted


def sweep_table(table: pa.Table, form: str, *, with_mean: bool, sort: str | None = None) -> str:
    """Return the table in one of `results.tables.layout.FORMATS`, made from the `trials` table.

    Args:
        table: the `trials` table.
        form: the format.
        with_mean: whether Markdown has the mean and the standard deviation.
        sort: a column that sorts the rows, as `sort_rows` takes it. By default planned rows are in the order of
            `in_table_order`, those of a search in its order, the best first.

    Raises:
        UserError: there is no such column.
    """
    search = read_search(table)
    rows = sweep_rows(shown_cells(search) if search else group_repeats(trials_from_table(table)), search)
    if sort:
        rows = sort_rows(rows, list(map(flat_row, rows)), sort)
    if search is None or form != "markdown":
        return render(rows, form, with_mean=with_mean)
    shown = render(list(map(rounded_row, rows)), form, with_mean=with_mean)
    return f"{heading(search)}\n\n{shown}{rounding_note(table, rows, search)}"


def sweep_rows(cells: Sequence[Cell], search: SearchResults | None = None) -> list[TableRow]:
    """Return the rows of a sweep, or of configurations of a search in the given order, with the best marked."""
    if search is not None:
        rows = table_rows(cells, searched_columns(search))
        return with_unnamed(searched_rows(rows, [cell.trials[0] for cell in cells], search), cells)
    ordered, best = in_table_order(cells), best_cell(cells)
    rows = with_variables(table_rows(ordered), [cell.trials[0] for cell in ordered])
    rows = [replace(row, best=cell is best) for row, cell in zip(rows, ordered, strict=True)]
    return with_unnamed(rows, ordered)


def with_variables(rows: Sequence[TableRow], trials: Sequence[Trial]) -> list[TableRow]:
    """Return the rows with the variables of `derive` in which they differ, such as base_lr."""
    variables = varying_variables(trials)
    return [
        replace(row, other=row.other | {name: values[index] for name, values in variables.items()})
        for index, row in enumerate(rows)
    ]


def searched_columns(search: SearchResults) -> list[str]:
    """Return the training fields that the search varied: its parameters, and those that depend on them."""
    configs = [proposed.trial.config for proposed in search.trials]
    parameters = {name for name in search.parameter_names if is_field(name)}
    return in_field_order(parameters.union(axis.name for axis in varying_axes(configs, search.parameters)))


def searched_rows(rows: Sequence[TableRow], trials: Sequence[Trial], search: SearchResults) -> list[TableRow]:
    """Return the rows with what the search says of their trials, which it proposed or which confirm a proposal."""
    proposals = {training.row.proposal: proposed for proposed in search.trials for training in proposed.trainings}
    best = {proposed.number for proposed in (search.best if len(search.objectives) > 1 else search.chosen[:1])}
    parameters = [name for name in search.parameter_names if not is_field(name)]
    complete = []
    for row, trial in zip(rows, trials, strict=True):
        number = trial.row.proposal
        proposed = proposals.get(number)
        params: Mapping[str, Scalar] = proposed.params if proposed else {}
        own = proposed.trial.row.objective_values if proposed and search.num_seeds == 1 else None
        values = own or (proposed.values if proposed else ()) or [None] * len(search.objectives)
        complete.append(
            replace(
                row,
                other=row.other | {name: params.get(name) for name in parameters},
                objectives={item.metric: value for item, value in zip(search.objectives, values, strict=True)},
                proposal=number,
                best=proposed is not None and proposed.number in best,
            )
        )
    return complete


def with_unnamed(rows: Sequence[TableRow], cells: Sequence[Cell]) -> list[TableRow]:
    """Return the rows with all that a program needs to train them again and no column says yet."""
    configs = [cell.config for cell in cells]
    named = flat_settings(rows[0]) if rows else {}
    arguments = {f"{ARGUMENT_PREFIX}{key}" for config in configs for key in config.model_arguments()}
    missing = [
        name
        for name in (*SETTABLE_FIELDS, *sorted(arguments))
        if name not in named
        and name != "model_args"
        and (name == "dataset" or not all(is_default(config, name) for config in configs))
    ]

    def unnamed(config: TrainConfig) -> dict[str, object]:
        own = {"model": config.model} if is_reference(config.model) else {}
        return {name: axis_value(config, name) for name in missing} | own

    return [replace(row, unnamed=unnamed(config)) for row, config in zip(rows, configs, strict=True)]


def rounded_row(row: TableRow) -> TableRow:
    """Return the row with drawn values rounded, for people; they have 17 digits."""
    other = {name: rounded(value) if isinstance(value, float) else value for name, value in row.other.items()}
    return replace(row, lr=float(f"{row.lr:.4g}"), other=other)


def rounding_note(table: pa.Table, rows: Sequence[TableRow], search: SearchResults, option: str = "") -> str:
    """Return a line that says where all digits of the rows are, if they are rounded; `option` makes these rows."""
    if all(rounded_row(row) == row for row in rows):
        return ""
    sweep = escaped((table.schema.metadata or {}).get(f"{METADATA_PREFIX}sweep".encode(), b"SWEEP").decode())
    has_one_best = len(search.objectives) == 1 and not search.is_population and search.chosen
    again = f", `{command('best', sweep, '--yaml')}` trains the best again" if has_one_best else ""
    exact = command("table", sweep, *([option] if option else []), "--format", "csv")
    return f"\nDrawn values are rounded: `{exact}` has all digits{again}.\n"


def shown_cells(search: SearchResults) -> list[Cell]:
    """Return the confirmed configurations if there are any, otherwise the finalists, in the order of the search."""
    ranked = sorted(search.finalists, key=lambda proposed: (proposed.values, proposed.number))
    if not search.confirmed:
        return group_repeats(training for proposed in ranked for training in proposed.trainings)
    numbers = [proposed.number for proposed in ranked if proposed.number in search.confirmed]
    return [search.confirmed[number] for number in dict.fromkeys([*numbers, *search.confirmed])]


def heading(search: SearchResults) -> str:
    """Return a line that tells which trials the rows are, and how they were chosen."""
    objectives = " and ".join(objective.label for objective in search.objectives)
    num_trials = counted(len(search.trials), search.noun)
    how = f"{search.algorithm}, scheduler {search.scheduler[SCHEDULER_TYPE]}{search.per_seed}"
    if search.confirmed:
        return f"Chosen from {num_trials} ({how}) by {objectives}, and retrained on all training images:"
    if not search.finalists:
        return f"Search ({how}) for the least {objectives}: {nothing_ended(search)}."
    kind, where = f"completed {search.noun}", ""
    if search.is_population:
        kind, where = "trial", f" in the last of {counted(search.num_generations, 'generation')}"
    which = f"{counted(len(search.finalists), kind)}{where}"
    return (
        f"The {which}, of {num_trials} ({how}) that searched for the least {objectives}; "
        "trained without the held-out images, not confirmed:"
    )


def nothing_ended(search: SearchResults) -> str:
    """Return why there are no rows: no trial has completed."""
    statuses = Counter(trial.status for trial in search.trials)
    if not statuses:
        return "no trial has started"
    if len(search.trials) >= search.num_trials and list(statuses) == [Status.DIVERGED]:
        who = f"all {len(search.trials)} {search.noun}s" if len(search.trials) > 1 else f"its only {search.noun}"
        return f"{who} diverged"
    words = ", ".join(f"{number} {status.value.lower()}" for status, number in statuses.items())
    return f"no trial has completed ({words})"
