"""A mistake in the declaration of a search is one line that names file, line and key, and says what to type."""

from pathlib import Path

import pytest

from search_spaces.expansion import expand, tie_to_data
from tests.search_spaces_tests.search_samples import LR, SEARCH, maker_of
from tests.search_spaces_tests.space_samples import load_text, refusal
from trainable.errors import UserError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "search: tpe\n" + LR,
            "FILE:1: search: must be a mapping, for example {algorithm: tpe, num_trials: 20}, got 'tpe'",
        ),
        ("search: {}\n" + LR, "FILE:1: search.algorithm: is missing: one of grid, random, tpe, gp, mfgp, cmaes, qmc"),
        (
            "search:\n  algorithm: tpee\n" + LR,
            "FILE:2: search.algorithm: 'tpee' is unknown: did you mean 'tpe'?",
        ),
        ("search: {algorithm: tpe}\n" + LR, "FILE:1: search: tpe needs num_trials, for example num_trials: 20"),
        (
            "search: {algorithm: tpe, trials: 3}\n" + LR,
            "FILE:1: search.trials: unknown key 'trials': did you mean 'num_trials'?",
        ),
        (
            "search: {algorithm: tpe, num_trials: 1, seed: 4294967296}\n" + LR,
            "FILE:1: search.seed: must be below 4294967296, got 4294967296",
        ),
        ("search: {algorithm: tpe, num_trials: 0}\n" + LR, "FILE:1: search.num_trials: must be at least 1, got 0"),
        ("search: {algorithm: tpe, num_trials: -1}\n" + LR, "FILE:1: search.num_trials: must be at least 1, got -1"),
        (
            "search:\n" + LR,
            "FILE:1: search: is empty: for example search: {algorithm: tpe, num_trials: 20}, or leave",
        ),
        (
            "search: {algorithm: }\n" + LR,
            "FILE:1: search.algorithm: is empty: one of grid, random, tpe, gp, mfgp, cmaes, qmc",
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
def test_mistakes_in_search(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text).startswith(message)


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


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("scheduler: asha", "scheduler: must be a mapping, for example {type: asha, grace_epochs: 1}, got 'asha'"),
        ("scheduler:", "scheduler: is empty: for example scheduler: {type: asha, grace_epochs: 1}, or leave it out"),
        ("scheduler: {}", "scheduler: is empty: for example scheduler: {type: asha, grace_epochs: 1}, or leave it"),
        ("scheduler: {type: }", "scheduler.type: is empty: one of none, asha, promotion, hyperband, median, pbt"),
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
        ("scheduler: {type: ashaa}", "scheduler.type: 'ashaa' is unknown: did you mean 'asha'?"),
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
        (
            "scheduler: {grace_epochs: 2}",
            "scheduler.type: is missing: one of none, asha, promotion, ",
        ),
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
            "objective.metric: 'holdout_eror' is unknown: did you mean 'holdout_error_percent'?",
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
def test_mistakes_in_other_sections(tmp_path: Path, section: str, message: str) -> None:
    assert refusal(tmp_path, f"{SEARCH}{LR}{section}\n").startswith(f"FILE:3: {message}")


TWO_NUMBERS = "parameters:\n  lr: {min: 0.01, max: 1.0}\n  weight_decay: {min: 0.01, max: 1.0}\n"
TWO = "objective: [{metric: holdout_error_percent}, {metric: train_seconds}]\n"


@pytest.mark.parametrize("algorithm", ["cmaes", "mfgp"])
def test_two_objectives_have_no_scheduler_and_no_algorithm_for_one(tmp_path: Path, algorithm: str) -> None:
    message = refusal(tmp_path, f"{SEARCH}{LR}{TWO}scheduler: {{type: asha}}\n")
    assert message.startswith("FILE:4: scheduler: compares trials by one objective: leave it out")
    message = refusal(tmp_path, f"search: {{algorithm: {algorithm}, num_trials: 3}}\n{LR}{TWO}")
    assert message == f"FILE:1: search.algorithm: {algorithm} has one objective: algorithm: tpe can have two"


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ("parameters:\n  epochs: {min: 2, max: 9}\n", "FILE:3: parameters.epochs"),
        (f"{LR}derive: {{epochs: round(9 - ((lr - 0.5) * 4) ** 2)}}\n", "FILE:3: derive.epochs"),
        ("parameters:\n  x: {rows: [{lr: 1, epochs: 2}, {lr: 2, epochs: 3}]}\n", "FILE:2: parameters"),
        (
            "parameters:\n  lr: {min: 0.1, max: 0.3}\n  epochs: {values: [3, 5], when: (lr - 0.2) ** 2 < 0.003}\n",
            "FILE:4: parameters.epochs",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["asha", "hyperband", "median"])
def test_trials_of_different_lengths_have_no_scheduler(tmp_path: Path, lines: str, place: str, kind: str) -> None:
    """After equal epochs a short cosine is annealed where a long one has just begun: the short ones win."""
    text = f"{SEARCH}{lines}scheduler: {{type: {kind}}}\n"
    assert refusal(tmp_path, text).startswith(place)
    assert f"{kind} compares after equal epochs, at different points of their lr schedules" in refusal(tmp_path, text)
    assert maker_of(tmp_path, text.replace(kind, "none")).scheduler.type == "none"


def test_equal_lengths_have_a_scheduler_however_they_come_about(tmp_path: Path) -> None:
    text = (
        f"{SEARCH}parameters: {{epochs: {{min: 2, max: 9}}, lr: {{min: 0.1, max: 0.3}}}}\nscheduler: {{type: asha}}\n"
    )
    assert maker_of(tmp_path, text, {"epochs": 9}).max_epochs == 9
    assert maker_of(tmp_path, text + "scales: {s: {derive: {epochs: 3 + 0 * epochs}}}\n", scale="s").max_epochs == 3


@pytest.mark.parametrize("algorithm", ["gp", "cmaes"])
def test_an_algorithm_that_ignores_stopped_trials_has_no_scheduler(tmp_path: Path, algorithm: str) -> None:
    search = f"search: {{algorithm: {algorithm}, num_trials: 3}}\n{TWO_NUMBERS}"
    expand(load_text(tmp_path, search + "scheduler: {type: none}\n"), {})
    message = refusal(tmp_path, search + "scheduler: {type: asha}\n")
    assert message == (
        f"FILE:5: scheduler: leaves {algorithm} little to learn from, because it ignores stopped trials: "
        "leave the scheduler out, or use algorithm: mfgp"
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
def test_mistakes_in_scales(tmp_path: Path, scale: str, message: str) -> None:
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
