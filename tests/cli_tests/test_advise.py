"""`advise`, on stores that are made without training: what it proposes, and the space that it writes."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

import tune_main
from results.parquet.collect import Collector
from results.parquet.files import write_tables
from results.parquet.trials import Trial
from results.store.local_store import LocalStore
from results.store.manifest import Manifest
from search_spaces.expansion import expand
from search_spaces.loader import load_space
from sweep.advice import Budget, SweepAdvice, advised_name, sweep_advice
from sweep.written_space import space_content
from tests.refusals import refused
from tests.results_tests.result_samples import (
    make_config,
    make_end,
    make_epoch,
    make_manifest,
    make_trial,
    write_trial,
)
from trainable.config import SHARED_HOLDOUT, TrainConfig
from trainable.errors import UserError
from trainable.limited_yaml import dump_yaml
from trainable.records import Status

NET = "class Net:\n    def __init__(self, num_classes, width=32): ...\n"
SPACE = """defaults: {dataset: digits, augmentation: none, epochs: 1, precision: fp32, warmup_epochs: 0.5}
parts:
- {defaults: {model: my_net.py:Net, model_args.width: 8}, grid: {batch_size: [32, 64, 128], lr: [0.1, 0.2, 0.4, 0.8]}}
- {defaults: {model: resnet_preact_8}, rows: [{lr: 0.2}]}
resources: {cpus: 2 if batch_size > 64 else 1}
keep_weights: all
"""
SECONDS = {32: 9.5, 64: 5.5, 128: 3.5}


def error_at(config: TrainConfig, best: float) -> float:
    return round(3 + math.log2(config.lr / best) ** 2 + 0.03 * math.sin(config.batch_size / config.lr), 2)


def make_store(folder: Path, text: str = SPACE, best: float = 0.2, ended: Sequence[Status] = ()) -> LocalStore:
    """The sweep `my`, whose best rate at batch size 128 is 16 times as large as elsewhere."""
    (folder / "my_net.py").write_text(NET)
    (folder / "my.yaml").write_text(text)
    expansion, store = expand(load_space(str(folder / "my.yaml")), {}), LocalStore(folder / "runs")
    for number, trial in enumerate(expansion.trials):
        config = trial.config
        error = error_at(config, 16 * best if config.batch_size == 128 else best)
        epoch = make_epoch(1, error, train_seconds=SECONDS[config.batch_size] - 0.5)
        status = ended[number] if number < len(ended) else Status.COMPLETE
        write_trial(store, config, [epoch], make_end(status, 1), "my")
    manifest = Manifest("my", expansion.trials, text, {}, "c0de", sources=list(expansion.sources), keep_weights="all")
    with store.driving(manifest):
        write_tables(*Collector(store, manifest).tables(), store, "my")
    return store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    monkeypatch.chdir(tmp_path)
    return make_store(tmp_path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert tune_main.main(list(arguments)) == 0
    return capsys.readouterr().out


def test_the_space_reuses_what_is_finished_and_trains_what_is_proposed(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, "advise", "my", "--budget", "5trials")
    assert told.startswith("my (Net, cosine, 1 epoch")
    assert "(of 2 groups of equal other settings, the one that leaves most open)" in told
    assert "whether the best rate is above 0.8" in told
    assert "run my-advised.yaml trains them" in told
    planned = said(capsys, "plan", "my-advised.yaml")
    assert "done   12, 12 reused (12 of my)" in planned
    assert "left   5 trials" in planned
    space = yaml.safe_load(Path("my-advised.yaml").read_text())
    assert (space["name"], space["keep_weights"]) == ("my-advised", "all")
    assert space["resources"] == {"cpus": "2 if batch_size > 64 else 1"}
    assert {1.6, 3.2} <= {row["lr"] for row in space["rows"][-5:] if row["batch_size"] == 128}
    assert Path("my-advised.yaml").read_text().count("# Put my_net.py beside this file") == 1


def test_a_budget_of_time_counts_what_trials_took(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "advise", "my", "--budget", "15s", "--to", "next.yaml")
    sizes = [row["batch_size"] for row in yaml.safe_load(Path("next.yaml").read_text())["rows"][12:]]
    taken = sum(SECONDS[size] for size in sizes)
    assert 15 - max(SECONDS.values()) < taken <= 15
    assert f"in all: {len(sizes)} trials, {round(taken)}s one after the other" in told


def test_nothing_is_written_where_nothing_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    grid = "{batch_size: [32, 64], lr: [0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.8, 1.6]}"
    text = f"defaults: {{dataset: digits, augmentation: none, epochs: 1}}\ngrid: {grid}\n"
    make_store(tmp_path, text)
    told = said(capsys, "advise", "my", "--budget", "4h")
    assert "nothing is open" in told
    assert "That is little" in told
    assert not Path("my-advised.yaml").exists()


def test_mistakes_are_refused_in_one_line(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    Path("my-advised.yaml").write_text("mine")
    wrong = {
        "my --budget 3trials": "my-advised.yaml exists already: move it away, or give another file with --to",
        "my --budget 3trials --to next.txt": "a space is a file that ends in .yaml",
        "my --budget 1s": "one trial takes 4s or more",
        "mine --budget 1h": "no sweep 'mine' in runs",
        "published --budget 1h": "trials cannot be added to the published tables",
    }
    for arguments, told in wrong.items():
        assert told in refused(["advise", *arguments.split()], capsys)
    assert Path("my-advised.yaml").read_text() == "mine"


@pytest.mark.parametrize("text", ["20", "0trials", "4x", "-1h", ""])
def test_a_budget_is_a_time_or_a_number_of_trials(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--budget: must be" in refused(["advise", "my", f"--budget={text}"], capsys)


def test_a_sweep_without_a_finished_trial_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_store(tmp_path, "defaults: {epochs: 2}\ngrid: {batch_size: [32, 64]}\n", ended=[Status.FAILED] * 2)
    assert "no trial has finished yet" in refused(["advise", "my", "--budget", "1h"], capsys)


def advised(folder: Path, trials: list[Trial], **changes: object) -> SweepAdvice:
    manifest = make_manifest([trial.config for trial in trials], "my", **changes)
    return sweep_advice(LocalStore(folder / "a store"), manifest, trials, Budget(num_trials=3))


def test_only_trials_with_a_final_error_are_in_the_space(tmp_path: Path) -> None:
    statuses = [Status.COMPLETE, Status.DIVERGED, Status.STOPPED, Status.FAILED, Status.INCOMPLETE]
    rates = [0.1, 3.2, 0.2, 0.4, 0.8]
    trials = [
        make_trial(make_config(lr=lr, dataset="mine"), 9.0, status=status.value)
        for lr, status in zip(rates, statuses, strict=True)
    ]
    found = advised(tmp_path, trials, data="/my images", label="coarse")
    assert [config.lr for config in found.finished] == [0.1, 3.2]
    assert found.run_command("a.yaml").endswith(
        f"run a.yaml --data '/my images' --label coarse --store '{tmp_path}/a store'"
    )
    assert advised(tmp_path, trials).run_command("a.yaml").count("--data DIR") == 1


def test_a_search_over_subsets_is_refused(tmp_path: Path) -> None:
    shared = {"holdout": 0.1, "train_subset": 1000, "recipe_version": SHARED_HOLDOUT}
    trials = [make_trial(make_config(lr=lr, **shared), 9.0, holdout_error_percent=9.0) for lr in (0.1, 0.2)]
    with pytest.raises(UserError, match="a search over train_subset"):
        advised(tmp_path, trials)


def test_the_new_sweep_has_a_name_of_its_own() -> None:
    assert advised_name("my", ["my"]) == "my-advised"
    assert advised_name("my-advised", ["my", "my-advised"]) == "my-advised-2"
    assert advised_name("my-advised-2", ["my-advised", "my-advised-2"]) == "my-advised-3"
    assert len(advised_name("m" * 100, [])) <= 100


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adamw", "lr": 1e-3, "weight_decay_on": "no_bn"},
        {"optimizer": "muon", "betas": (0.8, 0.95), "eps": 1e-6},
        {"optimizer": "lars", "momentum": 0.0, "warmup_epochs": 1.5},
        {"schedule": "multistep", "milestones": (0.25, 0.6), "holdout": 0.1, "train_subset": 1000},
        {
            "schedule": "constant",
            "ghost_batch_size": 32,
            "label_smoothing": 0.1,
            "cutout_size": 8,
            "mixup_alpha": 0.2,
        },
        {"schedule": "linear", "lr_min_factor": 0.0, "clip_grad_norm": 1.0, "seed": 5, "weight_decay": 0.0},
    ],
)
def test_written_configurations_are_read_as_the_same(changes: dict[str, object], tmp_path: Path) -> None:
    configs = [TrainConfig.from_dict({"epochs": 4, "batch_size": size, **changes}) for size in (64, 128)]
    path = tmp_path / "space.yaml"
    path.write_text(dump_yaml(space_content("again", "", configs)))
    assert [trial.config for trial in expand(load_space(str(path)), {}).trials] == configs
