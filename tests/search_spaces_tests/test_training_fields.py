"""Every field of the optimiser, the step and the augmentation can be written, set, varied, tied and searched."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from results.parquet.schema import TRIALS_SCHEMA
from search_spaces.expansion import parse_overrides
from tests.search_spaces_tests.search_samples import maker_of
from tests.search_spaces_tests.space_samples import configs_of, expand_text, refusal
from trainable.config import LATER_FIELDS, SETTABLE_FIELDS, TrainConfig

FIELDS: dict[str, tuple[dict[str, Any], list[Any], str]] = {
    "schedule": ({}, ["linear", "cosine"], "string"),
    "warmup_epochs": ({}, [0, 2.5], "double"),
    "warmup_start_factor": ({"warmup_epochs": 5}, [0.0, 0.1], "double"),
    "optimizer": ({}, ["sgd", "lars", "adamw", "muon"], "string"),
    "betas": ({"optimizer": "adamw"}, [[0.9, 0.99], [0.8, 0.95]], "list<item: double>"),
    "eps": ({"optimizer": "lars"}, [1e-9, 1e-5], "double"),
    "weight_decay_on": ({}, ["all", "no_bn", "matrices"], "string"),
    "clip_grad_norm": ({}, [None, 1.0], "double"),
    "label_smoothing": ({}, [0, 0.1], "double"),
    "ghost_batch_size": ({}, [32, 64], "int64"),
    "cutout_size": ({}, [0, 8], "int64"),
    "mixup_alpha": ({}, [0, 0.2], "double"),
    "noise_scale": ({}, [False, True], "bool"),
    "precision": ({}, ["fp32", "pure_fp16"], "string"),
}
"""Field -> the fields that it needs, some of its values, and the type of its column."""


def test_every_newer_field_is_here() -> None:
    own_code = {"model_args", "loss"}
    assert set(FIELDS) >= set(LATER_FIELDS) & set(SETTABLE_FIELDS) - own_code


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_a_key_of_all_sections_and_a_column(tmp_path: Path, name: str) -> None:
    needed, values, kind = FIELDS[name]
    expected = [getattr(TrainConfig.from_dict({**needed, name: value}), name) for value in values]
    assert len(set(expected)) == len(values)

    def found(sections: dict[str, Any], *settings: str) -> list[Any]:
        text = yaml.safe_dump({"defaults": needed, **sections})
        return [getattr(config, name) for config in configs_of(tmp_path, text, parse_overrides(settings))]

    assert [found({"defaults": {**needed, name: value}, "rows": [{}]}) for value in values] == [[e] for e in expected]
    assert [found({"rows": [{}]}, f"{name}={yaml.safe_dump(value)}") for value in values] == [[e] for e in expected]
    assert found({"grid": {name: values}}) == expected
    assert found({"rows": [{name: value, "lr": 0.01} for value in values]}) == expected
    parameters: list[dict[str, Any]] = [{"recipe": {"rows": [{name: value, "lr": 0.01} for value in values]}}]
    if name != "betas":
        parameters.append({name: {"values": values}})
    if kind in ("double", "int64") and None not in values:
        parameters.append({name: {"min": values[0], "max": values[1]}})
    for searched in parameters:
        search = {"search": {"algorithm": "tpe", "num_trials": 4}, "defaults": needed, "parameters": searched}
        maker = maker_of(tmp_path, yaml.safe_dump(search))
        assert [getattr(trial.config, name) for trial in maker.corners] == expected
    assert str(TRIALS_SCHEMA.field(name).type) == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid: {optimizer: [sgd, adamw], eps: [1e-6]}", "eps belongs to optimizer lars, adamw or muon, not sgd"),
        ("grid: {batch_size: [64, 96], ghost_batch_size: [64]}", "batch_size 96 must be a multiple of ghost_batch_s"),
        ("rows: [{optimizer: muon, betas: [0.9]}]", r"betas must be two numbers, got \[0.9\]"),
        ("rows: [{optimizer: adamw, precision: pure_fp16}]", "eps 1e-08 of adamw is 0 in pure_fp16: give eps 1e-4"),
        (
            "rows: [{batch_size: 2, noise_scale: true}]",
            "noise_scale halves batches of at least 4 images: leave it out at batch_size 2",
        ),
        ("rows: [{epochs: 5, warmup_epochs: 5}]", "warmup_epochs must be between 0 and below 5, got 5"),
        (
            "rows: [{epochs: 20, schedule: multistep, milestones: [5, 15], warmup_epochs: 6}]",
            "warmup_epochs 6 must end before the first milestone, epoch 5",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert re.fullmatch(rf"FILE:1: .*{message}.*", refusal(tmp_path, text))


def test_a_scale_shorter_than_the_warm_up_is_refused_where_it_is_written(tmp_path: Path) -> None:
    text = "rows: [{warmup_epochs: 5}]\nscales:\n  smoke: {set: {epochs: 3}%s}\n"
    wrong = refusal(tmp_path, text % "", scale="smoke")
    assert re.fullmatch(r"FILE:\d: .*warmup_epochs must be between 0 and below 3, got 5", wrong)


@pytest.mark.parametrize(
    ("space", "overrides"),
    [
        ("rows: [{model: ResNet-preact-8}]", {}),
        ("grid: {model: [ResNet-preact-8]}", {}),
        ("grid: {model: {values: [ResNet-preact-8]}}", {}),
        ("{defaults: {model: ResNet-preact-8}, grid: {lr: [0.1]}}", {}),
        ("grid: {lr: [0.1]}", {"model": "ResNet-preact-8"}),
    ],
)
def test_models_can_be_named_as_tables_name_them(tmp_path: Path, space: str, overrides: dict[str, Any]) -> None:
    assert [config.model for config in configs_of(tmp_path, space, overrides)] == ["resnet_preact_8"]


def test_models_of_a_search_too(tmp_path: Path) -> None:
    parameters = "{model: {values: [ResNet-preact-8, ResNet-8]}, lr: {min: 0.1, max: 1}}"
    text = f"search: {{algorithm: random, num_trials: 4}}\nparameters: {parameters}\nfirst: [{{model: ResNet-8}}]\n"
    search = expand_text(tmp_path, text).search
    assert search is not None
    assert search.parameters[0].choices == ("resnet_preact_8", "resnet_8")
    assert search.first[0]["model"] == "resnet_8"
