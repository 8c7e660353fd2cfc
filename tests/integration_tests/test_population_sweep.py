"""Population based training, as a user runs it, on Ray."""

import contextlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from results.parquet.search_results import lineage
from results.store.local_store import LocalStore
from tests.conftest import Cli
from tests.integration_tests.running_sweeps import search_on_digits
from trainable.data.digits import load_digits
from trainable.device import prepare_device
from trainable.ledger.files import FINAL_STATE
from trainable.records import Status
from trainable.session import RunInfo, TrialSession
from trainable.splits import prepare

pytestmark = pytest.mark.ray

SPACE = """
name: small
defaults: {model: resnet_preact_8, epochs: 1, batch_size: 32, schedule: constant, train_subset: 64, test_subset: 10}
search: {algorithm: random, num_trials: 6}
parameters: {lr: {min: 0.01, max: 0.5, distribution: log_uniform_values}}
scheduler: {type: pbt, population: 2}
"""


def train_first_generation(space: Path, store: Path, aside: Path) -> None:
    """Train without Ray; the ledgers are those of a run with Ray, but the last states are damaged."""
    search, data, device = search_on_digits(space, LocalStore(aside)), load_digits(), prepare_device(1, use_gpu=False)
    run = RunInfo("run-1", num_threads=1, code="code", keep_final_state=True)
    for proposal in (search.next(), search.next()):
        assert proposal is not None
        config = proposal.trial.config
        folder = LocalStore(store).trial_folder(config.trial_key)
        with contextlib.closing(TrialSession(config, prepare(data, config, device), folder, device, run)) as session:
            assert session.next_epoch().status is Status.COMPLETE
        state = folder / FINAL_STATE
        state.write_bytes(state.read_bytes()[:-1])


def test_generations_continue_each_other_also_where_a_state_was_lost(tmp_path: Path, cli: Cli) -> None:
    space, store = tmp_path / "small.yaml", tmp_path / "store"
    space.write_text(SPACE)
    train_first_generation(space, store, tmp_path / "aside")
    done = cli("run", str(space), "--store", str(store))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("missing or damaged: trained again") == 1  # both go on from the same one
    assert "figures than those recorded" not in done.stdout
    assert len(list(store.glob(f"trials/*/{FINAL_STATE}"))) == 2  # more generations may be asked for
    trials = pq.read_table(store / "small" / "trials.parquet").sort_by("proposal").to_pylist()
    assert [row["status"] for row in trials] == ["COMPLETE"] * 6
    assert [row["seed"] for row in trials] == [0, 1, 2, 3, 4, 5]
    parents = {row["trial_key"]: row["parent"] for row in trials}
    assert [len(lineage(parents, key)) for key in parents] == [1, 1, 2, 2, 3, 3]
    for before, after in ((trials[:2], trials[2:4]), (trials[2:4], trials[4:])):
        best = min(before, key=lambda row: (row["holdout_error_percent"], row["proposal"]))
        assert {row["parent"] for row in after} == {best["trial_key"]}
        assert sorted(row["lr"] == best["lr"] for row in after) == [False, True]
