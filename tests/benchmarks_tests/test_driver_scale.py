"""The driver's benchmark: what it makes of its figures, the figures that are committed, and a run in short."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.driver_scale import PLANNED, SEARCH, TARGETS, Case, growth
from benchmarks.scale_on_paper import Case as GpuCase
from benchmarks.scale_on_paper import Measured, load_of, tables
from tests.conftest import ROOT

REPORT = ROOT / "benchmarks" / "results" / "driver_scale.json"


def test_growth_is_printed_round_by_round() -> None:
    def rounds(*seconds: float) -> list[dict[str, float]]:
        return [{"seconds a trial": value} for value in seconds]

    measured = {Case(PLANNED, 100): rounds(1.0, 2.0, 4.0), Case(PLANNED, 1000): rounds(1.0, 3.0, 4.0)}
    found = growth(measured, PLANNED)
    assert found is not None
    assert found["seconds a trial"]["rounds"] == [1.0, 1.5, 1.0]
    assert growth(measured, SEARCH) is None


@pytest.mark.parametrize("kind", [PLANNED, SEARCH])
def test_the_committed_figures_hold_what_they_are_to_show(kind: str) -> None:
    report = json.loads(REPORT.read_text())
    ratio = report["growth from 100 to 1000"][kind]["seconds a trial"]["median"]
    assert ratio <= TARGETS["time a trial, 1000 against 100 trials"] == 1.5
    runs = report["runs"][kind]
    assert {"100", "1000", "5000"} <= runs.keys()
    for figures in runs.values():
        assert figures["driver's peak bytes"]["max"] <= TARGETS["driver's peak bytes"] == 1.5 * 2**30


def test_the_page_holds_what_its_script_works_out() -> None:
    page = (ROOT / "deploy" / "SCALE.md").read_text()
    assert [table for table in tables() if table not in page] == []


def test_loads_grow_with_the_gpus_and_short_epochs_are_pushed_together() -> None:
    measured = Measured(0.001, 0.01, 0, 0, 0, 0, 0, 0, 0)
    long, short = GpuCase("long", 100.0, 0.0), GpuCase("short", 0.5, 0.0)
    load = load_of(long, measured, num_gpus=1000)
    assert load.epochs == load.checkpoints == 10.0
    assert load.pushes == 20.0
    assert load.driver_share == pytest.approx(0.01 + 0.0005)
    assert load_of(long, measured, num_gpus=2000).puts == 2 * load.puts
    many = load_of(short, measured)
    assert many.epochs == 2000.0
    assert many.pushes == pytest.approx(400.0)  # every five seconds
    assert many.checkpoints == pytest.approx(200.0)  # of 0.1 s each, for 2 % of the time


@pytest.mark.faults
@pytest.mark.ray
def test_in_short(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "driver_scale.py"), "--quick", "--to", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    report = json.loads((tmp_path / "driver_scale.json").read_text())
    [figures] = report["runs"][SEARCH].values()
    assert figures["trials of the sweep"] == 12
    assert 0 < figures["seconds a trial"]["median"] < math.inf
    assert figures["driver's peak bytes"]["median"] > 2**27
    assert figures["trials"]["files"] == 12 * 6 + 3  # the weights of the three best
