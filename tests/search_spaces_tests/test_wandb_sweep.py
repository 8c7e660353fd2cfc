"""A W&B sweep is read as the space that asks for the same; what changes is said, what cannot be meant is refused."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import tune_main
from search_spaces.expansion import expand
from search_spaces.loader import LoadedSpace, load_space
from search_spaces.schema import Space
from search_spaces.translations import TRANSLATIONS
from search_spaces.wandb_sweep import KEYS, METHODS, NAMES, is_wandb_sweep
from tests.conftest import ROOT
from trainable.config import SETTABLE_FIELDS
from trainable.errors import UserError
from trainable.wording import nearest

(PAGE,) = re.findall(
    r"^```yaml\n(.*?)^```",
    (ROOT / "docs" / "coming-from-wandb.md").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)
SEARCH = "method: random\nrun_cap: 5\nmetric: {name: holdout_loss}\nparameters:\n  model: {value: resnet_8}\n"


def load(folder: Path, text: str) -> LoadedSpace:
    path = folder / "theirs.yaml"
    path.write_text(text, encoding="utf-8")
    return load_space(str(path))


def notes(loaded: LoadedSpace) -> list[str]:
    """The notes without the file, which all of them name first, and without the defaults that matter."""
    found = [note.partition(str(loaded.source.path) + ":")[2] for note in loaded.notes]
    return [note for note in found if "to change it" not in note]


def test_the_sweep_of_the_page_asks_for_what_it_says(tmp_path: Path) -> None:
    loaded = load(tmp_path, PAGE)
    assert loaded.name == "theirs"
    assert loaded.source.content == {
        "search": {"algorithm": "mfgp", "num_trials": 40},
        "objective": {"metric": "holdout_error_percent", "goal": "minimize"},
        "scheduler": {"type": "asha", "grace_epochs": 10, "reduction_factor": 3},
        "parameters": {
            "lr": {"min": 0.01, "max": 1.0, "distribution": "log_uniform_values"},
            "batch_size": {"values": [32, 64, 128, 256]},
            "momentum": {"min": 0.8, "max": 0.98},
        },
        "defaults": {"dataset": "cifar10", "epochs": 90},
    }
    assert expand(loaded, {}).search is not None
    assert notes(loaded) == [
        "1: program: is left out: the training is built in",
        "2: method: bayes becomes mfgp, which learns from stopped trials, too",
        "3: metric.name: val_error becomes holdout_error_percent, measured on held-out training images",
        "11: early_terminate.type: hyperband becomes asha, whose first rung is epoch 10",
        "6: parameters.learning_rate: becomes lr",
    ]
    assert "1: model is resnet_preact_20: to change it, add parameters: {model: {value: ...}}" in loaded.notes[-1]


def test_the_store_holds_the_space_that_it_became(tmp_path: Path) -> None:
    loaded = load(tmp_path, PAGE)
    again = load(tmp_path, loaded.source.text)
    assert again.notes == ()
    assert again.space == loaded.space


GRID = """\
program: train.py
method: grid
name: My sweep
description: of mine
parameters:
  lr: {values: [0.01, 0.1]}
  batch-size: {min: 62, max: 64}
  optimizer: {value: SGD}
  epochs: {distribution: constant, value: 3}
  momentum: {distribution: categorical, values: [0.9]}
