"""Rows as objects, and configurations with their repeats."""

from pathlib import Path

from results.parquet.collect import Collector
from results.parquet.trials import group_repeats, trials_from_table, varying_fields
from results.store.local_store import LocalStore
from tests.results_tests.result_samples import (
    make_config,
    make_end,
    make_epoch,
    make_manifest,
    make_trial,
    write_trial,
)
from trainable.config import TrainConfig
from trainable.records import Status


def test_a_table_comes_back_as_trials(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    config = make_config(epochs=1, schedule="multistep", milestones=[0.25, 0.5], train_subset=64, batch_size=8)
    write_trial(store, config, [make_epoch(1, 12.5)], make_end(Status.COMPLETE, 1, test_correct_bits="f0"))
    (trial,) = trials_from_table(Collector(store, make_manifest([config])).tables()[0])
    assert trial.config == config
    assert trial.config.trial_key == trial.row.trial_key
    assert trial.status is Status.COMPLETE
    assert (trial.row.test_error_percent, trial.row.test_correct_bits) == (12.5, b"\xf0")


def test_trials_that_differ_in_the_seed_are_one_cell() -> None:
    trials = [make_trial(make_config(lr=lr, seed=seed), 10.0 + seed) for seed in (3, 1) for lr in (0.2, 0.1)]
    cells = group_repeats(trials)
    assert [cell.config.lr for cell in cells] == [0.2, 0.1]
    assert [cell.config.seed for cell in cells] == [3, 3]
    assert [[trial.config.seed for trial in cell.trials] for cell in cells] == [[3, 1], [3, 1]]
    assert cells[0].test_errors == [13.0, 11.0]


def test_any_other_field_makes_another_cell() -> None:
    configs = [make_config(), make_config(weight_decay=0.0), make_config(augmentation="none")]
    assert len(group_repeats([make_trial(config, 10.0) for config in configs])) == 3


def test_only_complete_trials_have_a_final_error() -> None:
    trials = [
        make_trial(make_config(seed=seed), 10.0 + seed, status=status.value) for seed, status in enumerate(Status)
    ]
    (cell,) = group_repeats(trials)
    assert len(cell.trials) == len(Status)
    assert [trial.status for trial in cell.finished] == [Status.COMPLETE]
    assert cell.test_errors == [10.0]


def test_varying_fields_leave_the_seed_and_the_parent_out() -> None:
    first = make_config(seed=1, lr=0.1)
    second = make_config(seed=2, lr=0.2, epochs=3, parent=first.trial_key)
    assert varying_fields([first, second]) == ["epochs", "lr"]
    assert varying_fields([]) == []


def test_varying_fields_leave_out_what_the_optimizer_tells() -> None:
    sgd, lars = TrainConfig(), TrainConfig(optimizer="lars")
    assert (sgd.nesterov, sgd.eps) != (lars.nesterov, lars.eps)
    assert varying_fields([sgd, lars, TrainConfig(warmup_epochs=5)]) == ["warmup_epochs", "optimizer"]
    assert varying_fields([sgd, lars, TrainConfig(nesterov=False)]) == ["optimizer", "nesterov"]


def test_what_an_optimizer_was_given_of_its_own_varies() -> None:
    configs = [make_config(), make_config(optimizer="adamw"), make_config(optimizer="lars")]
    assert varying_fields(configs) == ["optimizer"]
    given = [*configs, make_config(optimizer="muon", betas=[0.9, 0.95])]
    assert varying_fields(given) == ["optimizer", "betas"]
    assert varying_fields([given[0], given[-1]]) == ["optimizer", "betas"]
