"""The text of `docs/results-schema.md`, made from the docstrings of the records."""

import re

import pyarrow as pa

from results.parquet.columns import epochs_columns, trials_columns
from results.parquet.schema import EPOCHS_SCHEMA, METADATA_PREFIX, SEARCH_METADATA, TRIALS_SCHEMA
from trainable.docstrings import field_docstrings
from trainable.records import SCHEMA_VERSION, Purpose, Status

UNITS = {
    "_percent": "%",
    "_percent_last5": "%",
    "images_per_second": "images/s",
    "_seconds": "s",
    "_bytes": "bytes",
    "_loss": "nats",
    "_time": "UTC",
}
"""End of a column's name -> its unit. Columns with other names have none."""

HEAD = """\
# The results: two Parquet tables

<!-- Made by `python docs/generate.py`. Change the docstrings in trainable/records.py and trainable/config.py instead
of this page. -->

Each sweep has two files, `STORE/SWEEP/trials.parquet` and `STORE/SWEEP/epochs.parquet`. They are written while the
sweep runs; `batchscape export SWEEP` writes them again at any time, `--to` anywhere. They are made from the ledgers
of the trials, so they can be lost without harm.

A row of `trials` is one training of one configuration: what was trained, how it ended, and how long it took. A row of
`epochs` is one epoch of such a training. `sweep`, `trial_key` and `generation` together identify a training in both
tables. A trial that has not begun has no row.

## Read them

pandas:

```python
import pandas

trials = pandas.read_parquet("runs/quickstart/trials.parquet")
complete = trials[(trials["status"] == "COMPLETE") & ~trials["superseded"]]
print(complete.groupby(["batch_size", "lr"])["test_error_percent"].agg(["mean", "std", "count"]))
```

DuckDB, as a Python package:

```python
import duckdb

query = \"""
    SELECT t.batch_size, t.lr, e.epoch, e.test_error_percent
    FROM 'runs/quickstart/trials.parquet' t
    JOIN 'runs/quickstart/epochs.parquet' e USING (sweep, trial_key, generation)
    WHERE NOT t.superseded
    ORDER BY ALL
\"""
print(duckdb.sql(query))
```

polars:

```python
import polars

trials = polars.read_parquet("runs/quickstart/trials.parquet").filter(~polars.col("superseded"))
print(trials.group_by("batch_size", "lr").agg(polars.col("test_error_percent").mean()))
```
"""

SUPERSEDED = """\
## Superseded rows

`run --again` trains the trials of a sweep once more and keeps the earlier results. They stay in both tables with
`superseded` = true and their own `generation`. Leave them out of every statistic, as the program's tables and figures
do.
"""

SEARCHES = """\
## Rows of a search

In a search every proposal that was trained is a row, with its number in `proposal`, the values that guided the search
in `objective_values`, and, if the scheduler stopped it, the epoch in `stopped_epoch`. Searched parameters that are no
training fields, such as a `base_lr`, are in `variables`. The settings of the search are in the metadata of the file.
`purpose` tells why the sweep holds a trial:
"""

METADATA = f"""\
## Metadata of the files

The metadata of the schema holds, each with the prefix `{METADATA_PREFIX}`: `schema_version` ({SCHEMA_VERSION}), the
name of the `sweep`, its `space` (YAML), `overrides`, `scale`, `extends` (JSON), `num_planned` (the number of its
trials), and the `code` and the `versions` that made it. For a search `{SEARCH_METADATA}` holds its settings (JSON).
The metadata of each field holds its meaning as `description`.
"""


def markdown() -> str:
    """Return the whole page."""
    statuses = field_docstrings(Status)
    purposes = field_docstrings(Purpose)
    parts = [
        HEAD,
        "## Status\n\n" + _table(["status", "meaning"], [[f"`{name}`", text] for name, text in statuses.items()]),
        SUPERSEDED,
        SEARCHES + "\n" + _table(["purpose", "meaning"], [[f"`{Purpose[n]}`", text] for n, text in purposes.items()]),
        "## Columns of `trials`\n\n" + _columns(TRIALS_SCHEMA, trials_columns()),
        "## Columns of `epochs`\n\n" + _columns(EPOCHS_SCHEMA, epochs_columns()),
        METADATA,
    ]
    return "\n".join(parts)


def _columns(schema: pa.Schema, meanings: dict[str, str]) -> str:
    rows = []
    for field in schema:
        sentences = re.split(r"(?<=\.) (?=[A-Z`])", meanings[field.name])
        null = [sentence for sentence in sentences if sentence.startswith("None ")]
        meaning = " ".join(sentence for sentence in sentences if sentence not in null)
        rows.append([f"`{field.name}`", _type_name(field.type), _unit(field.name), meaning, _null(" ".join(null))])
    return _table(["column", "type", "unit", "meaning", "null"], rows)


def _null(text: str) -> str:
    """Return when a column is null: `if the trial diverged`; empty if it never is."""
    return text.removeprefix("None ").rstrip(".").replace("None", "null")


def _type_name(kind: pa.DataType) -> str:
    """Return the name of a type without the names of its items: `list of double`."""
    if pa.types.is_list(kind):
        return f"list of {kind.value_type}"
    return "timestamp" if pa.types.is_timestamp(kind) else str(kind)


def _unit(name: str) -> str:
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), "")


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, [":--"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
