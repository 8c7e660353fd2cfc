"""The statistics of `benchmarks/search_quality.py` on numbers made by hand, and its quick form."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import search_quality
from benchmarks.search_faults import shares
from benchmarks.search_quality import read_cache, shard
from benchmarks.search_statistics import average_ranks, complete_arms, summarize, wins, with_band


def record(arm: str, name: str, seed: int, regret: float) -> dict[str, Any]:
    values = {"regret": {"100": regret}, "trials": 30, "diverged_last_quarter": 0.25, "cpu_seconds": 1.0}
    return {"arm": arm, "problem": name, "workers": 4, "seed": seed, **values}


def test_ranks_are_of_the_median_regret_and_shared_by_equal_arms() -> None:
    regrets = np.array([[[1, 1, 9], [3, 3, 3]], [[2, 2, 2], [3, 3, 9]], [[5, 5, 5], [1, 1, 1]]], dtype=float)
    assert average_ranks(regrets).tolist() == [(1 + 2.5) / 2, (2 + 2.5) / 2, (3 + 1) / 2]
    assert wins([1, 2, 3, 4], [2, 1, 3, 4]) == [2, 2]
    assert wins([1, 1, 3], [2, 2, 3]) == [2.5, 0.5]
    assert with_band(np.arange(101.0), 50) == [50, 2.5, 97.5]


def test_an_arm_counts_only_with_all_of_its_runs() -> None:
    runs = [record(arm, name, seed, 1 + seed) for arm in "ab" for name in ("x", "y") for seed in range(3)]
    arms = complete_arms(runs[:-1], ("x", "y"), range(3))
    assert list(arms) == ["a"]
    assert [(run["problem"], run["seed"]) for run in arms["a"]] == [
        (name, seed) for name in "xy" for seed in range(3)
    ]


def test_intervals_come_from_the_seeds() -> None:
    """The better arm of a pair that never cross has rank 1 in every draw; medians vary as the seeds do."""
    runs = [record("good", "x", seed, seed / 10) for seed in range(20)]
    runs += [record("bad", "x", seed, 5 + seed / 10) for seed in range(20)]
    found = summarize(complete_arms(runs, ("x",), range(20)), ("x",), ("100",), [("good", "bad"), ("good", "lacks")])
    assert found["arms"]["good"]["average_rank"]["100"] == [1, 1, 1]
    assert found["wins"] == {"good : bad": {"100": [20, 0]}}
    median, low, high = found["arms"]["bad"]["median_regret"]["x"]["100"]
    assert median == pytest.approx(5.95)
    assert 5.2 < low < median < high < 6.7


def test_shards_share_the_runs_and_a_cut_line_is_left_out(tmp_path: Path) -> None:
    keys = [("random", "sparse", 4, seed) for seed in range(5)]
    assert sorted([*shard(keys, "1/2"), *shard(keys, "2/2")]) == keys
    lines = [json.dumps(record("random", "sparse", seed, 1.0)) for seed in range(2)]
    (tmp_path / "cache.jsonl").write_text(f"{lines[0]}\n{lines[1][:-5]}")
    assert list(read_cache(tmp_path / "cache.jsonl")) == [("random", "sparse", 4, 0)]


def test_the_quick_form_writes_a_report_and_runs_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["search_quality.py", "--quick", "--to", str(tmp_path)])
    search_quality.main()
    cached = (tmp_path / "quick.jsonl").read_text()
    search_quality.main()
    assert (tmp_path / "quick.jsonl").read_text() == cached
    found = json.loads((tmp_path / "search_quality.json").read_text())["groups"]["development"]["4"]
    assert set(found["arms"]) == {"random", "tpe + asha", "tpe + asha (as it was)"}
    assert "average rank of the median regret" in capsys.readouterr().out


def test_random_proposals_diverge_as_often_in_each_quarter() -> None:
    assert all(5 < share < 55 for share in shares("few complete", "random", 1))
