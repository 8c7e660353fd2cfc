"""`run` makes the store hold what is asked for: trials are reused, resumed, added or trained again."""

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks.finished_sweep import write_finished_sweep, write_finished_trials
from results.store.local_store import LocalStore
from tests.conftest import ROOT, Cli
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.running_sweeps import PATIENCE_SECONDS
from tests.other_process import driven, locked
from tests.results_tests.result_samples import make_attempt, make_config, make_manifest
from trainable.ledger.files import EPOCHS
from trainable.ledger.remote_ledger import open_ledger

SPACE = """
name: small
defaults: {model: resnet_preact_8, epochs: 1, train_subset: 64, test_subset: 50, batch_size: 32, precision: fp32}
grid: {lr: [0.05]}
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SPACE)
    return path


def rows(store: Path, sweep: str = "small", statuses: Sequence[str] = ()) -> list[tuple[float, int, bool]]:
    """(lr, generation, superseded) of every training."""
    table = pq.read_table(store / sweep / "trials.parquet")
    columns = [table[name].to_pylist() for name in ("lr", "generation", "superseded")]
    assert table["status"].to_pylist() == list(statuses or ["COMPLETE"] * len(table))
    return list(zip(*columns, strict=True))


def start_and_interrupt(*arguments: str) -> str:
    """Press Ctrl-C as soon as the run has printed its plan; return its stderr."""
    command = [sys.executable, str(ROOT / "tune_main.py"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        while "superseded" not in (line := driver.stdout.readline()):
            assert line, "the run has ended"
        driver.send_signal(signal.SIGINT)
        _, errors = driver.communicate(timeout=PATIENCE_SECONDS)
        assert driver.returncode == 130
    return errors


@pytest.mark.ray
def test_the_life_of_a_sweep(space: Path, tmp_path: Path, cli: Cli) -> None:
    """One test for all steps, since each start of Ray costs seconds."""
    store = tmp_path / "store"
    options = ("--store", str(store))
    write_finished_trials(space, store)  # lr 0.05 in generation 1, as if it had been trained
    assert cli("run", str(space), *options).stdout.startswith("small: 1 trial on digits, 1 done, 0 to train\n")

    space.write_text(SPACE.replace("0.05", "0.1"))
    refused = cli("run", str(space), *options)
    assert refused.returncode == 2
    assert refused.stdout.splitlines() == [
        "small: 1 of its 1 trial is no longer in the space, 1 trial is new",
        "- lr=0.05",
        "+ lr=0.1",
    ]
    assert refused.stderr.count("\n") == 1
    assert "add --extend to keep both, or give this run another --name" in refused.stderr
    assert rows(store) == [(0.05, 1, False)]

    extended = cli("run", str(space), *options, "--extend", "--again")  # the new trial was never trained
    assert extended.returncode == 0, extended.stderr
    assert extended.stdout.splitlines()[:3] == [
        "small: 2 trials on digits, all to retrain",
        "starting Ray ...",
        "note: 1 earlier result is kept, marked superseded",
    ]
    assert rows(store) == [(0.05, 1, True), (0.05, 2, False), (0.1, 1, False)]

    both = tmp_path / "both.yaml"
    both.write_text(SPACE.replace("small", "both").replace("[0.05]", "[0.05, 0.1]"))
    plan = cli("plan", str(both), *options, "--verbose").stdout.splitlines()
    assert plan[1].startswith("  done   2, 2 reused (2 of small) in ")
    assert plan[3:] == ["  lr=0.05  done, trained by small", "  lr=0.1   done, trained by small"]
    reused = cli("run", str(both), *options)
    assert reused.stdout.startswith("both: 2 trials on digits, 2 reused (2 of small), 0 to train\n")

    stopped = start_and_interrupt("run", str(both), *options, "--again")
    assert "0 of 2 trials done; the same command without --again resumes" in stopped
    both.write_text(both.read_text().replace("0.1]}", "0.1, 1.0e+18]}\nrepeats: {max: 3}"))  # 1e18 diverges
    gone_on = cli("run", str(both), *options)
    assert gone_on.returncode == 0, gone_on.stderr
    assert "both: 6 trials on digits, " in gone_on.stdout
    assert "repeats: 2 more trials to separate the best configurations" in gone_on.stdout
    assert re.search("\nopen: lr=0.+ has 1 rival within .+ points, and all of them have max seeds\n", gone_on.stdout)
    trainings = [(0.05, 1, True), (0.05, 2, True), (0.05, 3, False), (0.1, 1, True), (0.1, 2, False)]
    added = pq.read_table(store / "both" / "trials.parquet")
    assert [row for row in rows(store, "both", ["COMPLETE"] * 9 + ["DIVERGED"] * 2) if row in trainings] == trainings
    newest = added.filter(pc.invert(added["superseded"]))
    assert newest["repeat"].to_pylist() == newest["seed"].to_pylist() == [0, 1, 2] * 2 + [0, 1]
    assert [error is None for error in newest["test_error_percent"].to_pylist()] == [False] * 6 + [True] * 2
    table = cli("table", "both", *options).stdout.splitlines()
    assert len(table) == 5  # three rows, the newest of each
    assert "Test Error (median) | n |" in table[0]
    assert [line for line in table if "diverged" in line]

    shared = cli("run", str(space), *options)  # it stays extended, and the other's new trainings stand here, too
    assert "small: 2 trials on digits, 2 reused (2 of both), 0 to train" in shared.stdout
    assert rows(store) == trainings


def test_again_is_refused_while_others_work(space: Path, tmp_path: Path, cli: Cli) -> None:
    arguments = write_finished_sweep(tmp_path, 2)
    store = tmp_path / "store"
    trials = sorted(path.name for path in (store / "trials").iterdir())
    assert cli(*arguments).returncode == 0
    for lock in (store / "finished" / "lock", store / "trials" / trials[0] / "lock"):
        with locked(lock) as process:
            refused = cli(*arguments, "--again")
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
        if lock.parent.name == "finished":
            seen = user_sees(refused.stderr.replace(f"({process.pid})", "(N)"))
            record("a process that is no driver holds a sweep's lock", seen, refused.returncode, "nothing is written")
        else:
            assert "are being trained now" in refused.stderr
    assert sorted(path.name for path in (store / "trials").iterdir()) == trials


def test_what_a_killed_driver_trained_is_interrupted(tmp_path: Path, cli: Cli) -> None:
    store, config = LocalStore(tmp_path / "store"), make_config()
    with store.driving(make_manifest([config], "small")):
        pass
    with driven(store.sweep_folder("small")) as driver:
        with open_ledger(store.ledgers / config.trial_key, config.to_dict()) as ledger:
            ledger.begin(make_attempt(run_id="theirs", sweep="small"))
        driver.kill()
        driver.wait()
    status = cli("status", "small", "--store", str(store.path))
    seen = user_sees(status.stdout, "not running") + user_sees(status.stdout, " running  ")
    seen += user_sees(status.stdout, " left  ")
    record(
        "`status` after the driver was killed", seen, status.returncode, "the next run resumes what is interrupted"
    )
    os.mkfifo(store.trial_folder(config.trial_key) / EPOCHS)
    (store.trials_folder / ("0" * 16)).symlink_to(tmp_path)
    found = cli("verify", "--store", str(store.path))
    for fault, told, data in (
        ("a pipe among a trial's files", "regular", "nobody waits for it"),
        ("a trial's folder that is a symbolic link", "link", "nothing is written through it"),
    ):
        record(fault, user_sees(found.stdout, told), found.returncode, data)


def test_a_finished_sweep_of_100_trials_answers_at_once(tmp_path: Path) -> None:
    """Under 3 s of processor time, with neither torch nor Ray; benchmarks/answer_times.py measures the answer."""
    arguments = write_finished_sweep(tmp_path, 100)
    code = (
        f"import sys, tune_main; tune_main.main({arguments}); print({{'ray', 'torch', 'sklearn'}} & {{*sys.modules}})"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = done.stdout.splitlines()
    assert lines[0] == "finished: 100 trials on digits, 100 done, 0 to train"
    assert lines[-1] == "set()"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3.0
    assert pq.read_metadata(tmp_path / "store" / "finished" / "trials.parquet").num_rows == 100
