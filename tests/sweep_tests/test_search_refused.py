"""A mistake in the declaration of a search is one line that names file, line and key, and says what to type."""

import re
from pathlib import Path

import pytest

from search_spaces.expansion import expand, tie_to_data
from tests.search_spaces_tests.space_samples import load_text
from tests.sweep_tests.search_samples import LR, SEARCH, maker_of
from trainable.errors import UserError


def refusal(folder: Path, text: str, overrides: dict[str, object] | None = None, scale: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        expand(load_text(folder, text), overrides or {}, scale)
    message = str(caught.value)
    assert "\n" not in message
    assert not re.search("(?i)input should|should (be|have)|valid string|after validation", message), "pydantic's own"
    return message.replace(str(folder / "space.yaml"), "FILE")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "search: tpe\n" + LR,
            "FILE:1: search: must be a mapping, for example {algorithm: tpe, num_trials: 20}, got 'tpe'",
        ),
        ("search: {}\n" + LR, "FILE:1: search.algorithm: is missing: one of grid, random, tpe, gp, cmaes, qmc"),
        (
            "search:\n  algorithm: tpee\n" + LR,
            "FILE:2: search.algorithm: 'tpee' is unknown: one of grid, random, tpe, gp, cmaes, qmc",
        ),
        ("search: {algorithm: tpe}\n" + LR, "FILE:1: search: tpe needs num_trials, for example num_trials: 20"),
        (
            "search: {algorithm: tpe, trials: 3}\n" + LR,
            "FILE:1: search.trials: unknown key 'trials': did you mean 'num_trials'?",
        ),
        ("search: {algorithm: tpe, num_trials: 0}\n" + LR, "FILE:1: search.num_trials: must be at least 1, got 0"),
        ("search: {algorithm: tpe, num_trials: -1}\n" + LR, "FILE:1: search.num_trials: must be at least 1, got -1"),
        (
            "search:\n" + LR,
            "FILE:1: search: is empty: for example search: {algorithm: tpe, num_trials: 20}, or leave",
        ),
        (
            "search: {algorithm: }\n" + LR,
            "FILE:1: search.algorithm: is empty: one of grid, random, tpe, gp, cmaes, qmc",
        ),
        (
            "search: {algorithm: tpe, num_trials: 2, warm_start: }\n" + LR,
            "FILE:1: search.warm_start: is empty: for example warm_start: published, or leave it out",
        ),
        (
            "search: {algorithm: tpe, num_trials: 2.5}\n" + LR,
            "FILE:1: search.num_trials: must be a whole number, got 2.5",
        ),
        (SEARCH, "FILE:1: search: needs parameters, for example parameters: {lr: {min: 0.01, max: 1.0, "),
        (SEARCH + "parameters: {}\n", "FILE:2: parameters: is empty: give at least one entry"),
        (LR, "FILE:1: the space needs rows or grid (or parts, or search): without them it has no trials"),
        (
            "grid: {lr: [1]}\nscheduler: {type: asha}\n",
            "FILE:2: scheduler: belongs to a search: add search: {algorithm: tpe, num_trials: 20}",
        ),
        ("rows: [{lr: 1}]\n" + LR, "FILE:2: parameters: belongs to a search: add search: {"),
        (
            SEARCH + LR + "grid: {momentum: [0.9]}\n",
            "FILE:3: grid: a search proposes its trials: give either grid, or search and parameters",
        ),
        (SEARCH + LR + "repeats: 3\n", "FILE:3: repeats: is not for a search: confirm: {top: 3, repeats: 3} repeats"),
        (SEARCH + LR + "defaults: {lr: 1}\n", "FILE:3: defaults.lr: is a parameter too: leave it out here"),
        (SEARCH + LR + "derive: {lr: batch_size / 8}\n", "FILE:2: parameters.lr: 'lr' is derived too"),
    ],
)
def test_of_search(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text).startswith(message)


