"""A sweep beside the published tables: matching, warnings, differences and verdicts."""

import json
import math

import numpy as np
import pytest

from results.parquet.trials import Trial, group_repeats
from results.published.cells import Configuration
from results.statistics.compare import Comparison, compare
from results.statistics.matching import Published, published_configurations
from results.statistics.noise import binomial_variance
from results.statistics.verdicts import Verdict, t_quantile
from tests.results_tests.result_samples import make_config, make_trial
from trainable.errors import UserError

LINEAR = "linear_scaling_cosine"


def run_of(batch_size: int, lr: float, *errors: float | None, **fields: object) -> list[Trial]:
    """Trials with these errors, one each; None stands for a diverged trial."""
    return [
        make_trial(
            make_config(batch_size=batch_size, lr=lr, seed=seed, **fields),
            error,
            status="DIVERGED" if error is None else "COMPLETE",
        )
        for seed, error in enumerate(errors)
    ]


def smoke(batch_size: int, lr: float, error: float, variables: dict[str, float], **fields: object) -> Trial:
    config = make_config(**{"batch_size": batch_size, "lr": lr, "epochs": 2, **fields})
    return make_trial(config, error, variables=json.dumps(variables))


def compared(trials: list[Trial], **options: object) -> Comparison:
    return compare("sweep", group_repeats(trials), **options)  # type: ignore[arg-type]


def published(batch_size: int, lr: float, schedule: str = "cosine", epochs: int = 200) -> Published:
    wanted = Configuration("resnet_preact_20", batch_size, lr, schedule, epochs)
    (found,) = [item for item in published_configurations() if item.configuration == wanted]
    return found


def test_every_configuration_is_published_once() -> None:
    configurations = [item.configuration for item in published_configurations()]
    assert len(configurations) == len(set(configurations)) == 167


def test_rows_with_different_errors_are_repeats_and_the_same_error_is_the_same_run() -> None:
    item = published(1024, 0.8)
    assert item.tables == (LINEAR, "initial_lr_1024", "longer_training_200", "lars_1024")
    assert item.num_runs == 2
    assert item.test_error_percent == pytest.approx(8.24)
    assert item.variance_factor == pytest.approx(0.5)


def test_medians_and_another_gpu_are_further_runs() -> None:
    """8.87 and 8.73 are of one run each, 8.83 is the median of three, and a run on a V100 has 8.87, too."""
    item = published(2048, 1.6)
    assert [(cell.test_error_percent, cell.num_runs) for cell in item.cells] == [
        (8.87, 1),
        (8.73, 1),
        (8.83, 3),
        (8.87, 1),
    ]
    assert item.num_runs == 6


def test_a_printed_median_of_three_has_its_own_variance() -> None:
    item = published_configurations("main")[0]
    assert (item.num_runs, item.test_error_percent) == (3, 6.52)
    assert item.variance_factor == pytest.approx(1 - math.sqrt(3) / math.pi)


def test_the_cells_that_the_sweep_has_in_the_published_order() -> None:
    comparison = compared([*run_of(8, 0.006125, 7.7), *run_of(4096, 3.2, 10.6), *run_of(100, 0.1, 8.0)])
    published = [cell.published for cell in comparison.cells]
    assert [(*item.configuration[1:3], item.test_error_percent) for item in published] == [
        (4096, 3.2, 10.57),
        (8, 0.006125, 7.70),
    ]
    assert [cell.difference_points for cell in comparison.cells] == pytest.approx([0.03, 0.0])
    assert comparison.warnings == ()
    assert "1 configuration of the sweep is not among these published ones" in comparison.notes


@pytest.mark.parametrize(
    "fields", [{"model": "resnet_20"}, {"lr": 0.2}, {"batch_size": 64}, {"schedule": "constant"}, {"epochs": 100}]
)
def test_every_part_of_the_configuration_decides(fields: dict[str, object]) -> None:
    trial = make_trial(make_config(**{"batch_size": 16, "lr": 0.0125, "epochs": 200, **fields}), 8.0)
    with pytest.raises(UserError, match="no configuration of 'sweep' is in the published tables"):
        compared([trial])


def test_a_published_weight_decay_is_a_configuration_of_its_own_with_the_recipe_of_the_sequel() -> None:
    (cell,) = compared(run_of(2048, 1.6, 7.9, weight_decay=3e-4, lr_min_factor=0.0)).cells
    assert (cell.published.test_error_percent, cell.published.num_runs, cell.departures) == (7.76, 3, ())
    assert cell.verdict is not Verdict.NOT_COMPARABLE
    (cell,) = compared(run_of(2048, 1.6, 7.9, weight_decay=3e-4)).cells
    assert [str(departure) for departure in cell.departures] == ["lr_min_factor 0.001 instead of 0"]
    (cell,) = compared(run_of(2048, 1.6, 7.9, weight_decay=6e-4)).cells
    assert [str(departure) for departure in cell.departures] == ["weight_decay 0.0006 instead of 0.0001"]


