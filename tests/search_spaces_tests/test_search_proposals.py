"""A proposal becomes a trial: defaults, conditions, derive, --set, scale."""

import json
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from search_spaces.expansion import expand
from search_spaces.parameters import SearchParameter
from search_spaces.schema import ConfirmSpec, Scalar
from tests.search_spaces_tests.search_samples import LR, SEARCH, maker_of
from tests.search_spaces_tests.space_samples import load_text
from trainable.config import RECIPE_VERSION, SHARED_HOLDOUT
from trainable.errors import UserError

SPACE = """
search: {algorithm: tpe, num_trials: 20, seed: 3}
defaults: {model: resnet_preact_20, dataset: cifar10, epochs: 100, momentum: 0.5}
parameters:
  base_lr: {min: 1e-3, max: 1e0, distribution: log_uniform_values}
  batch_size: {values: [32, 64, 128]}
  momentum: {min: 0.8, max: 0.9, when: batch_size >= 64}
  schedule: {values: [cosine, constant]}
  lr_min_factor: {values: [0.1, 0.01], when: schedule == 'cosine'}
derive: {lr: base_lr * batch_size / 128}
scheduler: {type: asha, grace_epochs: 5}
confirm: {top: 3, repeats: 2}
scales:
  smoke:
    set: {dataset: digits, model: resnet_preact_8}
    derive: {epochs: epochs // 10, batch_size: batch_size // 4}
    search: {num_trials: 6}
    scheduler: {grace_epochs: 1, brackets: 2}
    confirm: {top: 1}
"""
PROPOSAL: Mapping[str, Scalar] = {
    "base_lr": 0.5,
    "batch_size": 64,
    "momentum": 0.85,
    "schedule": "cosine",
    "lr_min_factor": 0.01,
}


def parameter_of(folder: Path, text: str) -> SearchParameter:
    derive = "derive: {weight_decay: x / 100}" if text.startswith("x:") else ""
    (parameter,) = maker_of(folder, f"{SEARCH}parameters: {{{text}}}\n{derive}").parameters
    return parameter


def test_a_search_has_no_trials_before_it_begins(tmp_path: Path) -> None:
    expansion = expand(load_text(tmp_path, SPACE), {})
    assert expansion.trials == []
    assert expansion.search is not None
    assert expand(load_text(tmp_path, "rows: [{lr: 1}]"), {}).search is None


def test_a_proposal_goes_over_the_defaults_and_feeds_derive(tmp_path: Path) -> None:
    trial = maker_of(tmp_path, SPACE).trial(PROPOSAL)
    config = trial.config
    assert (config.lr, config.batch_size, config.momentum, config.lr_min_factor) == (0.25, 64, 0.85, 0.01)
    assert (config.dataset, config.epochs, config.holdout) == ("cifar10", 100, 0.1)
    assert trial.variables == {"base_lr": 0.5}
    assert trial.repeat == 0


def test_where_a_condition_is_false_the_key_keeps_its_default(tmp_path: Path) -> None:
    maker = maker_of(tmp_path, SPACE)
    small = maker.trial({**PROPOSAL, "batch_size": 32, "schedule": "constant"}).config
    assert (small.momentum, small.lr_min_factor) == (0.5, None)
    assert small == maker.trial({"base_lr": 0.5, "batch_size": 32, "schedule": "constant"}).config


def test_which_parameters_are_active(tmp_path: Path) -> None:
    maker = maker_of(tmp_path, SPACE)
    assert maker.active({}, "base_lr")
    assert maker.active({"batch_size": 64}, "momentum")
    assert not maker.active({"batch_size": 32}, "momentum")
    assert maker.active({"schedule": "cosine"}, "lr_min_factor")
    assert not maker.active({"schedule": "constant"}, "lr_min_factor")
    assert list(maker.assignment({**PROPOSAL, "batch_size": 32})) == [
        "base_lr",
        "batch_size",
        "schedule",
        "lr_min_factor",
    ]


