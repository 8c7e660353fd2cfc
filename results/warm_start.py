"""Earlier results that a search begins with, out of `trials` of ours or the published rows."""

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from results.parquet import read_trials
from results.published.cells import LONGER_FILE, PUBLISHED, published_cells
from results.store import Store
from trainable.errors import UserError
from trainable.records import Status
from trainable.search_log import Earlier

HOLDOUT_ERROR = "holdout_error_percent"
PUBLISHED_NOTE = (
    "warm_start: published errors are of the test images, so test images have a say in what this search proposes"
)


def earlier_results(
    store: Store, source: str, parameters: Sequence[str], metrics: Sequence[str], models: Collection[str]
) -> tuple[list[Earlier], list[str]]:
    """The results of a source that name all parameters, and what a person should know of them.

    Args:
        source: `published`, a sweep of the store, or the path of a trials.parquet.
        parameters: names of training fields, or of variables.
        metrics: columns of `trials` that the search makes small.
        models: those that are searched; rows of others are left out.

    Raises:
        UserError: no such source, or nothing in it that the search can use.
    """
    if source == PUBLISHED:
        rows = _published_rows() if list(metrics) == [HOLDOUT_ERROR] else []
        notes = [PUBLISHED_NOTE]
    else:
        rows, notes = [*map(_flat, _trials(store, source).to_pylist())], []
    found = []
    for row in rows:
        values = [row[metric] for metric in metrics if isinstance(row.get(metric), int | float)]
        if row.get("model") in models and all(name in row for name in parameters) and len(values) == len(metrics):
            found.append(Earlier({name: row[name] for name in parameters}, tuple(map(float, values))))
    if not found:
        raise UserError(
            f"search.warm_start {source}: no finished row of {' or '.join(models)} there has "
            f"{', '.join([*parameters, *metrics])}: leave warm_start out, or name other results"
        )
    return found, notes


def _trials(store: Store, source: str) -> pa.Table:
    path = Path(source).expanduser()
    if path.suffix != ".parquet":
        return read_trials(store, source)
    try:
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"search.warm_start: cannot read {path}: {error}") from None


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Fields, variables and results of a trial that ended well; empty for others."""
    if row.get("status") != Status.COMPLETE or row.get("superseded"):
        return {}
    return {**json.loads(row.get("variables") or "{}"), **row}


def _published_rows() -> list[dict[str, Any]]:
    """`base_lr` is the rate at batch size 128 that the linear rule scales."""
    return [
        {
            **dataclasses.asdict(cell),
            "base_lr": cell.lr * 128 / cell.batch_size,
            HOLDOUT_ERROR: cell.test_error_percent,
        }
        for cell in [*published_cells(), *published_cells(LONGER_FILE)]
    ]