def test_configurations_of_several_tables_are_sorted() -> None:
    ghosts = [(size, ghost) for ghost in (None, 128) for size in (1024, 4096, 128, 2048, 8192) if size != ghost]
    trials = [
        trial
        for size, ghost in ghosts
        for trial in run_of(size, 0.4 if size == 128 else 1.6, 9.0, ghost_batch_size=ghost, lr_min_factor=0.0)
    ]
    found = [cell.published.configuration for cell in compared(trials).cells]
    sizes = [8192, 4096, 2048, 1024]
    assert [(item.batch_size, item.ghost_batch_size) for item in found] == [
        *((size, None) for size in (*sizes, 128)),
        *((size, 128) for size in sizes),
    ]


def test_lars_and_weight_decay_without_batch_norms_are_matched_by_their_own_settings() -> None:
    trials = [
        *run_of(4096, 0.02, 8.3, optimizer="lars", lr_min_factor=0.0),
        *run_of(4096, 1.6, 8.9, weight_decay=5e-4, weight_decay_on="no_bn", lr_min_factor=0.0),
    ]
    cells = {cell.published.configuration.variant: cell for cell in compared(trials).cells}
    assert {name: (cell.published.test_error_percent, cell.departures) for name, cell in cells.items()} == {
        "LARS": (8.21, ()),
        "weight decay 0.0005, no weight decay on BN": (8.78, ()),
    }
    (cell,) = compared(run_of(4096, 1.6, 8.3, optimizer="lars", lr_min_factor=0.001)).cells
    assert [departure.field for departure in cell.departures] == ["optimizer", "nesterov"]


def test_ghosts_and_arithmetic_are_matched_by_their_own_settings() -> None:
    sequel: dict[str, object] = {"lr_min_factor": 0.0}
    trials = [
        *run_of(2048, 1.6, 8.8, ghost_batch_size=128, precision="fp32", **sequel),
        *run_of(2048, 1.6, 9.0, precision="fp16", **sequel),
        *run_of(2048, 1.6, 75.0, precision="pure_fp16", **sequel),
        *run_of(2048, 1.6, 8.8, precision="fp32", **sequel),
        *run_of(2048, 1.6, 8.9, precision="fp32", ghost_batch_size=64, **sequel),
    ]
    trials = [
        make_trial(trial.config, trial.row.test_error_percent, precision_resolved=trial.config.precision)
        for trial in trials
    ]
    comparison = compared(trials)
    found = {
        (cell.cell.config.ghost_batch_size, cell.cell.config.precision): (
            cell.published.configuration.variant,
            [str(departure) for departure in cell.departures],
        )
        for cell in comparison.cells
        if cell.cell
    }
    assert found == {
        (128, "fp32"): ("ghost batch size 128", []),
        (None, "fp16"): ("mixed precision", []),
        (None, "pure_fp16"): ("fp16 precision", []),
        (None, "fp32"): ("", []),
        (64, "fp32"): ("", ["ghost_batch_size 64 instead of none"]),
    }
    assert not [note for note in comparison.notes if note.startswith("precision")]


def test_a_scaled_down_ghost_stands_for_the_published_one() -> None:
    sizes: dict[str, float] = {"batch_size": 2048, "ghost_batch_size": 128, "epochs": 200}
    variables = {f"published_{name}": value for name, value in sizes.items()}
    trial = smoke(64, 1.6, 50.0, variables, ghost_batch_size=4, lr_min_factor=0.0)
    (cell,) = compared([trial]).cells
    assert cell.published.test_error_percent == 8.77
    assert [departure.field for departure in cell.departures] == ["ghost_batch_size", "epochs", "batch_size"]


def test_what_was_printed_in_the_sequel_and_before_may_end_at_either_rate() -> None:
    for factor in (0.0, 0.001):
        assert compared(run_of(4096, 1.6, 10.2, lr_min_factor=factor)).cells[0].departures == ()
    assert compared(run_of(128, 0.05, 8.4, lr_min_factor=0.0)).cells[0].departures[0].field == "lr_min_factor"
    assert compared(run_of(8192, 1.6, 12.3, lr_min_factor=0.001)).cells[0].departures[0].field == "lr_min_factor"


def test_other_settings_that_nobody_published_are_departures_from_the_nearest() -> None:
    (cell,) = compared(run_of(1024, 1.6, 8.0, optimizer="adamw", weight_decay=3e-4, lr_min_factor=0.0)).cells
    assert cell.published.configuration.weight_decay == 3e-4
    assert {departure.field for departure in cell.departures} == {"optimizer", "momentum", "nesterov"}
    with pytest.raises(UserError, match="no configuration of 'sweep' is in the published tables"):
        compared(run_of(4096, 0.02, 40.0))  # a learning rate of LARS