def test_a_condition_on_true_and_false(tmp_path: Path) -> None:
    text = f"""{SEARCH}parameters:
  nesterov: {{values: [true, false]}}
  momentum: {{min: 0.1, max: 0.2, when: nesterov}}
"""
    maker = maker_of(tmp_path, text)
    assert maker.trial({"nesterov": True, "momentum": 0.15}).config.momentum == 0.15
    assert maker.trial({"nesterov": False, "momentum": 0.15}).config.momentum == 0.9


def test_a_condition_on_an_inactive_parameter_sees_its_default(tmp_path: Path) -> None:
    text = f"""{SEARCH}parameters:
  batch_size: {{values: [8, 64]}}
  epochs: {{values: [1, 2], when: batch_size > 8}}
  momentum: {{min: 0.1, max: 0.2, when: epochs > 2}}
"""
    maker = maker_of(tmp_path, text)
    assert maker.active({"batch_size": 8}, "momentum")
    assert not maker.active({"batch_size": 64, "epochs": 2}, "momentum")


def test_an_inactive_variable_has_the_default_of_the_space(tmp_path: Path) -> None:
    text = f"""{SEARCH}defaults: {{factor: 0.5}}
parameters:
  batch_size: {{values: [8, 64]}}
  factor: {{min: 0.1, max: 0.2, when: batch_size > 8}}
derive: {{lr: factor}}
"""
    trial = maker_of(tmp_path, text).trial({"batch_size": 8})
    assert trial.config.lr == 0.5
    assert trial.variables == {"factor": 0.5}


def test_the_held_out_share_can_be_given(tmp_path: Path) -> None:
    text = SEARCH + LR + "defaults: {holdout: 0.2}\n"
    assert maker_of(tmp_path, text).trial({"lr": 0.1}).config.holdout == 0.2
    assert maker_of(tmp_path, text, {"holdout": 0.3}).trial({"lr": 0.1}).config.holdout == 0.3


def test_a_scale_works_on_the_proposed_trial_and_on_the_sections(tmp_path: Path) -> None:
    maker = maker_of(tmp_path, SPACE, scale="smoke")
    trial = maker.trial(PROPOSAL)
    config = trial.config
    assert (config.lr, config.batch_size, config.epochs, config.dataset) == (0.25, 16, 10, "digits")
    assert trial.variables == {
        "base_lr": 0.5,
        "published_model": "resnet_preact_20",
        "published_epochs": 100,
        "published_batch_size": 64,
    }
    assert (maker.num_trials, maker.search.seed, maker.search.algorithm) == (6, 3, "tpe")
    assert (maker.scheduler.type, maker.scheduler.grace_epochs, maker.scheduler.brackets) == ("asha", 1, 2)
    assert maker.scheduler.reduction_factor == 3
    assert maker.confirm == ConfirmSpec(top=1, repeats=2)
    assert maker.max_epochs == 10


def test_without_a_scale_the_sections_are_those_of_the_file(tmp_path: Path) -> None:
    maker = maker_of(tmp_path, SPACE)
    assert (maker.num_trials, maker.scheduler.grace_epochs) == (20, 5)
    assert maker.confirm == ConfirmSpec(top=3, repeats=2)
    assert [(objective.metric, objective.goal) for objective in maker.objectives] == [
        ("holdout_error_percent", "minimize")
    ]


@pytest.mark.parametrize("scale", [None, "smoke"])
def test_what_set_gives_is_searched_for_no_more(tmp_path: Path, scale: str | None) -> None:
    maker = maker_of(tmp_path, SPACE, {"batch_size": 64}, scale)
    assert "batch_size" not in [parameter.name for parameter in maker.parameters]
    config = maker.trial({"base_lr": 0.5, "momentum": 0.8, "schedule": "constant"}).config
    assert (config.batch_size, config.lr, config.momentum) == (64, 0.25, 0.8)


@pytest.mark.parametrize("scale", [None, "smoke"])
def test_what_only_fed_a_field_that_set_gives_is_searched_for_no_more(tmp_path: Path, scale: str | None) -> None:
    maker = maker_of(tmp_path, SPACE, {"lr": 0.3}, scale)
    assert [parameter.name for parameter in maker.parameters] == [
        "batch_size",
        "momentum",
        "schedule",
        "lr_min_factor",
    ]
    assert maker.trial({key: value for key, value in PROPOSAL.items() if key != "base_lr"}).config.lr == 0.3


