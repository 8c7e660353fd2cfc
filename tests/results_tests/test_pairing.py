"""Which configurations of two sweeps, or of the arms of one, are compared with each other."""

import dataclasses
from collections.abc import Sequence

import pytest

from results.parquet.search_results import Parameter
from results.parquet.trials import Trial
from results.statistics.paired import compare_arms
from results.statistics.paired_text import pair_notes, render_pairs
from results.statistics.pairing import Pairing, arms_by, pair_arms, setting_in, sweep_arm
from tests.results_tests.paired_samples import configurations, drawn, runs
from trainable.errors import UserError


def paired(first: Sequence[Trial], other: Sequence[Trial], **options: object) -> Pairing:
    return pair_arms(sweep_arm("A", first), sweep_arm("B", other), **options)  # type: ignore[arg-type]


def fields_of(pairing: Pairing, *names: str) -> list[tuple[object, ...]]:
    """Return what each pair differs in, and these fields of its first and other side."""
    return [
        (pair.field, *(getattr(cell.config, name) for name in names for cell in pair.sides)) for pair in pairing.pairs
    ]


def test_pairs_differ_in_one_field_and_others_are_told() -> None:
    first = configurations({"lr": 0.1}, {"lr": 0.2}, {"lr": 0.4, "epochs": 9})
    other = configurations(*({"lr": lr, "optimizer": "adamw"} for lr in (0.1, 0.2, 0.8)))
    pairing = paired(first, other)
    assert fields_of(pairing, "lr") == [("optimizer", 0.1, 0.1), ("optimizer", 0.2, 0.2)]
    assert pairing.notes == (
        "1 configuration of B has no pair in A: the nearest differs in lr and optimizer "
        "(--best lr compares the best of each side)",
        "1 configuration of A has no pair in B: the nearest differs in epochs, lr and optimizer",
    )


def test_of_several_numbers_the_nearest_and_of_words_all() -> None:
    rates = configurations(*({"lr": lr} for lr in (0.1, 0.2, 0.8)))
    assert fields_of(paired(rates, configurations({"lr": 0.3})), "lr") == [("lr", 0.2, 0.3)]
    words = configurations({"schedule": "linear"}, {"schedule": "constant"})
    found = paired(words, configurations({"schedule": "multistep"}))
    assert fields_of(found, "schedule") == [
        ("schedule", "linear", "multistep"),
        ("schedule", "constant", "multistep"),
    ]


def test_an_equal_configuration_comes_before_others() -> None:
    found = paired(configurations({"lr": 0.1}, {"lr": 0.2}), configurations({"lr": 0.2}, {"lr": 0.3}, seed=1))
    assert fields_of(found, "lr") == [("sweep", 0.2, 0.2), ("lr", 0.2, 0.3)]
    assert found.notes == ("1 configuration of A has no pair in B: the nearest differs in lr, and has a nearer one",)


def test_trainings_that_both_sweeps_share_are_not_compared() -> None:
    shared = configurations({"lr": 0.1})
    found = paired(shared, [*shared, *configurations({"lr": 0.2})])
    assert fields_of(found, "lr") == [("lr", 0.1, 0.2)]
    assert found.notes == ("1 configuration is the same trainings in A and B",)
    with pytest.raises(UserError, match=r"nothing to compare: 1 configuration is the same trainings in A and B$"):
        compare_arms([sweep_arm("A", shared), sweep_arm("B", shared)])


def test_a_sweep_that_was_trained_again_by_other_code() -> None:
    old = [run for lr in (0.1, 0.2) for run in runs(drawn(20, 2, 1), lr=lr)]
    new = [dataclasses.replace(t, row=dataclasses.replace(t.row, generation=2, code="new")) for t in old]
    comparison = compare_arms([sweep_arm("A", old), sweep_arm("B", new)])
    assert [(pair.pair.field, pair.verdict) for pair in comparison.pairs] == [("sweep", "no difference")] * 2
    notes = pair_notes(comparison)
    assert "2 pairs get the very same test images right in every run, as repeats bit for bit do" in notes
    assert notes[-1] == "code: c0de in A, new in B"


def test_other_test_images_are_not_compared() -> None:
    (note, _) = paired(configurations({}), configurations({"test_subset": 100})).notes
    assert note == "1 configuration of B has no pair in A: other test images (test_subset differ)"


def test_arms_of_one_sweep() -> None:
    trials = configurations(*({"batch_size": size, "lr": lr} for size in (256, 64, 128) for lr in (0.1, 0.2)))
    arms = arms_by(trials, "batch_size", "A")
    assert [(arm.label, len(arm.cells)) for arm in arms] == [
        *(("batch_size 64", 2), ("batch_size 128", 2), ("batch_size 256", 2)),
    ]
    assert [arm.label for arm in arms_by(trials, "batch_size=128", "A")][:2] == ["batch_size 128", "batch_size 64"]
    comparison = compare_arms(arms, by="batch_size")
    assert [(pair.arm, pair.pair.other.config.lr) for pair in comparison.pairs] == [
        *(("batch_size 128", 0.1), ("batch_size 128", 0.2), ("batch_size 256", 0.1), ("batch_size 256", 0.2)),
    ]
    text = render_pairs(comparison, "markdown")
    assert text.startswith("| compared       | lr  | batch_size 64 | other")
    assert "- batch_size 128, batch_size 256 against batch_size 64: test error of the other minus" in text


