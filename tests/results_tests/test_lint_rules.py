"""The borders of the lint rules, and our own results as rows."""

import dataclasses
import math
from pathlib import Path

import pytest

import tune_main
from results.lint.rows import ErrorByLr, LintRow, Protocol, Rule, distinct, rows_of_cells
from results.lint.rules import lint
from results.parquet.trials import Trial, group_repeats
from tests.conftest import ROOT
from tests.refusals import refused
from tests.results_tests.result_samples import make_config, make_trial
from trainable.records import Status

PROTOCOL = Protocol("resnet_preact_20", "cosine", 200, "")


def make_row(batch_size: int = 128, lr: float = 0.1, error: float = 8.0) -> LintRow:
    return LintRow("table", PROTOCOL, batch_size, lr, error, 1200.0, "a GPU", None)


def rules(rows: list[LintRow]) -> list[Rule]:
    return [finding.rule for finding in lint(rows)]


def curve(batch_size: int, *lrs: float, best: float) -> ErrorByLr:
    errors = {lr: 8.0 if lr == best else 9.0 for lr in lrs}
    return ErrorByLr(PROTOCOL, batch_size, errors, ())


def test_nothing_in_nothing() -> None:
    assert lint([]) == []


def test_a_row_printed_again_is_no_repeat_but_another_error_is() -> None:
    rows = [make_row(), dataclasses.replace(make_row(), group="again")]
    assert (rules(rows), len(distinct(rows))) == ([], 1)
    assert rules([*rows, make_row(error=8.01)]) == [Rule.REPEAT]


def test_seeds_may_differ() -> None:
    assert rules([dataclasses.replace(make_row(error=8 + 0.3 * seed), seed=seed) for seed in (0, 1)]) == []


@pytest.mark.parametrize(
    ("lr", "explanation"),
    [
        (0.006125, "a digit too many"),
        (0.0065, "a digit missing"),
        (0.00652, "two digits swapped"),
        (0.0066, "not a rounding"),
    ],
)
def test_a_slip_is_explained(lr: float, explanation: str) -> None:
    rows = [make_row(2**power, 2**power * 0.1 / 128) for power in range(4, 8)]
    assert rules([*rows, make_row(8, 0.00625)]) == []
    (finding,) = lint([*rows, make_row(8, lr)])
    assert explanation in finding.message


@pytest.mark.parametrize("lr", [0.006, 0.0062, 0.0063, 0.00625, 0.005, 0.0075])
def test_a_rounded_lr_is_no_slip_and_nor_is_another_one(lr: float) -> None:
    rows = [make_row(2**power, 2**power * 0.1 / 128) for power in range(4, 8)]
    assert rules([*rows, make_row(8, lr)]) == []


def test_two_rows_make_no_rule() -> None:
    assert rules([make_row(128, 0.1), make_row(64, 0.05), make_row(32, 0.0245)]) == []


def test_what_few_rows_share_is_no_rule() -> None:
    by_rule = [make_row(size, size * 0.1 / 128) for size in (32, 64, 128)]
    others = [make_row(size, 3.0 / size) for size in (256, 512, 1024, 2048)]
    near = make_row(16, 0.0124)
    assert rules([*by_rule, near]) == [Rule.OFF_RULE_LR]
    assert rules([*by_rule, *others, near]) == []


def test_two_learning_rates_have_no_inside() -> None:
    assert rules([make_row(lr=0.1), make_row(lr=0.2, error=9)]) == []
    assert rules([make_row(lr=0.1), make_row(lr=0.2, error=9), make_row(lr=0.4, error=10)]) == [Rule.EDGE_OPTIMUM]


def test_a_tie_with_the_inside_is_no_edge() -> None:
    assert rules([make_row(lr=0.1), make_row(lr=0.2), make_row(lr=0.4, error=10)]) == []


def test_too_small_a_learning_rate_is_no_divergence() -> None:
    errors = {0.0001: 40.0, 0.1: 8.1, 0.2: 8.0, 0.4: 8.2}
    assert rules([make_row(lr=lr, error=error) for lr, error in errors.items()]) == []
    errors = {0.1: 8.1, 0.2: 8.0, 0.4: 8.2, 12.8: 40.0}
    assert rules([make_row(lr=lr, error=error) for lr, error in errors.items()]) == [Rule.NEAR_DIVERGENCE]


def test_twice_next_to_nothing_is_no_divergence() -> None:
    assert rules([make_row(lr=lr, error=error) for lr, error in ((0.1, 0.3), (0.2, 0.0), (0.4, 0.9))]) == []