FORMS = "{values: [...]} or {min: ..., max: ...}"


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("lr: [0.1, 0.2]", f"lr: must be {FORMS}, got [0.1, 0.2]"),
        ("lr: 0.1", f"lr: must be {FORMS}, got 0.1"),
        ("lr: {value: 0.1}", "lr.value: unknown key 'value': did you mean 'values'?"),
        ("lr: {}", "lr: give either values: [...] or min: ... and max: ..."),
        ("lr: {min: 1}", "lr: give either values: [...] or min: ... and max: ..."),
        ("lr: {min: 1, max: 2, values: [1]}", "lr: give either values, or min and max (distribution and q go with"),
        ("lr: {values: [1], distribution: uniform}", "lr: give either values, or min and max (distribution and q"),
        ("lr: {values: []}", "lr.values: is empty: give at least one entry"),
        ("lr: {values: [0.1, 0.2, 0.1]}", "lr: values holds 0.1 twice"),
        ("milestones: {values: [[0.5]]}", "milestones.values[0]: must be one number or word, got [0.5]"),
        ("lr: {min: small, max: 1.0}", "lr.min: must be a number, got 'small'"),
        ("lr: {min: 2.0, max: 1.0}", "lr: min must be below max, got min 2.0 and max 1.0"),
        (
            "lr: {min: 1.0, max: 1.0}",
            "lr: min must be below max, got min 1.0 and max 1.0: put a single value into def",
        ),
        ("lr: {min: 0.1, max: .inf}", "lr: min and max must be finite numbers, at most 1e+300 in size"),
        (
            "lr: {min: 0.1, max: 1e400}",
            "lr: min and max must be finite numbers, at most 1e+300 in size",
        ),
        (
            "lr: {min: 0, max: 1, distribution: log_uniform_values}",
            "lr: log_uniform_values needs a min above 0, got min 0 and max 1",
        ),
        (
            "lr: {min: 0.1, max: 1, distribution: log_uniform}",
            "lr.distribution: 'log_uniform' is unknown: one of uniform, int_uniform, log_uniform_values, q_uniform, ",
        ),
        (
            "batch_size: {min: 16.5, max: 64, distribution: int_uniform}",
            "batch_size: batch_size is a whole number: distribution: int_uniform, min: 17, max: 64",
        ),
        (
            "batch_size: {min: 16.5, max: 64, distribution: uniform}",
            "batch_size: batch_size is a whole number: distribution: int_uniform, min: 17, max: 64",
        ),
        (
            "lr: {min: 0.5, max: 2, distribution: int_uniform}",
            "lr: int_uniform is for whole numbers: distribution: uniform, or a whole min and max",
        ),
        ("lr: {min: 2.0, max: 1.0}", "lr: min must be below max, got min 2.0 and max 1.0: swap them"),
        (
            "lr: {min: 0.1, max: 1.0, distribution: q_uniform, q: 1e-320}",
            "lr: q must be above 0 and at most max - min, got q 1e-320, min 0.1 and max 1.0",
        ),
        (f"lr: {{min: 1, max: 1{400 * '0'}}}", "lr: min and max must be finite numbers"),
        ("lr: {values: [0.1]}", "lr: values has only one entry, 0.1: give a second one, or move it to d"),
        ("batch_size: {values: [32, 32.0]}", "batch_size: values holds 32 twice"),
        (
            "milestones: {values: [0.5, 0.6]}",
            "milestones: cannot be a parameter of a search: a parameter is a number or a word",
        ),
        ("lr:", "lr: is empty: must be {values: [...]} or {min: ..., max: ...}"),
        ("lr: {min: 0.1, max: }", "lr.max: is empty: give it a value, or leave it out"),
        (
            "lr: {min: 0.1, max: 0.2, when: }",
            "lr.when: is empty: for example when: batch_size >= 64, or leave it out",
        ),
        ("lr: {min: 0.1, max: 0.2, when: ''}", "lr.when: is empty: for example when: batch_size >= 64, or leave it"),
        ("lr: {min: 0.1, max: 0.2, distribution: }", "lr.distribution: is empty: for example distribution: log_unif"),
        ("base_lr: {min: 0.1, max: 0.2}", "base_lr: unknown key 'base_lr': valid: model, dataset, "),
        ("lr: {min: 0.1, max: 1.0, q: 0.1}", "lr: q goes with distribution: q_uniform or q_log_uniform_values"),
        ("lr: {min: 0.1, max: 1.1, distribution: q_uniform}", "lr: q_uniform needs q, its step: q: 0.1"),
        (
            "lr: {min: 0.1, max: 1.0, distribution: q_uniform, q: 2}",
            "lr: q must be above 0 and at most max - min, got q 2, min 0.1 and max 1.0",
        ),
        (
            "batch_size: {min: 8.0, max: 64.0}",
            "batch_size: batch_size is a whole number: distribution: int_uniform",
        ),
        (
            "batch_size: {min: 8, max: 64, distribution: log_uniform_values}",
            "batch_size: batch_size is a whole number: distribution: q_log_uniform_values, q: 1",
        ),
        ("bach_size: {values: [8, 16]}", "bach_size: unknown key 'bach_size': did you mean 'batch_size'?"),
        ("learning_rate: {min: 0.1, max: 1.0}", "learning_rate: unknown key 'learning_rate': did you mean 'lr'?"),
        ("momentum: {min: 0.8, max: 1.0}", "momentum: momentum must be between 0 and below 1, got 1"),
        ("lr: {min: -1.0, max: 1.0}", "lr: lr must be greater than 0, got -1"),
        (
            "augmentation: {values: [crop, flip]}",
            "augmentation: augmentation 'flip' is unknown: did you mean 'crop_flip",
        ),
        ("augmentation: {min: 0.1, max: 1.0}", "augmentation: augmentation must be a word, got 0.1"),
        (
            "holdout: {min: 0.1, max: 0.2}",
            "holdout: cannot be a parameter of a search: its images guide the search: give it",
        ),
        (
            "seed: {values: [0, 1]}",
            "seed: cannot be a parameter of a search: a search over seeds would select by luck: confirm: {",
        ),
        ("dataset: {values: [digits]}", "dataset: cannot be a parameter of a search: a sweep has one data set"),
    ],
)
def test_of_parameters(tmp_path: Path, parameter: str, message: str) -> None:
    text = refusal(tmp_path, f"{SEARCH}parameters:\n  {parameter}\n")
    assert text.startswith(f"FILE:3: parameters.{message}")


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("batch_sise >= 64", "'batch_sise' is not a parameter above 'momentum': did you mean 'batch_size'?"),
        ("lr > 0.1", "'lr' is not above 'momentum': move it there"),
        ("momentum > 0.1", "'momentum' is not above 'momentum': move it there"),
        ("batch_size >=", "cannot read the expression 'batch_size >='"),
        ("batch_size = 64", "cannot read the expression 'batch_size = 64': use == to compare"),
        ("schedule == cosine", "cosine is a word and needs quotes here: 'cosine'"),
        ("schedule > 3", "'schedule' is the word 'cosine', not a number: only == and != work with words"),
    ],
)
def test_of_conditions(tmp_path: Path, when: str, message: str) -> None:
    text = (
        f"{SEARCH}parameters:\n  batch_size: {{values: [8, 64]}}\n  schedule: {{values: [cosine, constant]}}\n"
        f"  momentum:\n    min: 0.8\n    max: 0.9\n    when: {when}\n  lr: {{min: 0.1, max: 0.2}}\n"
    )
    assert refusal(tmp_path, text) == f"FILE:8: parameters.momentum.when: {message}"


