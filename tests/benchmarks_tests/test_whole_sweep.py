"""The quick form of `benchmarks/whole_sweep.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.whole_sweep import OURS, PLAIN, Sweep
from tests.conftest import ROOT


def test_overhead_is_what_two_at_a_time_did_not_work() -> None:
    sweep = Sweep(wall_seconds=30.0, start_up_seconds=5.0, work_seconds=40.0, num_trials=5)
    assert sweep.overhead_seconds_per_trial == 2.0


@pytest.mark.ray
def test_the_quick_form_runs_the_same_trials_on_both_sides(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "whole_sweep.py"), "--quick", "--rounds", "1"]
    process = subprocess.run(
        [*command, "--to", str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, process.stderr
    figures = json.loads((tmp_path / "whole_sweep.json").read_text())["figures"]
    for sides in figures.values():
        assert all(side["median"] > 0 for side in sides.values())
    wall, start_up = figures["wall seconds"], figures["seconds until the first epoch"]
    assert all(start_up[side]["median"] < wall[side]["median"] for side in (OURS, PLAIN))
