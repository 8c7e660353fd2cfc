"""The quick form of `benchmarks/estimates.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import estimates
from benchmarks.estimates import Outcome
from benchmarks.finished_sweep import TIME, write_finished_trials
from results.store.local_store import LocalStore
from search_spaces.expansion import expand, tie_to_data
from search_spaces.loader import load_space
from sweep.estimate.wall_time import Interval
from sweep.runs import RunRecord, append_run
from tests.conftest import ROOT
from tests.results_tests.result_samples import make_manifest
from trainable.data.digits import load_digits


@pytest.mark.parametrize(("seconds", "inside"), [(7.9, False), (8.0, True), (15.0, True), (15.1, False)])
def test_inside_or_not(seconds: float, inside: bool) -> None:
    outcome = Outcome("sweep", Interval(10.0, 8.0, 15.0), seconds)
    assert outcome.is_inside == inside
    assert outcome.ratio == seconds / 10


def as_if_run(space: Path, folder: Path, *options: str) -> None:
    """Write what a run of the space leaves."""
    write_finished_trials(space, folder)
    trials = tie_to_data(expand(load_space(str(space)), {}).trials, *load_digits().identity)
    store = LocalStore(folder)
    store.write_manifest(make_manifest([trial.config for trial in trials], space.stem))
    append_run(store, space.stem, RunRecord("run", TIME, 2, 2, 2, 2, 11.5, 3.25, 0.5, interrupted=False))


def test_every_sweep_is_estimated_in_every_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "run_sweep", as_if_run)
    monkeypatch.setattr(sys, "argv", ["estimates.py", "--quick", "--to", str(tmp_path)])
    estimates.main()
    check_report(tmp_path)


@pytest.mark.ray
@pytest.mark.faults
def test_the_quick_form_runs_its_sweeps(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "estimates.py"), "--quick", "--to", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr
    check_report(tmp_path)


def check_report(folder: Path) -> None:
    report = json.loads((folder / "estimates.json").read_text())
    ways = report["estimated from"]
    assert {way: figures["num_estimates"] for way, figures in ways.items()} == {
        "all others": 2,
        "one other": 2,
        "a probe": 2,
    }
    for figures in ways.values():
        assert figures["num_inside"] == sum(
            found["interval"]["low"] <= found["wall_seconds"] <= found["interval"]["high"]
            for found in figures["estimates"]
        )
        assert 0.1 < figures["truth / estimate"]["median"] < 10
    assert [run["trials_ended"] for run in report["runs"]] == [2, 2]