def test_a_condition_that_is_never_true(tmp_path: Path) -> None:
    text = (
        f"{SEARCH}parameters:\n  schedule: {{values: [cosine, constant]}}\n"
        "  lr_min_factor:\n    values: [0.1, 0.01]\n    when: schedule == 'cosin'\n"
    )
    message = "is never true, the values above are schedule: cosine, constant"
    assert refusal(tmp_path, text) == f"FILE:6: parameters.lr_min_factor.when: {message}"


def test_a_condition_on_a_range_that_is_never_true(tmp_path: Path) -> None:
    text = (
        SEARCH + "parameters:\n  batch_size: {min: 16, max: 64}\n  lr: {min: 0.1, max: 0.2, when: batch_size > %s}\n"
    )
    message = "FILE:4: parameters.lr.when: is never true, the values above are batch_size: 16 to 64"
    assert refusal(tmp_path, text % 64) == message
    assert expand(load_text(tmp_path, text % 63), {}).search is not None


@pytest.mark.parametrize(
    ("parameters", "rest", "message"),
    [
        (
            "base_lr: {min: 0.1, max: 0.2}",
            "derive: {lr: bse_lr * batch_size / 128}",
            "FILE:4: derive.lr: 'bse_lr' has no number: did you mean 'base_lr'? (nothing uses 'base_lr' of line 3)",
        ),
        (
            "base_lr: {min: 0.1, max: 0.2}",
            "derive: {lr: base_lr * bach_size / 128}",
            "FILE:4: derive.lr: 'bach_size' has no number: did you mean 'batch_size'?",
        ),
        (
            "bach_size: {values: [8, 64]}",
            "  lr: {min: 0.1, max: 0.2, when: batch_size > 8}",
            "FILE:3: parameters.bach_size: unknown key 'bach_size': did you mean 'batch_size'?",
        ),
        (
            "lr: {min: 0.1, max: 0.2}",
            "derive: {momentum: lr / (1 - 1)}",
            "FILE:4: derive.momentum: 'lr / (1 - 1)' cannot be computed: float division by zero (proposed: lr=0.1)",
        ),
        (
            "share: {min: 0.1, max: 1.0}",
            "derive: {batch_size: share * 100}",
            "FILE:4: derive.batch_size: batch_size must be a whole number, got ",
        ),
        (
            "lr: {min: 0.1, max: 0.2}",
            "derive: {momentum: weight_decay, weight_decay: momentum}",
            "FILE:4: derive: is circular: ",
        ),
    ],
)
def test_a_name_is_blamed_where_it_is_wrong(tmp_path: Path, parameters: str, rest: str, message: str) -> None:
    assert refusal(tmp_path, f"{SEARCH}parameters:\n  {parameters}\n{rest}\n").startswith(message)


