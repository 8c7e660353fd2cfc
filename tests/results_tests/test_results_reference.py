"""The page that explains every column, and the descriptions inside the Parquet files."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from results.parquet.files import export_tables, write_tables
from results.parquet.schema import (
    DESCRIPTION,
    EPOCHS_SCHEMA,
    METADATA_PREFIX,
    SEARCH_METADATA,
    TRIALS_SCHEMA,
    meaning,
)
from results.store.local_store import LocalStore
from tests.conftest import ROOT
from trainable.precision import DTYPES
from trainable.records import SCHEMA_VERSION, Purpose, Status

PAGE = (ROOT / "docs" / "results-schema.md").read_text(encoding="utf-8")
EXAMPLES = ROOT / "results" / "examples"
SCHEMAS = {"trials.parquet": TRIALS_SCHEMA, "epochs.parquet": EPOCHS_SCHEMA}


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of the table below this heading, by their first cell."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {first.strip("`"): rest for first, *rest in cells}


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("Columns of `trials`", TRIALS_SCHEMA.names),
        ("Columns of `epochs`", EPOCHS_SCHEMA.names),
        ("Status", list(Status)),
        ("Rows of a search", list(Purpose)),
    ],
)
def test_everything_is_explained(heading: str, names: list[str]) -> None:
    assert list(rows(heading)) == names
    assert all(any(len(cell) > 15 for cell in cells) for cells in rows(heading).values())


def test_the_page_names_the_version_of_the_schema() -> None:
    assert f"`schema_version` ({SCHEMA_VERSION})" in PAGE
    assert f"the prefix `{METADATA_PREFIX}`" in PAGE
    assert f"`{SEARCH_METADATA}`" in PAGE


def test_types_units_and_nulls_have_cells_of_their_own() -> None:
    columns = rows("Columns of `trials`")
    kind, unit, meaning, null = columns["test_error_percent"]
    assert (kind, unit) == ("double", "%")
    assert "None" not in meaning + null
    assert null.startswith("if the trial diverged")
    assert columns["milestones"][0] == "list of double"
    assert [columns[name][1] for name in ("train_seconds", "peak_memory_bytes", "train_loss", "start_time")] == [
        "s",
        "bytes",
        "nats",
        "UTC",
    ]


@pytest.mark.parametrize("reader", ["pandas", "duckdb"])
def test_what_the_page_says_reads_the_files(reader: str, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if f"import {reader}" in code)
    exec(code.replace("runs/", f"{EXAMPLES}/"), {})  # noqa: S102
    assert "batch_size" in capsys.readouterr().out


def test_each_field_of_the_files_is_described(tmp_path: Path) -> None:
    trials, epochs = (
        table.cast(SCHEMAS[name].with_metadata(old.schema.metadata))
        for name in SCHEMAS
        for old in [pq.read_table(EXAMPLES / "quickstart" / name)]
        for table in [pa.concat_tables([SCHEMAS[name].empty_table(), old], promote_options="default")]
    )
    export_tables(trials, epochs, str(tmp_path / "exported"))
    write_tables(trials, epochs, LocalStore(tmp_path), "sweep")
    for name, expected in SCHEMAS.items():
        for folder in ("exported", "sweep"):
            schema = pq.read_schema(tmp_path / folder / name)
            described = {field.name: (field.metadata or {})[DESCRIPTION.encode()].decode() for field in schema}
            assert described == {field.name: meaning(field) for field in expected}
            assert schema.equals(expected)
            assert schema.metadata == {"trials.parquet": trials, "epochs.parquet": epochs}[name].schema.metadata


def test_every_number_format_of_a_training_is_listed() -> None:
    listed = meaning(TRIALS_SCHEMA.field("precision_resolved"))
    assert set(re.findall(r"\w+", listed.partition(":")[2])) == {*DTYPES, "or"}