def test_an_impossible_proposal_is_reported_with_its_values(tmp_path: Path) -> None:
    text = f"{SEARCH}parameters: {{x: {{min: 0, max: 2}}}}\nderive: {{lr: (x - 1) ** 2}}\n"
    with pytest.raises(
        UserError, match=r"space.yaml:3: derive.lr: lr must be greater than 0, got 0 \(proposed: x=1\)"
    ):
        maker_of(tmp_path, text).trial({"x": 1})


@pytest.mark.parametrize(
    ("text", "kind", "low", "high", "step", "log"),
    [
        ("x: {min: 0.1, max: 1}", "float", 0.1, 1, None, False),
        ("x: {min: 1, max: 9}", "int", 1, 9, 1, False),
        ("x: {min: 1, max: 9, distribution: uniform}", "float", 1, 9, None, False),
        ("x: {min: 1e-3, max: 3e-1, distribution: log_uniform_values}", "float", 0.001, 0.3, None, True),
        ("x: {min: 0.1, max: 0.75, distribution: q_uniform, q: 0.1}", "float", 0.1, 0.7, 0.1, False),
        ("x: {min: 0.1, max: 0.7, distribution: q_uniform, q: 0.1}", "float", 0.1, 0.7, 0.1, False),
        ("x: {min: 10, max: 35, distribution: q_uniform, q: 10}", "int", 10, 30, 10, False),
        ("x: {min: 8, max: 512, distribution: q_log_uniform_values, q: 1}", "int", 8, 512, 1, True),
        ("epochs: {min: 2.0, max: 4.0, distribution: int_uniform}", "int", 2, 4, 1, False),
    ],
)
def test_ranges(tmp_path: Path, text: str, kind: str, low: float, high: float, step: float | None, log: bool) -> None:
    parameter = parameter_of(tmp_path, text)
    assert (parameter.kind, parameter.low, parameter.high, parameter.step, parameter.log) == (
        kind,
        low,
        high,
        step,
        log,
    )
    assert parameter.choices is None


def test_values(tmp_path: Path) -> None:
    parameter = parameter_of(tmp_path, "train_subset: {values: [64, null]}")
    assert (parameter.kind, parameter.choices, parameter.when) == ("categorical", (64, None), None)


def test_snap_gives_the_nearest_value_of_the_range() -> None:
    tenths = SearchParameter("x", "float", 0.1, 0.7, 0.1)
    assert [tenths.snap(value) for value in (0.0, 0.14, 0.31, 9.0)] == [0.1, 0.1, 0.3, 0.7]
    whole = SearchParameter("x", "int", 8, 512, 1, log=True)
    assert [repr(whole.snap(value)) for value in (8.4, 511.6, 9999)] == ["8", "512", "512"]
    assert SearchParameter("x", "float", 0.1, 0.7).snap(0.123456789) == 0.123456789


def test_the_corners_hold_both_ends_of_every_parameter(tmp_path: Path) -> None:
    maker = maker_of(tmp_path, SPACE)
    assert {trial.config.batch_size for trial in maker.corners} == {32, 64, 128}
    assert {trial.config.momentum for trial in maker.corners} == {0.5, 0.8, 0.9}
    assert {trial.variables["base_lr"] for trial in maker.corners} == {0.001, 1.0}
    assert len(maker.corners) == 2 * (1 + 2 + 2) * (2 + 1)


def test_with_many_parameters_the_corners_are_those_of_each(tmp_path: Path) -> None:
    fields = ("lr", "batch_size", "epochs", "weight_decay", "momentum", "lr_min_factor")
    values = "{values: [0.11, 0.12, 0.13, 0.14]}"
    lines = [
        f"  {name}: {values if name not in ('batch_size', 'epochs') else '{values: [2, 3, 4, 5]}'}" for name in fields
    ]
    maker = maker_of(tmp_path, SEARCH + "parameters:\n" + "\n".join(lines))
    assert len(maker.corners) == 2 * (1 + 6 * 3)
    assert maker.max_epochs == 5