def test_a_computed_learning_rate_is_the_printed_one() -> None:
    lr = 0.1 * 3 / 3 + 1e-16
    assert lr != 0.1
    assert compared(run_of(128, lr, 8.0)).cells[0].published.test_error_percent == 8.09


def test_the_difference_and_its_standard_error_by_hand() -> None:
    """One run is compared with one row; the noise comes from the published repeats alone."""
    comparison = compared(run_of(128, 0.1, 8.49))
    test = comparison.cells[0].test
    assert test is not None
    variance = comparison.dispersion.factor * (binomial_variance(8.49, 10_000) + binomial_variance(8.09, 10_000))
    assert comparison.dispersion.degrees_of_freedom == 14
    assert test.points == pytest.approx(0.4)
    assert test.standard_error == pytest.approx(math.sqrt(variance))
    reach = t_quantile(0.975, 14) * math.sqrt(variance)
    assert test.interval == pytest.approx((0.4 - reach, 0.4 + reach))
    assert comparison.cells[0].verdict is Verdict.CANNOT_TELL


def test_repeats_of_ours_shrink_the_error_and_add_degrees_of_freedom() -> None:
    comparison = compared(run_of(128, 0.1, 8.0, 8.1, 8.2))
    (cell,) = comparison.cells
    assert comparison.dispersion.degrees_of_freedom == 16
    assert len(cell.errors) == 3
    assert cell.test_error_percent == pytest.approx(8.1)
    assert cell.test is not None
    variance = binomial_variance(8.1, 10_000) / 3 + binomial_variance(8.09, 10_000)
    assert cell.test.standard_error == pytest.approx(math.sqrt(comparison.dispersion.factor * variance))


def test_a_published_median_of_three_is_less_noisy_than_one_run() -> None:
    comparison = compared(run_of(128, 0.1, 6.52, model="resnet_110", schedule="multistep", epochs=160))
    test = comparison.cells[0].test
    assert test is not None
    run = comparison.dispersion.run_variance(6.52, 10_000)
    assert test.standard_error == pytest.approx(math.sqrt(run * (2 - math.sqrt(3) / math.pi)))


def test_noisier_repeats_make_more_noise() -> None:
    quiet, loud = (compared(run_of(128, 0.1, 8 - s, 8.0, 8 + s)).dispersion.factor for s in (0.05, 1.0))
    assert loud > 5 * quiet


def test_verdicts() -> None:
    trials = [*run_of(128, 0.1, 8.09, 8.29, 7.89), *run_of(64, 0.05, 12.0, 12.3, 11.7), *run_of(32, 0.025, 8.6)]
    verdicts = [cell.verdict for cell in compared(trials, margin=1.0).cells]
    assert verdicts == [Verdict.REPRODUCED, Verdict.DIFFERS, Verdict.CANNOT_TELL]


def test_the_margin_and_alpha_decide() -> None:
    trials = run_of(128, 0.1, 8.3, 8.35, 8.4)
    assert compared(trials, margin=1.0).cells[0].verdict is Verdict.REPRODUCED
    assert compared(trials, margin=0.2).cells[0].verdict is Verdict.CANNOT_TELL
    assert compared(trials, margin=0.2, alpha=0.5).cells[0].verdict is Verdict.DIFFERS


def test_the_mean_difference_is_one_test() -> None:
    comparison = compared([*run_of(128, 0.1, 8.19), *run_of(64, 0.05, 8.52)])
    assert comparison.overall is not None
    assert comparison.overall.points == pytest.approx((0.1 + 0.3) / 2)
    errors = [cell.test.standard_error for cell in comparison.cells if cell.test]
    assert comparison.overall.standard_error == pytest.approx(math.hypot(*errors) / 2)
    assert compared(run_of(128, 0.1, 8.19)).overall is None


def test_a_table_shows_what_was_not_run() -> None:
    comparison = compared(run_of(64, 0.05, 8.2), table=LINEAR)
    sizes = [cell.published.configuration.batch_size for cell in comparison.cells]
    assert sizes == [4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8]
    assert comparison.count(Verdict.NOT_RUN) == 9
    assert comparison.cells[6].test_error_percent == 8.2
    assert comparison.cells[0].test_error_percent is None


def test_a_table_leaves_out_what_it_does_not_print() -> None:
    comparison = compared([*run_of(64, 0.05, 8.2), *run_of(64, 0.05, 8.2, schedule="multistep")], table=LINEAR)
    assert {cell.published.configuration.schedule for cell in comparison.cells} == {"cosine"}


def test_an_unknown_table_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="linear_scaling_cosine"):
        compared(run_of(64, 0.05, 8.2), table="linear_scaling_cosin")


