"""A store that an earlier version wrote is read, resumed and extended.

`stores/before_rooms.tar.xz` was written by commit 6ec0e40. `run grid.yaml`: two trials had ended, one of them trained
again by `run --again`, one was interrupted after a checkpoint, one had not begun. `run searched.yaml`: interrupted
during a proposal. Event files and the checkpoints of two stopped trials were deleted to keep it small. Another
processor trains to other last bits, so recorded values are compared with recorded values only.
"""

import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from results.store.local_store import LocalStore
from results.store.search_log import read_log
from tests.conftest import ROOT, Cli
from trainable.config import TrainConfig
from trainable.ledger.reading import read_trial
from trainable.records import EpochRecord, Status

ARCHIVE = Path(__file__).parent / "stores" / "before_rooms.tar.xz"
SEARCH = "searched"
ROWS_OF = {"grid": 4, SEARCH: 5}
"""Rows of `trials` in the old store, the superseded one included."""


def unpack(folder: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The store as it was, beside the two spaces."""
    return unpack(tmp_path)


def without_descriptions(schema: pa.Schema) -> pa.Schema:
    """The schema without the metadata of its fields, and without its version."""
    metadata = {key: value for key, value in schema.metadata.items() if key != b"batchscape.schema_version"}
    return pa.schema([field.remove_metadata() for field in schema], metadata)


def test_status_and_table_read_it(old: Path, cli: Cli) -> None:
    status = cli("status", "grid", "--store", str(old / "store"))
    assert (status.returncode, status.stderr) == (0, "")
    assert "2 of 4 trials" in status.stdout
    assert "15 of 24" in status.stdout
    status = cli("status", SEARCH, "--store", str(old / "store"))
    assert "4 of 8 trials (2 stopped early)" in status.stdout
    table = cli("table", "grid", "--store", str(old / "store")).stdout
    assert [line.split("|")[6].strip() for line in table.splitlines()[2:]] == ["incomplete", "**15.00**", "18.75"]


@pytest.mark.parametrize("sweep", ROWS_OF)
def test_an_export_writes_what_the_old_code_wrote(old: Path, cli: Cli, sweep: str) -> None:
    done = cli("export", sweep, "--store", str(old / "store"), "--to", str(old / "exported"))
    assert done.returncode == 0, done.stderr
    for name, record in (("trials.parquet", TrainConfig), ("epochs.parquet", EpochRecord)):
        before = pq.read_table(old / "store" / sweep / name)
        now = pq.read_table(old / "exported" / name)
        for added in {*now.column_names} - {*before.column_names}:
            assert {*now[added].to_pylist()} == {record.__dataclass_fields__[added].default}
        now = now.select(before.column_names)
        assert without_descriptions(now.schema).equals(without_descriptions(before.schema), check_metadata=True)
        assert now.to_pylist() == before.to_pylist()
    assert len(pq.read_table(old / "exported" / "trials.parquet")) == ROWS_OF[sweep]


@dataclass(frozen=True)
class Resumed:
    """The old store, and the same store after the new code has run both spaces."""

    before: Path
    after: Path


def run(*arguments: str) -> str:
    command = [sys.executable, str(ROOT / "tune_main.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    """The grid has one value more than before, and `train` trains what is left; the search resumes on Ray."""
    before = unpack(tmp_path_factory.mktemp("before"))
    after = unpack(tmp_path_factory.mktemp("after"))
    space = after / "grid.yaml"
    space.write_text(space.read_text().replace("0.4]", "0.4, 0.8]"))
    store = ("--store", str(after / "store"))
    fields = ("epochs=6", "batch_size=32", "train_subset=640", "test_subset=80", "precision=fp32")
    for lr in (0.2, 0.4, 0.8):
        run(
            "train", "resnet_preact_8", "--threads", "1", *store, *(f"--set={each}" for each in (*fields, f"lr={lr}"))
        )
    assert run("run", str(space), *store).startswith("grid: 5 trials on digits, 5 done, 0 to train\n")
    run("run", str(after / f"{SEARCH}.yaml"), *store, "--max-concurrent", "1")
    return Resumed(before / "store", after / "store")


def final_rows(store: Path) -> list[dict[str, Any]]:
    """Rows of trials that need no more training."""
    rows: list[dict[str, Any]] = pq.read_table(store / "grid" / "trials.parquet").to_pylist()
    return [row for row in rows if Status(row["status"]).is_final]


@pytest.mark.ray
def test_what_had_ended_is_not_trained_again(resumed: Resumed) -> None:
    before, after = final_rows(resumed.before), final_rows(resumed.after)
    assert len(before) == 3
    known = [{name: row[name] for name in before[0]} for row in after]  # without columns that were added
    assert [row for row in known if row in before] == before
    assert [row["attempts"] for row in before] == [1, 1, 1]
    assert sorted(str(row["lr"]) for row in after if not row["superseded"]) == ["0.05", "0.1", "0.2", "0.4", "0.8"]


@pytest.mark.ray
def test_an_interrupted_trial_resumes_from_its_checkpoint(resumed: Resumed) -> None:
    (folder,) = (path.parent for path in resumed.before.glob("trials/*/checkpoint-0"))
    before = read_trial(folder)
    after = read_trial(resumed.after / "trials" / folder.name)
    assert 0 < len(before.epochs) < len(after.epochs)
    assert after.epochs[: len(before.epochs)] == before.epochs
    assert [record.attempt for record in after.epochs[len(before.epochs) :]] == [2, 2, 2]
    assert after.end is not None
    assert after.end.status is Status.COMPLETE
    assert [attempt.damage for attempt in after.attempts] == [None, None]


@pytest.mark.ray
def test_the_search_resumes_with_the_proposals_of_its_log(resumed: Resumed) -> None:
    before, after = LocalStore(resumed.before).search_log(SEARCH), LocalStore(resumed.after).search_log(SEARCH)
    assert after.read().startswith(before.read())
    proposals = read_log(after).proposals
    assert len(proposals) == 7
    assert all(proposal.status is not None for proposal in proposals)
    assert proposals[len(read_log(before).proposals) - 1].status in (Status.COMPLETE, Status.STOPPED)
    assert len(read_log(after).confirmations) == 1
