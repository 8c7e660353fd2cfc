"""Faults in trials' files, on real processes: what the user is told, and what becomes of the data."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from results.store.local_store import LocalStore
from tests.conftest import Cli
from tests.integration_tests.damaged_sweep import (
    BEGUN,
    EPOCHS_BEFORE,
    NAMES,
    NOT_TRAINED,
    Damaged,
    ran,
    run_sweep,
)
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.killed_sweep import CLOCKS
from tests.malicious import Malicious

pytestmark = pytest.mark.ray


def figures(row: dict[str, Any]) -> dict[str, Any]:
    """The row without the columns that depend on clocks, attempts and damage."""
    apart = {*CLOCKS, "damage", "attempts_differ", "code", "versions"}
    return {name: value for name, value in row.items() if name not in apart}


@pytest.fixture(scope="module")
def mended(damaged: Damaged) -> Damaged:
    """The same sweep once more, after what was in the way of the trials that were not trained has gone."""
    folder = damaged.store.path.parent
    store = LocalStore(folder / "mended" / "store")
    shutil.copytree(damaged.store.path, store.path)  # with the contents of the linked file
    blocked = store.trial_folder(damaged.manifest.keys[NAMES.index("a trial raises")])
    (blocked / "tensorboard").unlink()
    return Damaged(store, damaged.manifest, damaged.expected, run_sweep(folder / "faults.yaml", store))


@pytest.mark.parametrize("fault", [name for name in NAMES if name not in NOT_TRAINED])
def test_a_damaged_trial_comes_out_as_an_undamaged_one(fault: str, damaged: Damaged) -> None:
    trial, epochs = damaged.rows(fault)
    expected_trial, expected_epochs = damaged.rows(fault, expected=True)
    assert figures(trial) == figures(expected_trial)
    assert [figures(row) for row in epochs] == [figures(row) for row in expected_epochs]
    first = trained_before(fault, damaged)
    data = f"{first} of the {len(epochs)} epochs are kept" if fault in BEGUN else f"{len(epochs)} epochs are trained"
    data += ", the rows are those of an uninterrupted run"
    if trial["status"] != "COMPLETE":
        data = f"the row says {trial['status']}, without a final error"
    for column in ("damage", "attempts_differ"):
        if trial[column]:
            data += f"; the column `{column}` tells"
    lines = user_sees(damaged.done.stdout + damaged.done.stderr, about=f"{damaged.label(fault)}:")
    record(fault, lines, 0, data)


def trained_before(fault: str, damaged: Damaged) -> int:
    """Epochs whose rows are, clocks included, those from before the damage."""
    before, now = damaged.rows(fault, expected=True)[1], damaged.rows(fault)[1]
    return sum(row in before for row in now)


@pytest.mark.parametrize("fault", NOT_TRAINED)
def test_a_trial_that_cannot_be_trained_stops_no_other(fault: str, damaged: Damaged) -> None:
    trial, epochs = damaged.rows(fault)
    lines = user_sees(damaged.done.stdout + damaged.done.stderr, about=f"{damaged.label(fault)}:")
    record(fault, lines, damaged.done.returncode, f"the row says {trial['status']}; {len(epochs)} epochs are kept")
    assert damaged.done.returncode == 1


def test_a_failed_trial_is_one_line_and_tried_once(damaged: Damaged) -> None:
    key = damaged.folder("a trial raises").name
    assert damaged.done.stderr.startswith(f"failed {key}: FileExistsError")
    assert damaged.done.stderr.count("\n") == 1
    trial, _ = damaged.rows("a trial raises")
    assert (trial["status"], trial["attempts"]) == ("FAILED", 2)  # the first is that from before


def test_why_a_trial_failed_is_one_command_away(damaged: Damaged, cli: Cli) -> None:
    folder, store = damaged.folder("a trial raises"), ("--store", str(damaged.store.path))
    hint = f"logs: python tune_main.py logs {folder.name} --store {damaged.store.path}\n"
    assert hint in damaged.done.stdout
    logs = cli("logs", folder.name[:8], *store).stdout
    heading, attempt, trace, *_, error = logs.splitlines()
    assert heading.startswith(f"{folder.name}  model=resnet_preact_8 ")
    assert " FAILED: FileExistsError: [Errno 17]" in heading
    assert attempt.startswith("--- attempt 2 of 2, ")
    assert trace == "Traceback (most recent call last):"
    assert error.startswith("FileExistsError: [Errno 17]")
    assert cli("logs", "--failed", "--sweep", "faults", *store).stdout == logs
    names = {path.parent.name for path in damaged.store.trials_folder.glob("*/log-*.txt")}
    assert names == {folder.name}  # nobody else has anything to say


def test_failed_and_diverged_trials_are_in_the_table(damaged: Damaged, cli: Cli) -> None:
    table = cli("table", "faults", "--store", str(damaged.store.path)).stdout
    assert "failed" in table
    assert "diverged" in table


def test_failed_trials_are_tried_again(mended: Damaged) -> None:
    assert mended.done.returncode == 0, mended.done.stderr
    num_done = len(NAMES) - len(NOT_TRAINED)
    heading = f"faults: {len(NAMES)} trials on digits, {num_done} done, {len(NOT_TRAINED)} to resume, 0 to train\n"
    assert mended.done.stdout.startswith(heading)
    for fault in NAMES:
        (trial, epochs), (expected_trial, expected_epochs) = mended.rows(fault), mended.rows(fault, expected=True)
        assert figures(trial) == figures(expected_trial)
        assert [figures(row) for row in epochs] == [figures(row) for row in expected_epochs]


def test_a_damaged_checkpoint_is_reported_in_the_row_and_on_the_screen(damaged: Damaged) -> None:
    fault = "the newest checkpoint is truncated"
    assert damaged.rows(fault)[0]["damage"] == f"damaged: checkpoint-0; resumed after epoch {EPOCHS_BEFORE - 1}"
    assert f"{damaged.label(fault)}: damaged: checkpoint-0; resumed after epoch 2" in damaged.done.stdout
    assert damaged.rows("a torn last line in epochs.jsonl")[0]["damage"] is None


def test_no_code_in_a_checkpoint_is_run(damaged: Damaged) -> None:
    fault = "a checkpoint that holds code"
    assert "checkpoint-0 (this code cannot load it)" in damaged.rows(fault)[0]["damage"]
    assert not ran(damaged.folder(fault)).exists()


def test_the_malicious_checkpoint_would_have_run(tmp_path: Path) -> None:
    """Without this the test above would prove nothing."""
    torch.save(Malicious(tmp_path / "ran"), tmp_path / "state")
    torch.load(tmp_path / "state", weights_only=False)
    assert (tmp_path / "ran").exists()


def test_nothing_is_written_through_a_link(damaged: Damaged) -> None:
    outside = damaged.folder("a symbolic link among a trial's files").parent.parent.parent / "outside"
    assert len(outside.read_bytes().splitlines()) == EPOCHS_BEFORE


def test_attempts_on_other_code_can_be_recognized(damaged: Damaged) -> None:
    trial, _ = damaged.rows("other code and library versions between two attempts")
    differing = json.loads(trial["attempts_differ"])
    assert differing["code"] == ["an0ther/c0de", trial["code"]]
    assert differing["versions"] == [{"torch": "1.0"}, json.loads(trial["versions"])]


def test_no_trial_ends_before_it_began(damaged: Damaged) -> None:
    trial, epochs = damaged.rows("the clock was set back between two attempts")
    assert trial["end_time"] >= trial["start_time"]
    assert min(row["train_seconds"] for row in epochs) > 0
    assert trial["total_seconds"] > 0


def test_what_a_killed_process_left_half_written_is_removed(damaged: Damaged) -> None:
    assert list(damaged.store.path.rglob(".*")) == []