def test_what_makes_a_trial_is_given_as_plain_json(tmp_path: Path) -> None:
    fixed = maker_of(tmp_path, SPACE).fixed
    assert json.loads(json.dumps(fixed)) == fixed
    assert fixed["defaults"]["holdout"] == 0.1
    others = [
        maker_of(tmp_path, SPACE, {"epochs": 7}).fixed,
        maker_of(tmp_path, SPACE, scale="smoke").fixed,
        maker_of(tmp_path, SPACE.replace("/ 128", "/ 256")).fixed,
        maker_of(tmp_path, SPACE.replace("epochs: 100", "epochs: 90")).fixed,
    ]
    assert fixed not in others
    assert maker_of(tmp_path, SPACE.replace("num_trials: 20", "num_trials: 30")).fixed == fixed


def test_a_grid_has_as_many_trials_as_its_values_give(tmp_path: Path) -> None:
    text = "search: {algorithm: grid}\nparameters: {lr: {values: [0.1, 0.2]}, batch_size: {values: [8, 16, 32]}}"
    assert maker_of(tmp_path, text).num_trials == 6


@pytest.mark.parametrize("scale", [None, "smoke"])
def test_random_proposals_stay_inside_and_are_active(tmp_path: Path, scale: str | None) -> None:
    maker = maker_of(tmp_path, SPACE, scale=scale)
    dice = random.Random(0)  # noqa: S311 (no secret)
    seen = [maker.draw(dice) for _ in range(200)]
    for assignment in seen:
        assert 0.001 <= float(assignment["base_lr"] or 0) <= 1
        assert ("momentum" in assignment) == (assignment["batch_size"] != 32)
        assert ("lr_min_factor" in assignment) == (assignment["schedule"] == "cosine")
        maker.trial(assignment)
    below = sum(float(params["base_lr"] or 0) < 10**-1.5 for params in seen)
    assert 70 < below < 130, "half of the draws lie in the lower half of the logarithms"


SUBSETS = "search: {algorithm: random, num_trials: 4}\nparameters:\n  lr: {min: 0.1, max: 1.0}\n"


@pytest.mark.parametrize(
    ("text", "overrides", "version"),
    [
        ("  train_subset: {values: [100, 1000]}", {}, SHARED_HOLDOUT),
        ("  train_subset: {values: [100, null]}", {}, SHARED_HOLDOUT),
        ("  size: {values: [1, 2]}\nderive: {train_subset: 100 * size}", {}, SHARED_HOLDOUT),
        ("  size: {min: -1, max: 1}\nderive: {train_subset: 200 + round(100 * size**2)}", {}, SHARED_HOLDOUT),
        ("  train_subset: {values: [100, 1000]}", {"train_subset": 100}, RECIPE_VERSION),
        ("defaults: {train_subset: 100}", {}, RECIPE_VERSION),
        ("derive: {train_subset: 10 * 10}", {}, RECIPE_VERSION),
    ],
)
def test_only_a_search_over_subsets_shares_its_held_out_images(
    tmp_path: Path, text: str, overrides: Mapping[str, Scalar], version: int
) -> None:
    maker = maker_of(tmp_path, SUBSETS + text, overrides)
    proposed = maker.trial(maker.draw(random.Random(0)))  # noqa: S311 (no secret)
    assert {trial.config.recipe_version for trial in [*maker.corners, proposed]} == {version}
    assert ("recipe_version" in maker.fixed) == (version == SHARED_HOLDOUT)
    assert proposed.config.without_holdout().recipe_version == RECIPE_VERSION


@pytest.mark.parametrize(("field", "text"), [("test_subset", "round(100 * lr)"), ("holdout", "lr / 4")])
def test_what_trials_are_judged_by_cannot_be_derived_from_parameters(tmp_path: Path, field: str, text: str) -> None:
    with pytest.raises(UserError, match=rf":4: derive.{field}: cannot depend on a parameter of a search"):
        maker_of(tmp_path, f"{SUBSETS}derive: {{{field}: {text}}}")