@pytest.mark.parametrize(
    ("section", "num_train", "message"),
    [
        (
            "defaults: {lr_min_factor: 0.1}",
            100,
            "FILE:2: parameters: batch_size 128 is larger than the 90 training im",
        ),
        (
            "defaults: {batch_size: 100}",
            100,
            "FILE:3: defaults.batch_size: batch_size 100 is larger than the 90 train",
        ),
        (
            "derive: {batch_size: round(lr * 100)}",
            100,
            "FILE:3: derive.batch_size: batch_size 100 is larger than the",
        ),
        (
            "defaults: {batch_size: 2}",
            4,
            "FILE:2: parameters: holdout 0.1 of 4 images of 'mine' is less than one image: use a ",
        ),
        (
            "defaults: {train_subset: 200}",
            100,
            "FILE:3: defaults.train_subset: train_subset 200 is larger than the 10",
        ),
    ],
)
def test_too_few_images(tmp_path: Path, section: str, num_train: int, message: str) -> None:
    search = expand(
        load_text(tmp_path, f"{SEARCH}parameters: {{lr: {{min: 0.1, max: 1.0}}}}\n{section}\n"), {}
    ).search
    assert search is not None
    with pytest.raises(UserError) as caught:
        tie_to_data(search.corners, "mine", "abcd", num_train, 50)
    assert str(caught.value).replace(str(tmp_path / "space.yaml"), "FILE").startswith(message)


def test_set_may_make_a_condition_false(tmp_path: Path) -> None:
    text = f"""{SEARCH}parameters:
  schedule: {{values: [cosine, constant]}}
  momentum: {{values: [0.7, 0.8], when: schedule == 'cosine'}}
  weight_decay: {{values: [0.1, 0.2], when: momentum == 0.7}}
  lr: {{min: 0.1, max: 0.2}}
"""
    assert expand(load_text(tmp_path, text), {"schedule": "constant"}).search is not None


