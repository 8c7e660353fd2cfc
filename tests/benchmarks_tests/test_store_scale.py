"""The quick form of `benchmarks/store_scale.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.finished_sweep import FILLED_SWEEP, fill_store
from benchmarks.store_scale import COMMANDS, REWRITE, Cost, check, cost, exponent
from results.store.local_store import LocalStore
from sweep.status.status import sweep_status
from tests.conftest import ROOT


def test_the_exponent_is_that_of_the_cost_above_one_trial() -> None:
    assert exponent([10, 100, 1000], [1.5, 6.0, 51.0], 1.0) == pytest.approx(1.0)
    assert exponent([10, 100], [101.0, 10_001.0], 1.0) == pytest.approx(2.0)
    assert exponent([10, 100], [1.0, 2.0], 1.0) is None
    assert exponent([10], [2.0], 1.0) is None


def test_a_filled_store_is_a_finished_sweep(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert fill_store(store, 3, 4, "0123456789abcdef").read_text().startswith(f"name: {FILLED_SWEEP}\n")
    status = sweep_status(store, store.manifest(FILLED_SWEEP))
    assert (status.done, status.epochs_done, status.left) == (3, 12, 0)


MEASURE = """
from benchmarks.store_scale import cost
small, large = cost("-c", "print(1)"), cost("-c", "print(len(b'x' * 200_000_000))")
print(small.output.strip(), large.output.strip(), large.peak_bytes - small.peak_bytes)
"""


def test_the_cost_of_a_process_is_its_own() -> None:
    """Asked from a small process, as the benchmark is: a child's peak is never below its parent's."""
    measured = cost("-c", MEASURE)
    small, large, difference = map(int, measured.output.split())
    assert (small, large) == (1, 200_000_000)
    assert difference == pytest.approx(200_000_000, rel=0.1)
    assert 0 < measured.seconds < 600
    with pytest.raises(SystemExit, match="no way"):
        cost("-c", "raise SystemExit('no way')")


def test_a_command_that_misses_trials_is_no_measurement() -> None:
    costs = {command: Cost(1.0, 1, "") for command in COMMANDS}
    with pytest.raises(SystemExit, match="plan does not say 'done   3 in'"):
        check(costs, 3, 2)


@pytest.mark.faults
@pytest.mark.ray
def test_the_quick_form_measures_both_sides(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "store_scale.py"), "--quick", "--to", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr
    report = json.loads((tmp_path / "store_scale.json").read_text())
    figures = report["ours"]["1"]
    assert all(figures[name]["seconds"]["median"] > 0 for name in (*COMMANDS, REWRITE))
    assert figures["trials"]["files"] > 0
    assert report["ray"]["2"]["trials run"] == 1
    assert report["ray"]["2"]["seconds"]["median"] > 0
