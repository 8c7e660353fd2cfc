"""A sweep under random kills (see benchmarks/kill_rounds.py), and that the rounds would notice what must not be."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, Cli
from tests.integration_tests.fault_table import record
from tests.integration_tests.kill_rounds import KINDS, run_rounds
from tests.integration_tests.killed_sweep import EPOCHS_A_TRIAL, Plan, TrialState, differences, violations


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Ray's sockets lie below it, and their paths have at most 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="k"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.ray
@pytest.mark.faults
def test_kills_cost_nothing_but_time(short_path: Path) -> None:
    check_rounds(Plan(rounds=20), short_path)
    record(
        "the driver, Ray and all workers are killed, again and again",
        [],
        None,
        "no finished trial and no epoch before a checkpoint trained again, no row twice or missing, "
        "the rows of an uninterrupted run, nothing left behind; the store may move in between",
    )


@pytest.mark.ray
@pytest.mark.faults
@pytest.mark.parametrize("max_concurrent", [1, 2])
def test_kills_cost_a_search_nothing_but_time(short_path: Path, max_concurrent: int) -> None:
    epochs = EPOCHS_A_TRIAL[True]
    check_rounds(Plan(rounds=10, epochs=epochs, search=True, max_concurrent=max_concurrent), short_path)
    record(
        "a search is killed, its driver, Ray and all workers, again and again",
        [],
        None,
        "no configuration trained twice, every proposal ended once, nothing left running in the study, the rows are "
        "those of the log; with one trial at a time also the log and the rows of an uninterrupted search",
    )


@pytest.mark.ray
@pytest.mark.faults
def test_fifty_kills_cost_nothing_but_time(short_path: Path) -> None:
    check_rounds(Plan(rounds=50, seed=1, epochs=150), short_path)


def check_rounds(plan: Plan, folder: Path) -> None:
    outcome = run_rounds(plan, folder)
    assert len(outcome.rounds) == plan.rounds, "the sweep was finished before its last kill: make it longer"
    assert {round_.killed for round_ in outcome.rounds} == set(KINDS)
    assert outcome.rounds[-1].epochs_recorded > 0
    assert outcome.violations == []
    assert outcome.differences == []
    assert outcome.left_behind == []
    assert (folder / "k" / "moved").exists()


def lines(*epochs: int, attempt: int = 1) -> list[bytes]:
    return [f'{{"epoch": {epoch}, "attempt": {attempt}}}\n'.encode() for epoch in epochs]


BEFORE = TrialState([b"1\n"], lines(1, 2, 3), end=None, num_safe=2)
FINISHED = TrialState([b"1\n"], lines(1, 2, 3), end=b"{}", num_safe=3)


def test_going_on_from_the_last_checkpoint_is_no_violation() -> None:
    after = TrialState([b"1\n", b"2\n"], lines(1, 2) + lines(3, 4, attempt=2), end=None, num_safe=4)
    assert list(violations({"key": BEFORE, "done": FINISHED}, {"key": after, "done": FINISHED})) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (BEFORE, TrialState([b"1\n", b"2\n"], lines(1) + lines(2, 3, attempt=2), None, 3)),
        (BEFORE, TrialState([b"1\n"], lines(1), None, 1)),
        (BEFORE, TrialState([b"1\n"], lines(1, 2, 2, 3), None, 2)),
        (BEFORE, TrialState([b"1\n"], lines(1, 2, 4), None, 2)),
        (FINISHED, TrialState([b"1\n", b"2\n"], lines(1, 2, 3), b"{}", 3)),
        (FINISHED, TrialState([b"1\n"], lines(1, 2, 3), None, 3)),
        (FINISHED, None),
    ],
    ids=["trained again", "gone", "twice", "missing", "begun again", "no longer finished", "folder gone"],
)
def test_what_must_not_be_is_noticed(before: TrialState, after: TrialState | None) -> None:
    assert len(list(violations({"key": before}, {"key": after} if after else {}))) == 1


def test_rows_that_differ_or_are_missing_are_reported() -> None:
    rows = {"trials": [{"lr": 1}, {"lr": 2}]}
    assert list(differences(rows, rows)) == []
    assert len(list(differences(rows, {"trials": [{"lr": 1}, {"lr": 3}]}))) == 1
    assert len(list(differences(rows, {"trials": [{"lr": 1}]}))) == 1


@pytest.mark.ray
@pytest.mark.faults
def test_repeats_that_the_errors_decide_are_the_same_after_kills(tmp_path: Path, cli: Cli) -> None:
    """The driver is killed in the first round, and in later ones."""
    space = tmp_path / "space.yaml"
    space.write_text(
        "name: adaptive\n"
        "defaults: {model: resnet_preact_8, dataset: digits, batch_size: 64, train_subset: 256, epochs: 1}\n"
        "grid: {lr: [0.02, 0.05, 0.2, 0.8]}\nrepeats: {max: 5, budget: 0.8}\n",
        encoding="utf-8",
    )
    whole, killed = (("--store", str(tmp_path / name), "--max-concurrent", "2") for name in ("whole", "killed"))
    assert cli("run", str(space), *whole).returncode == 0
    command = [sys.executable, str(ROOT / "tune_main.py"), "run", str(space), *killed]
    for moment in (3, 9, 12):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as driver:
            assert driver.stdout is not None
            while not (line := driver.stdout.readline()).startswith(f"[{moment}/"):
                assert line, "the run has ended"
            driver.kill()
    assert cli("run", str(space), *killed).returncode == 0
    columns = ["trial_key", "repeat", "generation", "holdout_error_percent", "test_error_percent"]
    files = [tmp_path / name / "adaptive" / "trials.parquet" for name in ("whole", "killed")]
    tables = [pq.read_table(file, columns=columns) for file in files]
    assert tables[0].num_rows > 12
    assert tables[0].equals(tables[1])
