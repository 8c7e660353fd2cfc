"""The quick form of `benchmarks/whole_sweep.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.whole_sweep import OURS, PLAIN
from tests.conftest import ROOT


@pytest.mark.ray
@pytest.mark.faults
def test_the_quick_form_runs_the_same_trials_on_both_sides(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "whole_sweep.py"), "--quick", "--rounds", "1"]
    process = subprocess.run(
        [*command, "--to", str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, process.stderr
    wall = json.loads((tmp_path / "whole_sweep.json").read_text())["figures"]["wall seconds"]
    assert wall["plain / ours"]["median"] == wall[PLAIN]["median"] / wall[OURS]["median"] > 0
