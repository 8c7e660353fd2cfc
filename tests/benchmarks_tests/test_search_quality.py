"""The quick form of `benchmarks/search_quality.py`."""

import json
import math
from pathlib import Path

import pytest
from optuna.samplers import TPESampler

from benchmarks import search_quality
from benchmarks.search_quality import (
    ASHA,
    BATCH_SIZES,
    EPOCHS,
    NUM_WORKERS,
    OurDriver,
    StockDriver,
    contrast,
    curve,
    diverges,
    optimum,
    run_ours,
    run_stock,
    true_error,
)
from sweep.search.simulation import simulate
from trainable.records import Status


def test_the_optimum_lies_inside_and_is_the_smallest() -> None:
    rates = [0.001 * 1.1**step for step in range(97)]
    errors = {(lr, size): true_error(lr, size) for lr in rates for size in BATCH_SIZES if not diverges(lr, size)}
    lr, size = min(errors, key=lambda key: errors[key])
    assert optimum() <= errors[lr, size] < optimum() + 0.05
    assert 0.002 < lr < 5
    assert BATCH_SIZES[0] < size < BATCH_SIZES[-1]
    assert optimum() == pytest.approx(8, abs=0.6)


def test_a_curve_is_its_true_error_with_noise_and_ends_early_where_it_diverges() -> None:
    found = curve(0.05, 64, seed=1, number=2)
    assert found == curve(0.05, 64, seed=1, number=2) != curve(0.05, 64, seed=1, number=3)
    assert len(found.values) == EPOCHS
    assert found.end == pytest.approx(true_error(0.05, 64), abs=2)
    assert (curve(9.0, 16, 0, 0).status, len(curve(9.0, 16, 0, 0).values)) == (Status.DIVERGED, 2)


def test_the_stock_adapter_calls_stopped_trials_complete_and_ours_pruned(tmp_path: Path) -> None:
    """The very difference that the benchmark is about."""
    ours = OurDriver("tpe", ASHA, 10, 0, tmp_path)
    stock, corrected = (StockDriver(TPESampler(seed=0), 10, 0, tell_pruned=pruned) for pruned in (False, True))
    for driver in (ours, stock, corrected):
        stopped = sorted(
            number for number, end in simulate(driver, NUM_WORKERS).ended.items() if end.status is Status.STOPPED
        )
        assert stopped
        if driver is ours:
            told = [trial.state.name for trial in ours.search.sampler.study.get_trials()]
        elif driver is stock:
            told = stock.states()
        else:
            told = corrected.states()
        expected = "COMPLETE" if driver is stock else "PRUNED"
        assert {told[number] for number in stopped} == {expected}
        assert "RUNNING" not in told


def test_a_contrast_is_taken_seed_by_seed() -> None:
    ours = [run_ours("random", ASHA, 8, seed) for seed in range(2)]
    full = [run_ours("random", search_quality.NONE, 8, seed) for seed in range(2)]
    found = contrast(ours, full)
    differences = [mine.regret - theirs.regret for mine, theirs in zip(ours, full, strict=True)]
    assert found["median_difference"] == pytest.approx(sum(differences) / 2)
    assert 0 < found["median_epochs_percent"] < 100
    assert all(found.regret >= -1e-3 and math.isfinite(found.regret) for found in (*ours, *full))
    assert run_stock(TPESampler(seed=0), 8, 0).regret >= -1e-3


def test_the_quick_form_writes_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["search_quality.py", "--quick", "--to", str(tmp_path)])
    search_quality.main()
    report = json.loads((tmp_path / "search_quality.json").read_text())
    assert {len(search["regrets"]) for search in report["searches"].values()} == {2}
    assert "tpe + asha against stock tpe + asha" in report["contrasts"]