def test_times_are_compared_on_one_device_and_for_long_runs() -> None:
    def times(*seconds: float) -> list[LintRow]:
        return [dataclasses.replace(make_row(), seed=seed, seconds=each) for seed, each in enumerate(seconds)]

    assert rules(times(1200, 1420)) == []
    assert rules(times(1200, 1460)) == [Rule.TIMES]
    assert rules(times(10, 30)) == []
    assert rules([*times(1200), *(dataclasses.replace(row, device="another") for row in times(2400))]) == []


def grids(best_lrs: dict[int, float]) -> list[LintRow]:
    """Rows of a grid of rates at each batch size, whose errors rise by a point per squared octave from the best."""
    return [
        dataclasses.replace(make_row(lr=lr, error=8 + math.log2(lr / best) ** 2), batch_size=size)
        for size, best in best_lrs.items()
        for lr in (best * 2.0**step for step in range(-3, 4))
    ]


def scaling(best_lrs: dict[int, float]) -> list[str]:
    return [finding.message for finding in lint(grids(best_lrs)) if finding.rule is Rule.LR_SCALING]


def test_a_rate_that_levels_off_has_no_exponent() -> None:
    (message,) = scaling({size: 1 / (1 + 128 / size) for size in (16, 64, 256, 1024, 4096)})
    assert message.startswith("best lr levels off at 1 (95 % ")
    assert "batch size ^" not in message
    assert "the linear rule (Goyal et al. 2017) is rejected, the square-root rule (Krizhevsky 2014) is" in message


def test_a_square_root_is_told() -> None:
    (message,) = scaling({size: size**0.5 / 16 for size in (16, 64, 256, 1024)})
    assert message.startswith("best lr ~ batch size ^ 0.50 (95 % ")
    assert "is rejected, the square-root rule (Krizhevsky 2014) is not rejected" in message


def test_the_linear_rule_and_few_batch_sizes_are_no_finding() -> None:
    assert scaling({size: size / 128 for size in (16, 64, 256, 1024)}) == []
    assert scaling({size: size**0.5 / 16 for size in (16, 64, 256)}) == []


def own(lr: float, error: float, seed: int, **changes: object) -> Trial:
    return make_trial(make_config(lr=lr, seed=seed), error, **changes)


def test_own_results_are_a_row_a_finished_trial() -> None:
    trials = [own(0.1, 8.0, 0), own(0.1, 8.3, 1), own(0.1, 0.0, 2, status=Status.DIVERGED.value)]
    first, second = rows_of_cells(group_repeats(trials))
    assert (first.lr, first.test_error_percent, first.seconds, first.seed) == (0.1, 8.0, 1320.0, 0)
    assert (second.test_error_percent, second.seed) == (8.3, 1)
    assert first.configuration == second.configuration


def test_any_other_training_field_makes_another_configuration() -> None:
    trials = [make_trial(make_config(weight_decay=decay), 8.0 + decay) for decay in (0.0, 0.5)]
    assert rules(rows_of_cells(group_repeats(trials))) == []


def test_times_name_what_sets_their_rows_apart() -> None:
    others = {"warmup_epochs": 1, "optimizer": "lars", "augmentation": "crop", "precision": "bf16"}
    fields: list[dict[str, object]] = [{}, *({name: value} for name, value in others.items())]
    trials = [
        make_trial(make_config(seed=seed, **changed), 8.0, total_seconds=seconds)
        for changed in fields
        for seed, seconds in enumerate((1200.0, 2400.0))
    ]
    messages = [found.message for found in lint(rows_of_cells(group_repeats(trials))) if found.rule is Rule.TIMES]
    assert len(set(messages)) == len(fields)
    for words in ("warmup_epochs 1", "LARS", "augmentation crop)", "bf16 precision"):
        assert sum(words in message for message in messages) == 1, words
    assert "None" not in "".join(messages)


def test_the_edge_of_an_own_grid_is_found_by_the_median_of_the_repeats() -> None:
    """The best single run is inside; the best median is not."""
    errors = {0.1: (9.0, 9.0, 9.0), 0.2: (7.0, 9.0, 9.0), 0.4: (8.0, 8.0, 8.0)}
    trials = [own(lr, error, seed) for lr, each in errors.items() for seed, error in enumerate(each)]
    (finding,) = lint(rows_of_cells(group_repeats(trials)))
    assert finding.rule is Rule.EDGE_OPTIMUM
    assert "0.4 (8.00 %" in finding.message


def test_the_command_looks_through_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_main.main(["lint", "quickstart", "--store", str(ROOT / "results" / "examples")]) == 0
    assert " findings in " in capsys.readouterr().out.splitlines()[-1]


def test_the_command_knows_no_such_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "quickstrt" in refused(["lint", "quickstrt", "--store", str(tmp_path)], capsys)
