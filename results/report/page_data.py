"""The data of the interactive page: all trials column by column, their thinned learning curves and their details."""

import itertools
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from results.parquet.axes import RESULTS, STAND_INS, Axis, ranked_axes
from results.parquet.schema import METADATA_PREFIX
from results.parquet.search_results import SearchResults, read_search
from results.parquet.trials import Trial, group_repeats, trials_from_table
from results.report.formatting import moment, plain
from results.report.trial_list import VALUES_OF_TRIAL
from results.tables.layout import in_table_order
from trainable.config import is_field
from trainable.ledger.checksums import parse_json
from trainable.records import Purpose, Status
from trainable.rounding import round_significant
from trainable.wording import counted, printable

SCRIPTS = (
    "vendor/echarts.min.js",
    *("page_model.js", "page_views.js", "page_charts.js", "page_parallel.js", "page_table.js", "page.js"),
)
"""Scripts of the interactive part, in the order in which they must be loaded."""
VERSION = 1
"""Version of the format, raised when a page of an older version could not read the data."""
MOST_EPOCHS = 64
"""Largest number of epochs of a learning curve."""
LEAST_EPOCHS = 16
"""Number of epochs that every learning curve keeps, however many there are."""
MOST_POINTS = 100_000
"""Number of points of one metric that all learning curves share if they have more than `LEAST_EPOCHS` each."""
CURVE_DIGITS = 4
"""Number of significant digits of a value of a learning curve."""
RESULT_DIGITS = 6
LOG_FROM_RATIO = 20
"""Ratio of largest to smallest value from which an axis begins as a logarithmic one."""
METRICS = {
    "test_error_percent": "test error (%)",
    "holdout_error_percent": "holdout error (%)",
    "train_error_percent": "training error (%)",
    "train_loss": "training loss (nats)",
    "holdout_loss": "holdout loss (nats)",
    "test_loss": "test loss (nats)",
    "lr": "learning rate",
    "gradient_norm": "gradient norm",
}
"""Column of `epochs` that can be drawn as a learning curve -> label."""
FINAL_ONLY = ("test_error_percent", "test_error_percent_last5", "holdout_error_percent", "train_loss")
"""Results that are none while a trial has not ended for good."""
NO_RANK = ("epochs_done", "attempts")
"""Results of which neither the least nor the most is the best."""
MORE_IS_BETTER = ("images_per_second",)
IDENTITIES = {"proposal": "proposal", "purpose": "purpose", "seed": "seed", "generation": "training number"}


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the page's trials."""

    name: str
    """Name that is unique among the columns."""
    label: str
    """Name for people, with its unit."""
    role: str
    """'parameter', 'result' or 'identity'."""
    kind: str = "number"
    """'number' or 'word'."""
    log: bool = False
    """Whether an axis begins as a logarithmic one."""
    values: list[str] = field(default_factory=list)
    """The distinct words in their order; empty for numbers."""
    better: str | None = None
    """'less' or 'more' for a result by which trials can be ranked."""


Column = tuple[Field, list[Any]]
Rows = np.ndarray[Any, np.dtype[np.int64]]


def page_data(
    trials: pa.Table,
    epochs: pa.Table,
    logs: Mapping[str, str] | None = None,
    at_work: Collection[str] | None = None,
) -> dict[str, Any]:
    """Return the data of the page as JSON values. Texts are printable, but may hold markup.

    Args:
        trials: table of a sweep's trials; superseded trainings are left out.
        epochs: table of their epochs.
        logs: what `failure_logs` returns.
        at_work: keys of the trials that are running, if that is known.
    """
    metadata = {name.decode(): value.decode() for name, value in (trials.schema.metadata or {}).items()}
    cells = in_table_order(group_repeats(trials_from_table(trials)))
    listed = [trial for cell in cells for trial in cell.trials]
    search = read_search(trials)
    results = _results(listed, search)
    metric, errors = results[0]
    columns = [*_parameters(listed, search, errors), *results, *_identities(listed)]
    told = {name: [value_of(trial) for trial in listed] for name, value_of in VALUES_OF_TRIAL.items()}
    shared = {name: values[0] for name, values in told.items() if len(set(values)) == 1}
    own = {name: told[name] for name in told.keys() - shared.keys() - {spec.name for spec, _ in columns}}
    return {
        "sweep": printable(metadata.get(f"{METADATA_PREFIX}sweep", "")),
        "version": VERSION,
        "metric": metric.name,
        "shared": [[name, printable(value)] for name, value in shared.items()],
        "fields": [asdict(spec) for spec, _ in columns],
        "trials": {
            "key": [trial.row.trial_key for trial in listed],
            "status": [_state(trial, at_work) for trial in listed],
            "cell": [number for number, cell in enumerate(cells, start=1) for _ in cell.trials],
            **{spec.name: values for spec, values in columns},
        },
        "curves": _curves(epochs, [trial.row.trial_key for trial in listed]),
        "details": _details(listed, {name: own[name] for name in told if name in own}, logs or {}),
    }


