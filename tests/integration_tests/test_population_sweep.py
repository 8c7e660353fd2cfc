"""Population based training, as a user runs it, on Ray."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from results.lineage import lineage
from tests.conftest import Cli
from trainable.ledger import FINAL_STATE

pytestmark = pytest.mark.ray

SPACE = """
name: small
defaults: {model: resnet_preact_8, epochs: 1, batch_size: 32, schedule: constant, train_subset: 128, test_subset: 50}
search: {algorithm: random, num_trials: 4}
parameters: {lr: {min: 0.01, max: 0.5, distribution: log_uniform_values}}
scheduler: {type: pbt, population: 2}
"""


def test_generations_go_on_from_one_another_also_where_a_state_was_lost(tmp_path: Path, cli: Cli) -> None:
    space, store = tmp_path / "small.yaml", tmp_path / "store"
    space.write_text(SPACE)
    done = cli("run", str(space), "--store", str(store))
    assert done.returncode == 0, done.stderr
    states = list(store.glob(f"trials/*/{FINAL_STATE}"))
    assert len(states) == 4
    for path in states:
        path.write_bytes(path.read_bytes()[:-1])

    space.write_text(SPACE.replace("num_trials: 4", "num_trials: 6"))
    done = cli("run", str(space), "--store", str(store))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("missing or damaged: trained again") == 1  # both go on from the same one
    assert "figures than those recorded" not in done.stdout
    trials = pq.read_table(store / "small" / "trials.parquet").sort_by("proposal").to_pylist()
    assert [row["status"] for row in trials] == ["COMPLETE"] * 6
    assert [row["seed"] for row in trials] == [0, 1, 2, 3, 4, 5]
    parents = {row["trial_key"]: row["parent"] for row in trials}
    assert [len(lineage(parents, key)) for key in parents] == [1, 1, 2, 2, 3, 3]
    for before, after in ((trials[:2], trials[2:4]), (trials[2:4], trials[4:])):
        best = min(before, key=lambda row: (row["holdout_error_percent"], row["proposal"]))
        assert {row["parent"] for row in after} == {best["trial_key"]}
        assert sorted(row["lr"] == best["lr"] for row in after) == [False, True]