def test_a_conditional_variable_needs_a_default(tmp_path: Path) -> None:
    text = (
        f"{SEARCH}parameters:\n  batch_size: {{values: [8, 64]}}\n"
        "  factor: {min: 0.1, max: 0.9, when: batch_size > 8}\nderive: {lr: factor * batch_size}\n"
    )
    message = "FILE:4: parameters.factor.when: 'factor' has no value where this is false: give one in defaults"
    assert refusal(tmp_path, text) == message
    assert expand(load_text(tmp_path, text + "defaults: {factor: 0.5}\n"), {}).search is not None


def test_a_derived_field_that_some_proposal_makes_impossible(tmp_path: Path) -> None:
    text = f"{SEARCH}parameters: {{shift: {{min: 0, max: 1}}}}\nderive:\n  lr: 0.5 - shift\n"
    assert refusal(tmp_path, text) == ("FILE:4: derive.lr: lr must be greater than 0, got -0.5 (proposed: shift=1)")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("scheduler: asha", "scheduler: must be a mapping, for example {type: asha, grace_epochs: 1}, got 'asha'"),
        ("scheduler:", "scheduler: is empty: for example scheduler: {type: asha, grace_epochs: 1}, or leave it out"),
        ("scheduler: {}", "scheduler: is empty: for example scheduler: {type: asha, grace_epochs: 1}, or leave it"),
        ("scheduler: {type: }", "scheduler.type: is empty: one of none, asha, hyperband, median, pbt"),
        ("scheduler: {type: pbt, perturb: [0]}", "scheduler.perturb[0]: must be above 0, got 0"),
        ("scheduler: {type: pbt, quantile: half}", "scheduler.quantile: must be a number, got 'half'"),
        (
            "objective:",
            "objective: is empty: for example objective: {metric: holdout_error_percent, goal: minimize}, ",
        ),
        (
            "objective: {}",
            "objective: is empty: for example objective: {metric: holdout_error_percent, goal: minimize}",
        ),
        (
            "objective: [{metric: holdout_loss}, {metric: train_seconds}, {metric: holdout_error_percent}]",
            "objective: has 3 entries: give at most 2",
        ),
        ("confirm:", "confirm: is empty: for example confirm: {top: 3, repeats: 3}, or leave it out"),
        ("confirm: {}", "confirm: is empty: for example confirm: {top: 3, repeats: 3}, or leave it out"),
        ("confirm: {repeats: 0}", "confirm.repeats: must be at least 1, got 0"),
        ("scheduler: {type: ashaa}", "scheduler.type: 'ashaa' is unknown: one of none, asha, hyperband, median, pbt"),
        ("scheduler: {type: pbt, quantile: 0.6}", "scheduler.quantile: must be at most 0.5, got 0.6"),
        ("scheduler: {type: pbt, population: 1}", "scheduler.population: must be at least 2, got 1"),
        ("scheduler: {type: pbt, perturb: []}", "scheduler.perturb: is empty: give at least one entry"),
        (
            "scheduler: {type: pbt, epochs_per_generation: 5}",
            "scheduler.epochs_per_generation: unknown key",
        ),
        (
            "scheduler: {type: asha, grace_period: 1}",
            "scheduler.grace_period: unknown key 'grace_period': did you mean 'grace_epochs'?",
        ),
        ("scheduler: {type: asha, grace_epochs: 0}", "scheduler.grace_epochs: must be at least 1, got 0"),
        (
            "scheduler: {type: asha, min_trials: 2}",
            "scheduler: min_trials is not a key of asha, which has grace_epochs, reduction_factor, brackets",
        ),
        (
            "scheduler: {type: median, brackets: 2}",
            "scheduler: brackets is not a key of median, which has grace_epochs, min_trials",
        ),
        ("scheduler: {grace_epochs: 2}", "scheduler.type: is missing: one of none, asha, hyperband, median, pbt"),
        (
            "scheduler: {type: asha, grace_epochs: 200}",
            "scheduler.grace_epochs: grace_epochs 200 is not below the 200 epochs of a trial: nothing would",
        ),
        (
            "objective: {metric: test_error_percent}",
            "objective.metric: test_error_percent is measured on the test images, which must not steer a search: ",
        ),
        (
            "objective: {metric: holdout_eror}",
            "objective.metric: 'holdout_eror' is unknown: one of holdout_error_percent, holdout_loss, train_seconds",
        ),
        ("objective: {goal: maximize}", "objective.goal: must be minimize, got 'maximize'"),
        ("objective: holdout_loss", "objective: must be {metric: holdout_loss, goal: minimize}, got 'holdout_loss'"),
        (
            "objective: train_seconds",
            "objective: must be {metric: holdout_error_percent, goal: minimize}, got 'train_",
        ),
        (
            "objective: [holdout_loss]",
            "objective[0]: must be {metric: holdout_loss, goal: minimize}, got 'holdout_loss",
        ),
        ("objective: []", "objective: is empty: give at least one entry"),
        (
            "objective: [{goal: minimize, metrik: a}]",
            "objective[0].metrik: unknown key 'metrik': did you mean 'metric'",
        ),
        (
            "objective: {metric: train_seconds}",
            "objective: train_seconds can only be the second of two objectives: objective: [{metric: holdout",
        ),
        (
            "objective: [{metric: holdout_loss}, {metric: holdout_loss}]",
            "objective[1]: holdout_loss is given twice: leave one out",
        ),
        ("confirm: 3", "confirm: must be a mapping, for example {top: 3, repeats: 3}, got 3"),
        ("confirm: {tops: 3}", "confirm.tops: unknown key 'tops': did you mean 'top'?"),
        ("confirm: {top: 0}", "confirm.top: must be at least 1, got 0"),
        (
            "defaults: {holdout: 0}",
            "defaults.holdout: holdout must be above 0 to steer a search, for example 0.1, got 0",
        ),
    ],
)
def test_of_the_other_sections(tmp_path: Path, section: str, message: str) -> None:
    assert refusal(tmp_path, f"{SEARCH}{LR}{section}\n").startswith(f"FILE:3: {message}")


