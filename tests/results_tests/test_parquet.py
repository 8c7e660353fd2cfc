"""The Parquet files: readable by others, whole at any moment."""

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from results.parquet.collect import Collector
from results.parquet.files import export_tables, read_trials, write_tables
from results.parquet.trials import trials_from_table
from results.store.local_store import LocalStore
from tests.results_tests.result_samples import make_config, make_end, make_epoch, make_manifest, write_trial
from trainable.errors import UserError
from trainable.records import Status

CONFIG = make_config(epochs=2, schedule="multistep", milestones=[0.25, 0.5])
MANIFEST = make_manifest([CONFIG])
Tables = tuple[pa.Table, pa.Table]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def tables(store: LocalStore) -> Tables:
    end = make_end(Status.COMPLETE, 2, test_correct_bits="a5")
    write_trial(store, CONFIG, [make_epoch(1, 10.0), make_epoch(2, 8.5)], end)
    return Collector(store, MANIFEST).tables()


def check_folder(folder: Path) -> None:
    """Assert that the folder holds both files and their card, and nothing else."""
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "epochs.parquet", "trials.parquet"]
    assert pq.read_metadata(folder / "trials.parquet").num_rows == 1
    assert pq.read_metadata(folder / "epochs.parquet").num_rows == 2


def test_pandas_reads_it(tmp_path: Path, tables: Tables) -> None:
    export_tables(*tables, str(tmp_path))
    trials = pd.read_parquet(tmp_path / "trials.parquet")
    epochs = pd.read_parquet(tmp_path / "epochs.parquet")
    assert trials.loc[0, "test_error_percent"] == 8.5
    assert list(trials.loc[0, "milestones"]) == [0.25, 0.5]
    assert trials.loc[0, "test_correct_bits"] == b"\xa5"
    assert list(epochs["test_error_percent"]) == [10.0, 8.5]


def test_duckdb_reads_it(tmp_path: Path, tables: Tables) -> None:
    export_tables(*tables, str(tmp_path))
    query = (
        "SELECT t.schedule, t.status, count(*), min(e.test_error_percent), any_value(t.milestones) "  # noqa: S608
        f"FROM '{tmp_path}/trials.parquet' t JOIN '{tmp_path}/epochs.parquet' e USING (sweep, trial_key) GROUP BY ALL"
    )
    with duckdb.connect() as connection:
        rows: list[Any] = connection.execute(query).fetchall()
    assert rows == [("multistep", "COMPLETE", 2, 8.5, [0.25, 0.5])]


def test_metadata_is_in_the_file(tmp_path: Path, tables: Tables) -> None:
    export_tables(*tables, str(tmp_path))
    for name in ("trials", "epochs"):
        assert pq.read_schema(tmp_path / f"{name}.parquet").metadata[b"batchscape.schema_version"] == b"6"


@pytest.mark.parametrize("name", ["trials", "epochs"])
def test_a_write_that_breaks_leaves_the_old_file(
    store: LocalStore, tables: Tables, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = store.sweep_folder("sweep")
    write_tables(*tables, store, "sweep")
    before = (folder / f"{name}.parquet").read_bytes()

    def break_off(table: pa.Table, stream: pa.BufferOutputStream, **options: object) -> None:
        stream.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", break_off)
    with pytest.raises(OSError, match="disk full"):
        write_tables(*tables, store, "sweep")
    assert (folder / f"{name}.parquet").read_bytes() == before


def test_export_to_a_new_folder(tmp_path: Path, tables: Tables) -> None:
    target = tmp_path / "a" / "b"
    assert export_tables(*tables, str(target)) == str(target)
    check_folder(target)


@pytest.mark.parametrize("slash", ["", "/"])
def test_export_to_a_uri(tmp_path: Path, tables: Tables, slash: str) -> None:
    uri = f"file://{tmp_path}/new/folder{slash}"
    assert export_tables(*tables, uri) == uri
    check_folder(tmp_path / "new" / "folder")


def test_an_export_replaces_the_one_before(tmp_path: Path, tables: Tables) -> None:
    for _ in range(2):
        export_tables(*tables, str(tmp_path / "to"))
    check_folder(tmp_path / "to")


@pytest.mark.parametrize("form", ["{file}", "{file}/below", "file://{file}/below", "nosuch://bucket/x", "file://"])
def test_a_target_that_cannot_be_written(tmp_path: Path, tables: Tables, form: str) -> None:
    (tmp_path / "file").write_text("in the way")
    target = form.format(file=tmp_path / "file")
    with pytest.raises(UserError) as caught:
        export_tables(*tables, target)
    assert str(caught.value).startswith(f"cannot write to {target}: ")
    assert "\n" not in str(caught.value)


def test_trials_are_read_back(store: LocalStore, tables: Tables) -> None:
    with store.driving(MANIFEST):
        write_tables(*tables, store, "sweep")
    assert read_trials(store, "sweep").equals(tables[0])


def test_an_unknown_sweep(store: LocalStore, tables: Tables) -> None:
    with pytest.raises(UserError, match="no sweep 'sweep'"):
        read_trials(store, "sweep")


def test_a_missing_file_says_how_to_make_it(store: LocalStore, tables: Tables) -> None:
    with (
        store.driving(MANIFEST),
        pytest.raises(UserError, match=r"trials\.parquet is missing: `.*export sweep --store .*`"),
    ):
        read_trials(store, "sweep")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_a_damaged_file_says_how_to_make_it(store: LocalStore, tables: Tables, content: bytes) -> None:
    with store.driving(MANIFEST):
        (store.sweep_folder("sweep") / "trials.parquet").write_bytes(content)
        with pytest.raises(UserError, match=r"trials\.parquet is damaged: `.*export sweep --store .*`"):
            read_trials(store, "sweep")


def test_a_nullable_column_that_an_earlier_version_lacked_is_null(store: LocalStore, tables: Tables) -> None:
    trials, epochs = tables
    write_tables(trials.drop_columns(["peak_memory_bytes"]), epochs, store, "sweep")
    found = read_trials(store, "sweep")
    assert found["peak_memory_bytes"].to_pylist() == [None]
    assert found.schema.field("peak_memory_bytes").type == trials.schema.field("peak_memory_bytes").type
    assert trials_from_table(found)[0].row.peak_memory_bytes is None