def _state(trial: Trial, at_work: Collection[str] | None) -> str:
    """Return the status in words, and of an incomplete trial whether it is running, if that is known."""
    if trial.status is not Status.INCOMPLETE:
        return trial.row.status.lower()
    return "unfinished" if at_work is None else "running" if trial.row.trial_key in at_work else "interrupted"


def page_json(data: dict[str, Any]) -> str:
    """Return the data as JSON text that no markup can end, with a line for each part and each trial's details."""
    parts = [f"{json.dumps(name)}:{_lines(value)}" for name, value in data.items()]
    return "{" + ",\n".join(parts).replace("<", "\\u003c").replace("\x7f", "\\u007f") + "}"


def _lines(value: object) -> str:
    """Return JSON text in which the parts of a mapping or a list stand on lines of their own."""
    if isinstance(value, dict):
        return "{" + ",\n".join(f"{json.dumps(name)}:{_compact(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",\n".join(map(_compact, value)) + "]"
    return _compact(value)


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _parameters(
    trials: Sequence[Trial], search: SearchResults | None, errors: Sequence[float | None]
) -> list[Column]:
    """Return searched parameters that are no training field, the fields that vary by importance, then variables."""
    variables = [parse_json(trial.row.variables) for trial in trials]
    searched = {parameter.name: parameter for parameter in search.parameters} if search else {}
    proposed = {run.row.trial_key: item.params for item in search.trials for run in item.trainings} if search else {}
    params = [{**own, **proposed.get(trial.row.trial_key, {})} for own, trial in zip(variables, trials, strict=True)]
    named = {
        name: [own.get(name) for own in params] for name in dict.fromkeys(name for own in params for name in own)
    }
    others = {
        name: _column(
            Field(f"variable.{name}", name, "parameter"),
            values,
            is_log=searched[name].log if name in searched else None,
        )
        for name, values in named.items()
        if not is_field(name) and name not in STAND_INS and len(set(values)) > 1
    }
    planned = [(t.config, error) for t, error in zip(trials, errors, strict=True) if t.row.purpose != Purpose.CONFIRM]
    axes = ranked_axes(planned, [*searched.values()])
    return [
        *(column for name, column in others.items() if name in searched),
        *(_axis_column(axis, [axis.value(trial.config) for trial in trials]) for axis in axes),
        *(column for name, column in others.items() if name not in searched),
    ]


def _axis_column(axis: Axis, values: Sequence[Any]) -> Column:
    spec = Field(axis.name, printable(axis.label), "parameter", log=axis.is_log)
    if axis.is_number:
        return spec, list(values)
    words = {value: printable(axis.text(value)) for value in (*axis.values, *values)}
    return replace(spec, kind="word", values=list(dict.fromkeys(words.values()))), [words[value] for value in values]


def _column(spec: Field, values: Sequence[Any], is_log: bool | None = None) -> Column:
    """Return the column of these values as numbers if they are ones, else as words."""
    known = [value for value in values if value is not None]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in known):
        words = [printable(plain(value)) for value in values]
        return replace(spec, label=printable(spec.label), kind="word", values=list(dict.fromkeys(words))), words
    if is_log is None:
        is_log = bool(known) and 0 < LOG_FROM_RATIO * min(known) <= max(known)
    return replace(spec, label=printable(spec.label), log=is_log), list(values)


def _results(trials: Sequence[Trial], search: SearchResults | None) -> list[Column]:
    """Return the objectives of a search, and the results in which the trials differ."""
    columns = []
    for index, objective in enumerate(search.objectives if search else ()):
        own = [trial.row.objective_values for trial in trials]
        values = [values[index] if values else None for values in own]
        columns.append(_result(f"objective.{objective.metric}", objective.label, values))
    told = [values for _, values in columns]
    for name, label in RESULTS.items():
        is_known = [trial.status.is_final or name not in FINAL_ONLY for trial in trials]
        values = [getattr(trial.row, name) if known else None for trial, known in zip(trials, is_known, strict=True)]
        if name == "peak_memory_bytes":
            values = [None if value is None else value / 1e6 for value in values]
        column = _result(name, label, values)
        if not columns or (len(set(values)) > 1 and column[1] not in told):
            columns.append(column)
    return columns