TWO_NUMBERS = "parameters:\n  lr: {min: 0.01, max: 1.0}\n  weight_decay: {min: 0.01, max: 1.0}\n"
TWO = "objective: [{metric: holdout_error_percent}, {metric: train_seconds}]\n"


def test_two_objectives_have_no_scheduler_and_no_cmaes(tmp_path: Path) -> None:
    message = refusal(tmp_path, f"{SEARCH}{LR}{TWO}scheduler: {{type: asha}}\n")
    assert message.startswith("FILE:4: scheduler: compares trials by one objective: leave it out")
    message = refusal(tmp_path, f"search: {{algorithm: cmaes, num_trials: 3}}\n{LR}{TWO}")
    assert message == "FILE:1: search.algorithm: cmaes has one objective: algorithm: tpe can have two"


@pytest.mark.parametrize("algorithm", ["gp", "cmaes"])
def test_who_learns_only_from_whole_trials_has_no_scheduler(tmp_path: Path, algorithm: str) -> None:
    search = f"search: {{algorithm: {algorithm}, num_trials: 3}}\n{TWO_NUMBERS}"
    expand(load_text(tmp_path, search + "scheduler: {type: none}\n"), {})
    message = refusal(tmp_path, search + "scheduler: {type: asha}\n")
    assert message == (
        f"FILE:5: scheduler: leaves {algorithm} little to learn from, because it ignores stopped trials: "
        "leave the scheduler out, or use algorithm: tpe"
    )


def test_cmaes_needs_two_numbers(tmp_path: Path) -> None:
    search = "search: {algorithm: cmaes, num_trials: 3}\n"
    message = refusal(tmp_path, search + LR)
    assert message == (
        "FILE:1: search.algorithm: cmaes draws parameters with when or values at random and needs at least 2 others, "
        "not 1: use algorithm: tpe"
    )
    others = "  batch_size: {values: [8, 64]}\n  momentum: {min: 0.8, max: 0.9, when: batch_size > 8}\n"
    assert maker_of(tmp_path, search + TWO_NUMBERS + others).drawn_at_random == ["batch_size", "momentum"]
    search = search.replace("cmaes", "gp")
    assert maker_of(tmp_path, search + TWO_NUMBERS + others).drawn_at_random == ["momentum"]


