"""The quick form of `benchmarks/estimates.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.estimates import Outcome
from sweep.estimate.wall_time import Interval
from tests.conftest import ROOT


@pytest.mark.parametrize(("seconds", "inside"), [(7.9, False), (8.0, True), (15.0, True), (15.1, False)])
def test_inside_or_not(seconds: float, inside: bool) -> None:
    outcome = Outcome("sweep", Interval(10.0, 8.0, 15.0), seconds)
    assert outcome.is_inside == inside
    assert outcome.ratio == seconds / 10


@pytest.mark.ray
def test_the_quick_form_estimates_every_sweep_in_every_way(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "estimates.py"), "--quick", "--to", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr
    report = json.loads((tmp_path / "estimates.json").read_text())
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