def test_versions_of_the_code_within_a_sweep() -> None:
    """A sweep whose trials were trained again: those that were superseded are an arm."""
    old, new = drawn(20, 3, 1), drawn(20, 3, 2)
    trials = [
        *(dataclasses.replace(t, row=dataclasses.replace(t.row, code="old", superseded=True)) for t in runs(old)),
        *(dataclasses.replace(t, row=dataclasses.replace(t.row, code="new", generation=2)) for t in runs(new)),
    ]
    comparison = compare_arms(arms_by(trials, "code", "A"), by="code")
    assert [(pair.arm, pair.pair.field, pair.is_paired) for pair in comparison.pairs] == [("code new", "code", True)]


def test_the_best_of_each_side_allows_for_the_choice() -> None:
    first = [trial for lr, seed in ((0.1, 1), (0.2, 2)) for trial in runs(drawn(20, 3, seed), lr=lr)]
    other = [
        trial
        for lr, seed, error in ((0.001, 3, 14), (0.01, 4, 18), (0.1, 5, 30))
        for trial in runs(drawn(error, 3, seed), lr=lr, optimizer="adamw")
    ]
    arms = arms_by([*first, *other], "optimizer", "A")
    pairing = pair_arms(*arms, by="optimizer")
    assert pairing.notes[0] == (
        "2 configurations of optimizer adamw have no pair in optimizer sgd: the nearest differs in lr and optimizer "
        "(--best lr compares the best of each side)"
    )
    comparison = compare_arms(arms, by="optimizer", best="lr")
    (pair,) = comparison.pairs
    assert (pair.pair.other.config.lr, pair.pair.choices, pair.verdict) == (0.001, (2, 3), "better")
    alone = compare_arms(
        [sweep_arm("A", [t for t in first if t.config.lr == pair.pair.first.config.lr]), sweep_arm("B", other[:3])],
        best="lr",
    ).pairs[0]
    assert pair.test
    assert alone.test
    assert pair.test.p_differs == pytest.approx(3 * alone.test.p_differs)
    assert pair.test.interval[1] - pair.test.points > alone.test.interval[1] - alone.test.points
    assert "0.001 (best of 3)" in render_pairs(comparison, "markdown")


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        *(("weight_decay=0.0", 0), ("weight_decay=0", 0), ("weight_decay=1e-4", 1e-4), ("weight_decay=.001", 1e-3)),
        *(("label_smoothing=0", 0), ("label_smoothing=1e-1", 0.1), ("nesterov=false", False)),
        *(("optimizer=AdamW", "adamw"), ("model=ResNet-14", "resnet_14"), ("test_subset=ALL", None)),
        *(("base_lr=0.10", 0.1), ("weight_decay", 0), ("label_smoothing", 0), ("base_lr", 0.1)),
    ],
)
def test_the_first_arm_is_named_as_a_number_or_by_any_of_its_words(asked: str, first: object) -> None:
    fields: list[dict[str, object]] = [
        {"weight_decay": 1e-3, "label_smoothing": 0.1, "nesterov": True, "test_subset": 99},
        {"weight_decay": 0},
        {"weight_decay": 1e-4},
        {"optimizer": "adamw"},
        {"model": "resnet_14"},
    ]
    trials = [
        dataclasses.replace(trial, row=dataclasses.replace(trial.row, variables=f'{{"base_lr": {number / 10}}}'))
        for number, trial in enumerate(configurations(*fields), 1)
    ]
    name = asked.partition("=")[0]
    arm = arms_by(trials, asked, "A")[0]
    assert {setting_in(cell.trials[0], name) for cell in arm.cells} == {first}
    assert arm.label == f"{name} {'all' if first is None else first}"


def test_words_are_arms_in_the_order_of_the_search() -> None:
    trials = configurations({"optimizer": "lars"}, {"optimizer": "sgd"})
    choices = [Parameter("optimizer", choices=("sgd", "adamw", "lars"))]
    assert [arm.label for arm in arms_by(trials, "optimizer", "A", choices)] == ["optimizer sgd", "optimizer lars"]


def test_the_best_of_a_variable_takes_the_place_of_what_is_derived_from_it() -> None:
    trials = [
        dataclasses.replace(trial, row=dataclasses.replace(trial.row, variables=f'{{"base_lr": {base}}}'))
        for number, base in enumerate((0.0442534, 0.0625))
        for size in (64, 128)
        for trial in runs(drawn(20 - number, 2, number), batch_size=size, lr=base * size / 64)
    ]
    (pair,) = compare_arms(arms_by(trials, "batch_size", "A"), by="batch_size", best="base_lr").pairs
    assert pair.pair.choices == (2, 2)
    comparison = compare_arms(arms_by(trials, "batch_size", "A"), by="batch_size", best="base_lr")
    assert "| 0.0625 (best of 2) | 0.0625 (best of 2) |" in render_pairs(comparison, "markdown")
    by_base = compare_arms(arms_by(trials, "base_lr", "A"), by="base_lr").pairs
    assert [pair.pair.first.config.batch_size for pair in by_base] == [64, 128]
    assert [pair.arm for pair in by_base] == ["base_lr 0.0625"] * 2


@pytest.mark.parametrize(("name", "ours"), [("learning_rate", "lr"), ("wd", "weight_decay")])
def test_names_of_other_tools_are_told_ours(name: str, ours: str) -> None:
    trials = configurations({"lr": 0.1}, {"lr": 0.2})
    with pytest.raises(UserError, match=f"--by {name}: no such field: did you mean '{ours}'"):
        arms_by(trials, name, "A")
    with pytest.raises(UserError, match=f"--best {name}: no such field: did you mean '{ours}'"):
        paired(trials, trials, best=name)


def test_where_no_trial_has_a_value_the_values_are_listed() -> None:
    trials = configurations({"weight_decay": 1e-4}, {"weight_decay": 1e-3})
    with pytest.raises(UserError, match=r"--by weight_decay=0.01: no trial of 'A' has it: valid: 0.0001, 0.001$"):
        arms_by(trials, "weight_decay=0.01", "A")