def test_a_grid_needs_values(tmp_path: Path) -> None:
    message = refusal(tmp_path, f"search: {{algorithm: grid}}\n{LR}")
    assert message == "FILE:2: parameters.lr: algorithm grid needs values: [...] in place of min and max"


def test_set_cannot_take_the_held_out_images_away_or_leave_nothing(tmp_path: Path) -> None:
    assert refusal(tmp_path, SEARCH + LR, {"holdout": 0}).startswith("--set: holdout must be above 0 to steer")
    message = "--set: nothing is left of 'space' to search for: give fewer of its parameters"
    assert refusal(tmp_path, SEARCH + LR, {"lr": 0.1}) == message
    assert refusal(tmp_path, SEARCH + LR, {"lrr": 0.1}).startswith("--set: unknown key 'lrr'")


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("num_trials", "FILE:1: search"),
        ("search.num_trials", "FILE:1: search"),
        ("grace_epochs", "FILE:3: scheduler"),
        ("confirm.top", "FILE:1: confirm"),
    ],
)
def test_set_changes_no_key_of_the_search(tmp_path: Path, key: str, place: str) -> None:
    text = f"{SEARCH}{LR}scheduler: {{type: asha}}\n"
    assert refusal(tmp_path, text, {key: 5}) == f"--set: {key} is not a training field: change it in {place}"


def test_set_gives_the_seed_of_the_trainings(tmp_path: Path) -> None:
    maker = maker_of(tmp_path, SEARCH + LR, {"seed": 5})
    assert (maker.search.seed, maker.corners[0].config.seed) == (0, 5)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ("{search: {trials: 3}}", "search.trials: unknown key 'trials': did you mean 'num_trials'?"),
        ("{search: {num_trials: 0}}", "search.num_trials: must be at least 1, got 0"),
        ("{scheduler: {grace_epochs: }}", "scheduler.grace_epochs: is empty: give it a value, or leave it out"),
        ("{scheduler: {type: asha}}", "scheduler.type: unknown key 'type': valid: grace_epochs, reduction_factor, "),
        ("{scheduler: {grace_epochs: 1}}", "scheduler: the space has no scheduler of its own"),
        ("{confirm: {top: 1}}", "confirm: the space has no confirm of its own"),
        ("{confirm: {tip: 1}}", "confirm.tip: unknown key 'tip': did you mean 'top'?"),
        ("{set: {lr: 1}}", "set.lr: is a parameter: the scale would leave nothing to search"),
        ("{set: {holdout: 0}}", "set.holdout: holdout must be above 0 to steer a search, for example 0.1, got 0"),
    ],
)
def test_of_scales(tmp_path: Path, scale: str, message: str) -> None:
    text = f"{SEARCH}{LR}scales:\n  smoke: {scale}\n"
    assert refusal(tmp_path, text, scale="smoke").startswith(f"FILE:4: scales.smoke.{message}")


def test_a_scale_with_a_key_of_another_scheduler(tmp_path: Path) -> None:
    text = f"{SEARCH}{LR}scheduler: {{type: median}}\nscales: {{s: {{scheduler: {{brackets: 2}}}}}}\n"
    message = refusal(tmp_path, text)
    assert message.startswith("FILE:4: scales.s.scheduler.brackets: is not a key of median, which has grace_epochs")


def test_a_scale_whose_epochs_are_too_few_for_the_scheduler(tmp_path: Path) -> None:
    text = f"{SEARCH}{LR}scheduler: {{type: asha, grace_epochs: 5}}\nscales: {{s: {{set: {{epochs: 3}}}}}}\n"
    assert refusal(tmp_path, text, scale="s").startswith(
        "FILE:3: scheduler.grace_epochs: grace_epochs 5 is not below"
    )
    assert expand(load_text(tmp_path, text), {}).search is not None


def test_a_key_that_is_no_word(tmp_path: Path) -> None:
    assert (
        refusal(tmp_path, SEARCH + "parameters: {1: {values: [1, 2]}}\n")
        == "FILE:2: parameters[1]: the key 1 must be a word"
    )
    message = refusal(tmp_path, SEARCH + "parameters: {lr: {0.1: 3}}\n")
    assert message == "FILE:2: parameters.lr.0.1: the key 0.1 must be a word"