"""


def test_a_grid_is_a_grid(tmp_path: Path) -> None:
    loaded = load(tmp_path, GRID)
    assert loaded.source.content == {
        "description": "of mine",
        "grid": {"lr": [0.01, 0.1], "batch_size": [62, 63, 64]},
        "defaults": {"optimizer": "sgd", "epochs": 3, "momentum": 0.9},
    }
    assert loaded.name == "theirs"
    assert len(expand(loaded, {}).trials) == 6
    assert [note.partition(": ")[2] for note in notes(loaded)] == [
        "name: is left out: a sweep's name has at most 100 letters, digits, '.', '_' or '-'",
        "program: is left out: the training is built in",
        "parameters.batch-size: becomes batch_size",
        "parameters.optimizer: SGD becomes sgd",
    ]


@pytest.mark.parametrize(
    ("parameter", "becomes"),
    [
        ("lr: {min: 0.01, max: 1.0}", {"min": 0.01, "max": 1.0}),
        ("lr: {min: 0.1, max: 1.0, distribution: uniform}", {"min": 0.1, "max": 1.0, "distribution": "uniform"}),
        ("batch_size: {min: 8, max: 64}", {"min": 8, "max": 64}),
        ("lr: {min: -4, max: 0, distribution: log_uniform}", (0.0183156, 1, "log_uniform_values", None)),
        ("batch_size: {min: 1, max: 60, distribution: q_uniform, q: 8}", (8, 56, "q_uniform", 8)),
        ("batch_size: {min: 8, max: 64, distribution: q_uniform}", (8, 64, "q_uniform", 1)),
        ("lr: {min: 0, max: 1, distribution: q_log_uniform_values, q: 0.1}", (0.1, 1, "q_log_uniform_values", 0.1)),
        ("batch_size: {min: 2, max: 6, distribution: q_log_uniform, q: 8}", (8, 400, "q_log_uniform_values", 8)),
        ("batch_size: {min: 8, max: 64, distribution: int_uniform}", (8, 64, "int_uniform", None)),
    ],
)
def test_a_range_is_the_same_range(tmp_path: Path, parameter: str, becomes: Any) -> None:  # noqa: ANN401
    loaded = load(tmp_path, f"{SEARCH}  {parameter}\n")
    if isinstance(becomes, tuple):
        named = zip(("min", "max", "distribution", "q"), becomes, strict=True)
        becomes = {key: value for key, value in named if value is not None}
    assert list(loaded.source.content["parameters"].values()) == [becomes]
    assert expand(loaded, {}).search is not None


def test_hyperband_by_its_longest_bracket(tmp_path: Path) -> None:
    early = "early_terminate: {type: hyperband, s: 2, eta: 3, max_iter: 27, strict: true}"
    loaded = load(tmp_path, f"{SEARCH}  lr: {{values: [0.1, 0.2]}}\n{early}\n")
    assert loaded.source.content["scheduler"] == {"type": "asha", "grace_epochs": 3, "reduction_factor": 3}
    assert notes(loaded)[-1] == "7: early_terminate.strict: is left out: there is one kind of asha"


def test_a_grid_that_ends_early_is_a_search(tmp_path: Path) -> None:
    text = "method: grid\nrun_cap: 2\nparameters: {lr: {values: [0.1, 0.2, 0.3]}, epochs: {value: 1}}\n"
    loaded = load(tmp_path, text)
    assert loaded.source.content["search"] == {"algorithm": "grid", "num_trials": 2}
    assert notes(loaded) == ["1: metric is missing: the search minimizes holdout_error_percent"]


def test_one_trial_is_a_grid_of_one(tmp_path: Path) -> None:
    loaded = load(tmp_path, "method: grid\nparameters: {lr: {value: 0.1}, epochs: {value: 1}}\n")
    assert len(expand(loaded, {}).trials) == 1


REFUSED = {
    "method: bayes\nparameters: {lr: {values: [1, 2]}}": "1: method: bayes has no end of its own: add run_cap: 20",
    "method: random\nparameters: {lr: {values: [1, 2]}}": "1: method: random has no end of its own: add run_cap: 20",
    "method: tpe\nparameters: {}": "1: method: must be grid, random or bayes, got 'tpe'",
    "method: [grid]\nparameters: {}": "1: method: must be grid, random or bayes, got ['grid']",
    "method: grid\nparameters: []": "2: parameters: must be a mapping of names to",
    "method: grid\nrun_caps: 3\nparameters: {}": "2: run_caps: unknown key of a W&B sweep: did you mean 'run_cap'?",
    "method: grid\nparameters: {dropout: {value: 0.1}}": "2: parameters.dropout: unknown key 'dropout': ",
    "method: grid\nparameters: {nesterovs: {value: 0.1}}": "unknown key 'nesterovs': did you mean 'nesterov'?",
    "method: grid\nparameters: {lr: {value: 1}, learning_rate: {value: 1}}": "is lr, as 'lr' is: leave one of them",
    "method: grid\nparameters: {lr: {value: 1, values: [1]}}": "2: parameters.lr: give either value, or values, or",
    f"{SEARCH}  lr: {{values: [1, 2], distribution: uniform}}": "6: parameters.lr: give either value, or values, or",
    "method: grid\nparameters: {lr: 1}": "2: parameters.lr: must be {value: ...}, {values: [...]} or",
    "method: grid\nparameters: {lr: {}}": "2: parameters.lr: give value, values, or min and max",
    "method: grid\nparameters: {lr: {value: }}": "2: parameters.lr.value: is empty",
    "method: grid\nparameters: {lr: {min: 0.1, max: 1.0}}": "parameters.lr: a grid needs values: [...] in place of",
    "method: grid\nparameters: {lr: {vals: [1]}}": "parameters.lr.vals: unknown key: did you mean 'values'?",
    "method: grid\nparameters: {optimizer: {value: adam}}": "optimizer 'adam' is unknown: did you mean 'adamw', wh",
    "method: grid\nparameters: {seed: {values: [1, 1]}}\ncommand: [python, '--epochs=3']": "3: command: '--epochs=3' "
    "is not read: write parameters: {epochs: {value: 3}}",
    f"{SEARCH}  lr: {{min: 0, max: .inf}}": "6: parameters.lr: give value, values, or min and max, which are finite",
    f"{SEARCH}  lr: {{min: 1, max: 0}}": "6: parameters.lr: min must be below max, got min 1 and max 0: swap them",
    f"{SEARCH}  lr: {{min: 0, max: 1, q: 1.0e-300, distribution: q_uniform}}": "6: parameters.lr: q must be above 0",
    f"{SEARCH}  lr: {{mu: 0, sigma: 1}}": "6: parameters.lr: this distribution is not possible here: give min and",
    f"{SEARCH}  lr: {{mu: 0, sigma: 1, distribution: normal}}": "parameters.lr: the distribution 'normal' is not pos",
    f"{SEARCH}  lr: {{values: [1, 2], probabilities: [0.1, 0.9]}}": "probabilities: each of the values is equally",
    f"{SEARCH}  opt: {{parameters: {{lr: {{value: 1}}}}}}": "6: parameters.opt: nested parameters: a space is flat",
    f"{SEARCH}  seed: {{values: [1, 2]}}": "6: parameters.seed: cannot be a parameter of a search: a search over s",
    f"{SEARCH}  lr: {{min: 1, max: 2}}\nearly_terminate: {{type: median}}": "early_terminate: must be {type: hyper",
    f"{SEARCH}  lr: {{min: 1, max: 2}}\nearly_terminate: {{type: hyperband}}": "early_terminate: needs min_iter, o",
    f"{SEARCH}  lr: {{min: 1, max: 2}}\nearly_terminate: {{type: hyperband, min_iter: 0}}": "min_iter: must be a "
    "whole number of at least 1, got 0",
    SEARCH.replace(
        "{name: holdout_loss}", "{name: val_acc, goal: maximize}"
    ): "3: metric.goal: must be minimize, got",
    SEARCH.replace(
        "holdout_loss", "val_acc"
    ): "3: metric.name: 'val_acc' is unknown: write metric: {name: holdout_err",
    SEARCH.replace("holdout_loss", "test/loss"): "3: metric.name: 'test/loss' is of the test images, which must not",
    f"{SEARCH}  lr: {{min: 1, max: 2}}\n  epochs: {{value: 3}}\nearly_terminate: {{type: hyperband, min_iter: 9}}": ""
    "8: early_terminate.min_iter: the first rung, epoch 9, is not below the 3 epochs of a trial: nothing would be "
    "stopped; lower it, or leave early_terminate out",
    f"{SEARCH}  lr: {{min: 1, max: 2}}\n  bs: {{values: [1, 2]}}": "7: parameters.bs: batch_size must be at least 2",
    f"{SEARCH}  seed: {{values: [1, 2]}}\n": "would select by luck: leave it out, or write method: grid",
    f"{SEARCH}  holdout: {{values: [0.1, 0.2]}}\n": "guide the search: give it as {value: ...}",
    "method: grid\nparameters: {learning_rate: {values: [0.1, -1]}}": "2: parameters.learning_rate.values: lr",
    SEARCH.replace("run_cap: 5", "run_cap: 0") + "  lr: {min: 1, max: 2}": "2: run_cap: must be at least 1, got 0",
    "run_cap: 3\nparameters: {}": "1: method is missing: method: grid, random or bayes",
    f"{SEARCH}confirm: {{top: 3}}\nscheduler: {{type: none}}": "6: confirm: is of a space, but method, metric, "
    "run_cap of a W&B sweep: leave confirm, scheduler out, or write a space, with search: {algorithm: tpe, num_tr",
    SEARCH.replace("method: random\n", "") + "scheduler: {type: none}": "5: scheduler: is of a space, but metric",
    SEARCH.replace("{name: holdout_loss}", "val_loss"): "3: metric: must be {name: val_loss, goal: minimize}, got",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items())
def test_what_cannot_be_meant_is_refused_in_a_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        expand(load(tmp_path, text), {})
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


DOCUMENTED = {
    "program: train.py\nmethod: bayes\nmetric:\n  name: validation_loss\n  goal: minimize\nparameters:\n"
    "  learning_rate:\n    min: 0.0001\n    max: 0.1\n  optimizer:\n    values: ['adam', 'sgd']\n": "add run_cap: 20",
    "program: train.py\nmethod: grid\nparameters:\n  batch_size:\n    values: [8, 16]\n  learning_rate:\n"
    "    values: [0.0001, 0.001]\n": "",
    "program: train.py\nmethod: random\nmetric: {goal: minimize, name: loss}\nrun_cap: 9\nparameters:\n"
    "  batch_size: {distribution: q_log_uniform_values, max: 256, min: 32, q: 8}\n  epochs: {value: 1}\n"
    "  fc_layer_size: {values: [128, 256, 512]}\n": "parameters.fc_layer_size: unknown key 'fc_layer_size'",
    "program: train.py\nproject: mnist\nentity: me\nname: sweepdemo\nmethod: random\nrun_cap: 9\nmetric:\n"
    "  goal: maximize\n  name: val_acc\nparameters: {batch_size: {values: [16, 32, 64]}}\n": "must be minimize",
    "program: train.py\nmethod: random\nrun_cap: 9\nmetric: {name: val_loss, goal: minimize}\nparameters:\n"
    "  learning_rate: {min: 0.001, max: 0.1}\n  batch_size: {values: [64, 128]}\nearly_terminate:\n"
    "  type: hyperband\n  min_iter: 3\ncommand:\n  - ${env}\n  - ${interpreter}\n  - ${program}\n  - ${args}\n": "",
    "program: train.py\nmethod: bayes\nrun_cap: 9\nmetric: {name: val_loss, goal: minimize}\nparameters:\n"
    "  optimizer:\n    parameters:\n      momentum: {values: [0.0, 0.5, 0.9]}\n": "nested parameters",
}
"""Examples of W&B's documentation, and what is said where they are refused."""