def _result(name: str, label: str, values: Sequence[float | None]) -> Column:
    better = None if name in NO_RANK else "more" if name in MORE_IS_BETTER else "less"
    return _column(
        Field(name, label, "result", better=better),
        [round_significant(value, RESULT_DIGITS) if isinstance(value, float) else value for value in values],
    )


def _identities(trials: Sequence[Trial]) -> list[Column]:
    """Return what tells trials of one configuration apart, where the trials differ in it."""
    named: dict[str, list[Any]] = {
        "proposal": [trial.row.proposal for trial in trials],
        "purpose": [trial.row.purpose for trial in trials],
        "seed": [trial.config.seed for trial in trials],
        "generation": [trial.row.generation for trial in trials],
    }
    return [
        _column(Field(name, IDENTITIES[name], "identity"), values, is_log=False)
        for name, values in named.items()
        if len(set(values)) > 1
    ]


def _curves(table: pa.Table, keys: Sequence[str]) -> dict[str, Any]:
    """Return the thinned learning curves of these trials, with null for a value that is not finite or not known."""
    table = table.filter(pc.invert(table["superseded"]))
    keyed = table["trial_key"].combine_chunks().dictionary_encode()
    numbers = {key: number for number, key in enumerate(keyed.dictionary.to_pylist())}
    owners = np.asarray(keyed.indices)
    epochs = table["epoch"].to_numpy()
    order = np.lexsort((epochs, owners))
    bounds = np.searchsorted(owners[order], range(len(numbers) + 1))
    most = max(LEAST_EPOCHS, min(MOST_EPOCHS, MOST_POINTS // max(len(numbers), 1)))
    kept = [
        _thinned(order[bounds[own] : bounds[own + 1]], most) if own is not None else order[:0]
        for own in map(numbers.get, keys)
    ]
    ends = [0, *itertools.accumulate(map(len, kept))]
    is_thinned = bool(len(numbers)) and int(np.diff(bounds).max()) > most
    rule = f"{counted(most, 'epoch')} of each trial at most are in this page: the first, the last and evenly spaced "
    curves: dict[str, Any] = {
        "metrics": [],
        "rule": f"{rule}ones between them." if is_thinned else "",
        "epochs": [epochs[rows].tolist() for rows in kept],
    }
    for name, label in METRICS.items():
        values = table[name].cast("float64").to_numpy()
        known = values[np.isfinite(values)]
        if len(known):
            is_log = bool(known.min() > 0 and known.max() >= LOG_FROM_RATIO * known.min())
            curves["metrics"].append({"name": name, "label": label, "log": is_log})
            rounded = _rounded(values[np.concatenate(kept)])
            curves[name] = [rounded[start:end] for start, end in itertools.pairwise(ends)]
    return curves


def _thinned(rows: Rows, most: int) -> Rows:
    """Return at most `most` of the rows: the first, the last and evenly spaced ones between them."""
    if len(rows) <= most:
        return rows
    chosen: Rows = rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
    return chosen


def _rounded(values: np.ndarray[Any, Any]) -> list[float | None]:
    """Return the values with `CURVE_DIGITS` significant digits, and None for those that are not finite."""
    is_known = np.isfinite(values) & (values != 0)
    size = np.floor(np.log10(np.abs(values), where=is_known, out=np.zeros(len(values))))
    scale = 10.0 ** np.clip(CURVE_DIGITS - 1 - size, 0, 22)
    shortened = np.where(is_known, np.round(values * scale) / scale, values)
    return [value if math.isfinite(value) else None for value in shortened.tolist()]


def _details(
    trials: Sequence[Trial], own: Mapping[str, Sequence[str]], logs: Mapping[str, str]
) -> list[dict[str, str]]:
    """Return what else there is to tell of each trial, by its name, with these values of each."""
    details = []
    for number, trial in enumerate(trials):
        row = trial.row
        facts = {
            "progress": f"{row.epochs_done} of {counted(trial.config.epochs, 'epoch')}",
            "attempts": str(row.attempts),
            "start (UTC)": moment(row.start_time),
            "end (UTC)": moment(row.end_time),
            **{name: values[number] for name, values in own.items()},
            "error": row.error or "",
            "log": logs.get(row.trial_key, ""),
        }
        details.append({name: printable(value) for name, value in facts.items() if value not in ("", "-")})
    return details
