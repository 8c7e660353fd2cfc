"""The earlier results that a search starts from: a sweep's `trials` table, or the published tables."""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from results.parquet.files import parquet_table, read_epochs, read_trials
from results.parquet.schema import EPOCHS_SCHEMA, SEARCH_METADATA
from results.published.cells import OUR_PRECISIONS, PUBLISHED
from results.statistics.matching import published_configurations
from results.store.search_log import Earlier
from results.store.search_settings import FULL_SCALE, METRIC, OBJECTIVE
from results.store.store import Store
from results.store.sweep_files import EPOCHS_PARQUET, TRIALS_PARQUET
from trainable.config import TrainConfig
from trainable.errors import UserError, located
from trainable.ledger.checksums import parse_json
from trainable.ledger.files import read_regular
from trainable.records import Status

WARM_START = "search.warm_start"
HOLDOUT_ERROR = "holdout_error_percent"
NEEDED = {"trial_key", "model", "status", "variables"}
"""Columns that every `trials` table has, in all versions."""
SGD = "sgd"
"""Optimiser of all results that were written before there was a choice."""
SEQUEL_SETTINGS = ("ghost_batch_size", "weight_decay", "weight_decay_on", "precision")
"""Fields that have other values than the usual ones only in the published sequel."""
PUBLISHED_NOTE = (
    "warm_start: the published errors are test errors, so the test images influence what this search proposes"
)

Row = Mapping[str, Any]


def earlier_results(
    store: Store,
    source: str,
    parameters: Sequence[str],
    metrics: Sequence[str],
    configs: Collection[TrainConfig],
    *,
    as_proposed: bool = False,
) -> tuple[list[Earlier], list[str]]:
    """Return the results of a source that have all parameters, and notes on them for the user.

    Args:
        source: `published`, a sweep of the store, or the path of a trials.parquet.
        parameters: names of training fields or variables.
        metrics: objectives of the search.
        configs: what the search may train; rows of another model or optimiser are left out.
        as_proposed: take the full-size parameters of trials that were trained at a smaller scale.

    Raises:
        UserError: there is no such source, or it has nothing that the search can use.
    """
    if source == PUBLISHED:
        rows: list[Row] = _published_rows(configs, parameters) if list(metrics) == [HOLDOUT_ERROR] else []
        notes = [PUBLISHED_NOTE]
    else:
        with located(WARM_START):
            table = _trials(store, source)
            rows, notes = _with_metrics(table, metrics, lambda: _epochs(store, source)), []
    found = []
    models, optimizers = ({getattr(config, name) for config in configs} for name in ("model", "optimizer"))
    for row in rows:
        variables = parse_json(row.get("variables") or "{}")
        known = {**variables, **row}
        if as_proposed:
            known |= {field: variables[name] for field, name in FULL_SCALE.items() if name in variables}
        values = [row[metric] for metric in metrics if _is_number(row.get(metric))]
        is_like = row["model"] in models and (row.get("optimizer") or SGD) in optimizers
        if is_like and all(name in known for name in parameters) and len(values) == len(metrics):
            found.append(Earlier({name: known[name] for name in parameters}, tuple(map(float, values))))
    if not found:
        with_optimizer = "" if optimizers == {SGD} else f" with {' or '.join(sorted(optimizers))}"
        raise UserError(
            f"{WARM_START} {source}: no finished row of {' or '.join(sorted(models))}{with_optimizer} there has "
            f"{', '.join([*parameters, *metrics])}: leave warm_start out, or name other results"
        )
    return found, notes


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_file(source: str) -> bool:
    return Path(source).suffix == ".parquet"


def _trials(store: Store, source: str) -> pa.Table:
    if not _is_file(source):
        return read_trials(store, source)
    table = _read(Path(source))
    if not {*table.column_names} >= NEEDED:
        raise UserError(f"{source} is not a {TRIALS_PARQUET} of a sweep: name one, or a sweep")
    return table


def _epochs(store: Store, source: str) -> pa.Table:
    """Read the epochs; the table is empty where the file of the trials lies alone."""
    if not _is_file(source):
        return read_epochs(store, source)
    path = Path(source).expanduser().with_name(EPOCHS_PARQUET)  # `_trials` has read its neighbour
    return _read(path) if path.exists() else EPOCHS_SCHEMA.empty_table()


def _read(path: Path) -> pa.Table:
    try:
        return parquet_table(read_regular(path.expanduser()))
    except (OSError, RuntimeError, ValueError, pa.ArrowException) as error:  # RuntimeError: there is no such user
        raise UserError(f"cannot read {path}: {' '.join(str(error).split())}") from None


def _with_metrics(table: pa.Table, metrics: Sequence[str], epochs: Callable[[], pa.Table]) -> list[Row]:
    """Return the rows of complete trials, with the metrics that are no columns of `trials`.

    Such a metric comes from the objectives of the sweep's own search, else from the last epoch of each trial.
    """
    rows = [row for row in table.to_pylist() if row["status"] == Status.COMPLETE and not row.get("superseded")]
    rows = [row for row in rows if not row.get("parent")]  # its error is not that of its own parameters alone
    settings = parse_json((table.schema.metadata or {}).get(SEARCH_METADATA.encode(), "{}"))
    objectives = [objective[METRIC] for objective in settings.get(OBJECTIVE, ())]
    for metric in metrics:
        if metric in table.column_names:
            continue
        if metric in objectives:
            index = objectives.index(metric)
            values = {row["trial_key"]: row["objective_values"][index] for row in rows if row["objective_values"]}
        else:
            values = _last_values(epochs(), metric)
        for row in rows:
            row[metric] = values.get(row["trial_key"])
    return rows


def _last_values(epochs: pa.Table, metric: str) -> dict[str, Any]:
    """Return trial key -> the metric after its last epoch."""
    names = ["trial_key", "superseded", metric]
    if not {*names} <= {*epochs.column_names}:
        return {}
    columns = (epochs[name].to_pylist() for name in names)
    return {key: value for key, superseded, value in zip(*columns, strict=True) if not superseded}


def _published_rows(configs: Collection[TrainConfig], parameters: Sequence[str]) -> list[Row]:
    """Return the published runs, with `base_lr` as the lr at batch size 128 that the linear rule scales.

    A run that is printed in several tables counts once. One with a setting that only the sequel has counts where the
    search has the setting, too, or searches for it.
    """
    rows: list[Row] = [
        {
            **dataclasses.asdict(cell),
            "weight_decay_on": "all" if cell.weight_decay_on_bn else "no_bn",
            "precision": OUR_PRECISIONS[cell.precision],
            "base_lr": cell.lr * 128 / cell.batch_size,
            HOLDOUT_ERROR: cell.test_error_percent,
        }
        for configuration in published_configurations()
        for cell in configuration.cells
    ]
    usual = {name: rows[0][name] for name in SEQUEL_SETTINGS if name not in parameters}
    known = {name: {value, *(getattr(config, name) for config in configs)} for name, value in usual.items()}
    return [row for row in rows if all(row[name] in values for name, values in known.items())]
