"""How long a sweep will take, told before it and checked after it, through the command line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tune_main
from benchmarks.images import noise, write_parquet
from results.tables.layout import format_seconds
from tests.conftest import ROOT, Cli
from tests.integration_tests.running_sweeps import InterruptedSweep
from trainable.ledger.reading import read_trial

SPACE = """
name: timed
defaults: {model: resnet_preact_8, epochs: 6, train_subset: 256, test_subset: 100, precision: fp32}
grid:
  batch_size: [16, 64]
  lr: [0.05, 0.2]
"""


@pytest.fixture
def space(tmp_path: Path) -> str:
    path = tmp_path / "timed.yaml"
    path.write_text(SPACE)
    return str(path)


def test_an_empty_store_cannot_tell(space: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_main.main(["plan", space, "--store", str(tmp_path / "none")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "  left   4 trials, 24 epochs, 6,144 images"
    assert lines[3].startswith("  time   unknown: nothing was measured on ")
    assert lines[3].endswith("--probe measures a few steps here")
    assert not (tmp_path / "none").exists()


def test_a_data_set_that_is_neither_built_in_nor_given_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("rows: [{lr: 0.1, dataset: mine}]\n")
    assert tune_main.main(["plan", str(path), "--store", str(tmp_path / "none")]) == 2
    assert "no data set 'mine'" in capsys.readouterr().err


def test_a_probe_tells_and_leaves_nothing(space: str, tmp_path: Path, cli: Cli) -> None:
    before = {*tmp_path.iterdir()}
    done = cli("plan", space, "--probe", "--slots", "1", "3", "--store", str(tmp_path / "none"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == "probing 2 configurations ...\n"
    lines = done.stdout.splitlines()
    assert [line.split(", ")[-1].split(" (")[0] for line in lines[3:5]] == ["1 trial at a time", "3 trials at a time"]
    assert lines[3].startswith("  time   ")
    assert "from a probe on " in lines[5]
    assert lines[6].startswith("  memory at most ")
    assert {*tmp_path.iterdir()} == before


def test_no_such_slots(space: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_main.main(["plan", space, "--slots", "0"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.ray
def test_an_interrupted_run_without_history_is_history_for_the_next(interrupted: InterruptedSweep, cli: Cli) -> None:
    store = interrupted.stopped_store
    assert "\nestimate: " not in interrupted.by_ctrl_c.stdout
    (stopped,) = read(store)
    assert (stopped["num_trials"], stopped["interrupted"], stopped["estimate"]) == (4, True, None)
    assert (stopped["trials_ended"] < 4, stopped["between_seconds"]) == (True, None)
    assert 0 < stopped["epochs_trained"] < 4 * 6
    status = cli("status", "small", "--store", str(store)).stdout
    assert re.search(r"^  last run stopped after \S+, by Ctrl-C$", status, re.MULTILINE)
    planned = cli("plan", str(interrupted.space), "--store", str(store))
    assert " of 1 run in the store on " in planned.stdout
    assert loaded_by_plan(str(interrupted.space), store) == "set()"


@pytest.mark.ray
def test_estimate_and_truth_are_printed_side_by_side(interrupted: InterruptedSweep, cli: Cli) -> None:
    store, done = interrupted.store, interrupted.last
    assert done.stdout.splitlines()[2].startswith("estimate: ")
    stopped, record = read(store)
    assert (record["interrupted"], record["trials_ended"]) == (False, record["num_trials"])
    assert 0 < record["start_up_seconds"] < record["wall_seconds"]
    assert record["epochs_trained"] == epochs_told(store, record["run_id"], done.stdout)
    assert stopped["epochs_trained"] >= 1
    told = record["estimate"]
    assert 0 < told["low_seconds"] < told["median_seconds"] < told["high_seconds"]
    assert f"took {format_seconds(record['wall_seconds'])}; the estimate was " in done.stdout
    assert "  last run took " in cli("status", "small", "--store", str(store)).stdout


def epochs_told(store: Path, run_id: str, output: str) -> int:
    """Epochs that a run trained and was told of, those included that it trained again after a worker was killed."""
    died = re.search(r"its process died at epoch (\d+)", output)
    count = 0
    for folder in store.glob("trials/*"):
        trial = read_trial(folder)
        own = [trained.attempt for trained in trial.attempts if trained.run_id == run_id]
        if died and len(own) > 1:
            count += max(0, int(died[1]) - sum(epoch.attempt < own[0] for epoch in trial.epochs))
            own = own[-1:]
        count += sum(epoch.attempt in own for epoch in trial.epochs)
    return count


def read(store: Path, sweep: str = "small") -> list[dict[str, Any]]:
    """What the runs wrote at their ends."""
    lines = [json.loads(line) for line in (store / sweep / "runs.jsonl").read_text().splitlines()]
    return [line for line in lines if "wall_seconds" in line]


def loaded_by_plan(space: str, store: Path) -> str:
    """The heavy libraries that a plan with history has loaded."""
    code = (
        "import sys, tune_main\n"
        f"assert tune_main.main(['plan', {space!r}, '--store', {str(store)!r}]) == 0\n"
        "print({'torch', 'ray', 'torchvision', 'sklearn', 'pandas', 'scipy'} & {*sys.modules})\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()[-1]


def test_with_the_data_set_at_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The data set's name, size and content are known, so that nothing is marked as assumed."""
    write_parquet(noise(96, 32), tmp_path / "mine")
    path = tmp_path / "space.yaml"
    path.write_text("rows: [{lr: 0.1, epochs: 2, batch_size: 32}, {lr: 0.1, epochs: 2, batch_size: 64}]\n")
    (tmp_path / "store" / "trials").mkdir(parents=True)
    options = ["--store", str(tmp_path / "store"), "--data", str(tmp_path / "mine")]
    assert tune_main.main(["plan", str(path), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "space: 2 trials on mine (10 classes, 96 + 32 images)"
    assert lines[1] == f"  done   0 in {tmp_path / 'store'}"
    assert lines[2] == "  left   2 trials, 4 epochs, 320 images"