def test_a_configuration_without_a_result_says_why() -> None:
    (cell,) = compared(run_of(4096, 3.2, None, None)).cells
    assert (cell.verdict, cell.note, cell.test_error_percent) == (Verdict.NO_RESULT, "2 diverged", None)
    (cell,) = compared(run_of(4096, 3.2, 10.6, None)).cells
    assert (cell.errors, cell.note) == ([10.6], "1 diverged")


def test_a_smoke_sweep_is_matched_by_its_full_size_and_gets_no_verdict() -> None:
    trial = smoke(16, 0.2, 50.0, {"published_epochs": 200, "published_batch_size": 256.0}, train_subset=5000)
    comparison = compared([trial])
    (cell,) = comparison.cells
    assert cell.published.configuration[1:5:3] == (256, 200)
    assert cell.published.test_error_percent == 8.61
    assert cell.verdict is Verdict.NOT_COMPARABLE
    assert cell.test is None
    assert cell.difference_points == pytest.approx(41.39)
    assert comparison.warnings == (
        "NOT COMPARABLE WITH THE PUBLISHED RUNS: ours were trained with other settings",
        "train_subset: 5000 instead of all (1 of 1 configuration)",
        "epochs: 2 instead of 200 (1 of 1 configuration)",
        "batch_size: 16 instead of 256 (1 of 1 configuration)",
    )


def test_what_a_variable_does_not_say_is_the_trial_s_own() -> None:
    (cell,) = compared([smoke(256, 0.2, 50.0, {"published_epochs": 200, "base_lr": 0.1})]).cells
    assert [departure.field for departure in cell.departures] == ["epochs"]


def test_anyway_gives_verdicts_and_keeps_the_warnings() -> None:
    trial = smoke(256, 0.2, 50.0, {"published_epochs": 200})
    comparison = compared([trial], anyway=True)
    assert comparison.cells[0].verdict is Verdict.DIFFERS
    assert comparison.warnings[0].startswith("NOT COMPARABLE")


def test_cells_that_departed_do_not_weaken_the_others() -> None:
    """The family is what gets a verdict; and the warning says how many it is about."""
    good = run_of(128, 0.1, 8.09)
    bad = [*run_of(64, 0.05, 8.2, weight_decay=0.0), *run_of(32, 0.025, 8.2, augmentation="none")]
    comparison = compared([*good, *bad])
    alone, among = compared(good).cells[0].test, comparison.cells[0].test
    assert alone == among
    assert comparison.warnings[0].endswith("for 2 of 3 configurations: ours were trained with other settings")
    assert [cell.verdict for cell in comparison.cells[1:]] == [Verdict.NOT_COMPARABLE] * 2


def test_another_precision_is_noted() -> None:
    trial = make_trial(make_config(batch_size=128, lr=0.1), 8.0, precision_resolved="bf16")
    assert "precision: bf16 instead of fp32; its effect is part of the difference" in compared([trial]).notes


def bits_of(num_wrong: int, num_images: int) -> bytes:
    """Bits of a row in whole bytes; zeros fill the last one."""
    return np.packbits(np.arange(num_images) >= num_wrong).tobytes()


@pytest.mark.parametrize("dataset", ["cifar10", "mine"])
@pytest.mark.parametrize("num_images", [195, 200, 10_000])
def test_the_interval_is_that_of_the_test_images_there_are(dataset: str, num_images: int) -> None:
    """It was that of 10,000 for whatever is called cifar10."""
    num_wrong = num_images // 10
    error, bits = 100 * num_wrong / num_images, bits_of(num_wrong, num_images)
    trial = make_trial(make_config(batch_size=128, lr=0.1, dataset=dataset), error, test_correct_bits=bits)
    comparison = compared([trial], anyway=True)
    (cell,) = comparison.cells
    assert cell.test is not None
    variance = (
        comparison.dispersion.run_variance(error, num_images)
        + comparison.dispersion.run_variance(cell.published.test_error_percent, 10_000)
        * cell.published.variance_factor
    )
    assert cell.test.standard_error == pytest.approx(math.sqrt(variance))


@pytest.mark.parametrize(("num_images", "verdict"), [(200, Verdict.NOT_COMPARABLE), (10_000, Verdict.DIFFERS)])
def test_other_test_images_are_not_those_of_cifar10(num_images: int, verdict: Verdict) -> None:
    bits = bits_of(num_images // 2, num_images)
    trial = make_trial(make_config(batch_size=128, lr=0.1), 50.0, test_correct_bits=bits)
    comparison = compared([trial])
    assert [cell.verdict for cell in comparison.cells] == [verdict]
    warned = "dataset: 200 test images instead of the 10,000 of cifar10 (1 of 1 configuration)"
    assert (warned in comparison.warnings) == (num_images == 200)