@pytest.mark.parametrize(("text", "message"), DOCUMENTED.items())
def test_examples_of_their_documentation(tmp_path: Path, text: str, message: str) -> None:
    if message:
        with pytest.raises(UserError, match=re.escape(message)):
            load(tmp_path, text)
    else:
        assert expand(load(tmp_path, text), {}) is not None


def test_a_space_is_never_taken_for_a_sweep() -> None:
    parameters = {"lr": {"values": [1, 2]}}
    assert is_wandb_sweep({"method": "grid", "parameters": parameters})
    for section in Space.model_fields.keys() - {"name", "description", "parameters"}:
        assert not is_wandb_sweep({"method": "grid", "parameters": parameters, section: {}})
    assert not is_wandb_sweep({"parameters": parameters})
    assert not is_wandb_sweep({"method": "grid"})
    assert not is_wandb_sweep(["method", "parameters"])


def test_the_notes_are_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(tmp_path, GRID)
    for command in ("spaces", "plan"):
        arguments = [] if command == "spaces" else ["--store", str(tmp_path / "runs")]
        assert tune_main.main([command, str(tmp_path / "theirs.yaml"), *arguments]) == 0
        printed = capsys.readouterr()
        assert "becomes" not in printed.out
        assert printed.err.count("note: ") == 5
        assert f"note: {tmp_path}/theirs.yaml:8: parameters.optimizer: SGD becomes sgd\n" in printed.err


def test_every_name_and_value_is_one_of_ours() -> None:
    assert set(NAMES.values()) <= set(SETTABLE_FIELDS)
    assert not NAMES.keys() & set(SETTABLE_FIELDS)
    assert set(METHODS) == {"grid", "random", "bayes"}


@pytest.mark.parametrize("word", sorted(set(yaml.safe_load(PAGE)) - Space.model_fields.keys()))
def test_their_words_in_a_space_are_translated(word: str) -> None:
    assert word in KEYS
    assert not nearest(word, Space.model_fields, TRANSLATIONS).startswith("valid: ")
