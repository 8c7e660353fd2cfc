"""Markdown tables: byte for byte the published form where they hold the same."""

import json

from results.parquet.trials import Trial, group_repeats
from results.tables.layout import render, table_rows
from tests.results_tests.result_samples import make_config, make_trial

# First table of 'Linear scaling rule for learning rate' of
# https://github.com/hysts/pytorch_image_classification (README), as published.
PUBLISHED = """\
| Model            | batch size | initial lr | lr schedule | # of Epochs | Test Error (1 run) | Training Time |
|:----------------:|-----------:|:-----------|:-----------:|------------:|:------------------:|--------------:|
| ResNet-preact-20 |    4096    |   3.2      |    cosine   |     200     |        10.57       |       22m     |
| ResNet-preact-20 |    2048    |   1.6      |    cosine   |     200     |         8.87       |       21m     |
| ResNet-preact-20 |    1024    |   0.8      |    cosine   |     200     |         8.40       |       21m     |
| ResNet-preact-20 |     512    |   0.4      |    cosine   |     200     |         8.22       |       20m     |
| ResNet-preact-20 |     256    |   0.2      |    cosine   |     200     |         8.61       |       22m     |
| ResNet-preact-20 |     128    |   0.1      |    cosine   |     200     |         8.09       |       24m     |
| ResNet-preact-20 |      64    |   0.05     |    cosine   |     200     |         8.22       |       28m     |
| ResNet-preact-20 |      32    |   0.025    |    cosine   |     200     |         8.00       |       43m     |
| ResNet-preact-20 |      16    |   0.0125   |    cosine   |     200     |         7.75       |     1h17m     |
| ResNet-preact-20 |       8    |   0.006125 |    cosine   |     200     |         7.70       |     2h32m     |
"""
PUBLISHED_MULTISTEP = """\
| Model            | batch size | initial lr | lr schedule | # of Epochs | Test Error (1 run) | Training Time |
|:----------------:|-----------:|:-----------|:-----------:|------------:|:------------------:|--------------:|
| ResNet-preact-20 |    4096    |   3.2      |  multistep  |     200     |        28.97       |       22m     |
| ResNet-preact-20 |       8    |   0.006125 |  multistep  |     200     |         8.31       |     2h34m     |
"""
PUBLISHED_LONG = """\
| Model            | batch size | initial lr | lr schedule | # of Epochs | Test Error (1 run) | Training Time |
|:----------------:|-----------:|:-----------|:-----------:|------------:|:------------------:|--------------:|
| ResNet-preact-20 |    2048    |   1.6      |    cosine   |    6400     |         7.45       |    11h44m     |
"""
RUNS = [
    (8, 0.006125, 7.70, 152),
    (4096, 3.2, 10.57, 22),
    (2048, 1.6, 8.87, 21),
    (1024, 0.8, 8.40, 21),
    (512, 0.4, 8.22, 20),
    (256, 0.2, 8.61, 22),
    (128, 0.1, 8.09, 24),
    (64, 0.05, 8.22, 28),
    (32, 0.025, 8.00, 43),
    (16, 0.0125, 7.75, 77),
]


def markdown(trials: list[Trial], *, with_mean: bool = False) -> str:
    return render(table_rows(group_repeats(trials)), "markdown", with_mean=with_mean)


def run_of(batch_size: int, lr: float, error: float | None, minutes: float, **fields: object) -> Trial:
    return make_trial(make_config(batch_size=batch_size, lr=lr, **fields), error, total_seconds=60.0 * minutes)


def cells_of(text: str, line: int) -> list[str]:
    return [cell.strip() for cell in text.splitlines()[line].strip("|").split("|")]


def test_the_first_published_table() -> None:
    assert markdown([run_of(*run) for run in RUNS]) == PUBLISHED


def test_a_published_table_with_milestones() -> None:
    runs = [(8, 0.006125, 8.31, 154), (4096, 3.2, 28.97, 22)]
    assert markdown([run_of(*run, schedule="multistep") for run in runs]) == PUBLISHED_MULTISTEP


def test_the_longest_published_run() -> None:
    assert markdown([run_of(2048, 1.6, 7.45, 704, epochs=6400)]) == PUBLISHED_LONG


def test_rows_are_sorted_by_batch_size_and_lr_descending() -> None:
    trials = [run_of(size, lr, 9.0, 20) for size in (8, 64) for lr in (0.1, 3.2, 0.4)]
    text = markdown(trials)
    assert [cells_of(text, line)[1:3] for line in range(2, 8)] == [
        ["64", "3.2"],
        ["64", "0.4"],
        ["64", "0.1"],
        ["8", "3.2"],
        ["8", "0.4"],
        ["8", "0.1"],
    ]


def repeated(*errors: float) -> list[Trial]:
    return [run_of(128, 0.1, error, 20 + seed, seed=seed) for seed, error in enumerate(errors)]


def test_repeats_show_median_and_number() -> None:
    text = markdown(repeated(8.0, 8.6, 8.1))
    assert cells_of(text, 0)[5:] == ["Test Error (median of 3 runs)", "n", "Training Time"]
    assert cells_of(text, 2)[5:] == ["8.10", "3", "21m"]


def test_mean_and_sample_deviation() -> None:
    text = markdown(repeated(8.0, 8.6, 8.3), with_mean=True)
    assert cells_of(text, 0)[7] == "mean +- std"
    assert cells_of(text, 2)[7] == "8.30 +- 0.30"


def test_the_mean_of_one_run_has_no_deviation() -> None:
    assert "+- " not in markdown(repeated(8.0), with_mean=True).splitlines()[2]


def test_the_number_is_left_out_of_the_header_where_it_differs() -> None:
    text = markdown([*repeated(8.0, 8.2), run_of(64, 0.1, 9.0, 20)])
    assert cells_of(text, 0)[5:7] == ["Test Error (median)", "n"]
    assert [cells_of(text, line)[5:7] for line in (2, 3)] == [["8.10", "2"], ["9.00", "1"]]


def test_a_repeat_that_is_missing_is_seen_in_the_number() -> None:
    diverged = make_trial(make_config(batch_size=128, lr=0.1, seed=9), None, status="DIVERGED")
    assert cells_of(markdown([*repeated(8.0, 8.2), diverged]), 2)[5:7] == ["8.10", "2"]


def test_trials_without_an_error_stay_rows() -> None:
    states = ("DIVERGED", "FAILED", "INCOMPLETE")
    trials = [make_trial(make_config(lr=3.0 - n), None, status=state) for n, state in enumerate(states)]
    text = markdown([*trials, run_of(128, 0.1, 8.0, 20)])
    rows = [cells_of(text, line)[5:] for line in range(2, 6)]
    assert rows == [["diverged", "-"], ["failed", "-"], ["incomplete", "-"], ["8.00", "20m"]]


def test_the_error_of_an_unfinished_trial_is_not_shown_as_a_result() -> None:
    text = markdown([make_trial(make_config(), 8.0, status="INCOMPLETE")])
    assert "8.00" not in text
    assert "incomplete" in text


def test_further_fields_that_differ_are_columns() -> None:
    text = markdown(
        [
            run_of(128, 0.1, 8.0, 20, weight_decay=1e-4, schedule="multistep", milestones=[0.5]),
            run_of(128, 0.1, 9.0, 20, weight_decay=0.0, schedule="multistep", milestones=[0.3, 0.6]),
        ]
    )
    assert cells_of(text, 0)[5:7] == ["milestones", "weight_decay"]
    assert [cells_of(text, line)[5:7] for line in (2, 3)] == [["0.5", "0.0001"], ["0.3 0.6", "0"]]


def test_all_lines_are_equally_wide_whatever_they_hold() -> None:
    trials = [
        run_of(128, 1e-7, 100.0, 60_000, epochs=10_000_000, train_subset=12_345),
        run_of(65_536, 0.1, 5.0, 0.1, schedule="multistep"),
        make_trial(make_config(model="resnet_110"), None, status="INCOMPLETE"),
    ]
    lines = markdown([*trials, *repeated(8.0, 9.0)], with_mean=True).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1


def test_a_sweep_of_the_sequel_has_the_columns_of_the_sequel() -> None:
    """Columns such as `optimizer` stand as in the published tables; what follows from the optimiser is not shown."""
    lars = markdown([run_of(4096, 3.2, 10.6, 22), run_of(4096, 0.02, 8.2, 22, optimizer="lars")])
    assert [cells_of(lars, line)[:4] for line in (0, 2, 3)] == [
        ["Model", "optimizer", "batch size", "initial lr"],
        ["ResNet-preact-20", "SGD", "4096", "3.2"],
        ["ResNet-preact-20", "LARS", "4096", "0.02"],
    ]
    assert cells_of(lars, 0)[6] == "Test Error (1 run)"
    ghosts = markdown([run_of(4096, 1.6, 10.3, 22), run_of(4096, 1.6, 9.7, 25, ghost_batch_size=128)])
    assert [cells_of(ghosts, line)[1:3] for line in (0, 2, 3)] == [
        ["batch size", "ghost batch size"],
        ["4096", "N/A"],
        ["4096", "128"],
    ]
    decays = [
        run_of(4096, 1.6, 10.8, 22, weight_decay=decay, weight_decay_on=on)
        for decay in (5e-4, 0.00012)
        for on in ("all", "no_bn")
    ]
    text = markdown(decays)
    assert cells_of(text, 0)[1:4] == ["weight decay on BN", "weight decay", "batch size"]
    assert [cells_of(text, line)[1:3] for line in (2, 5)] == [["yes", "5e-4"], ["no", "1.2e-4"]]
    precisions = [run_of(1024, 1.6, 8.0, 22, precision=name) for name in ("fp32", "fp16", "pure_fp16")]
    text = markdown(precisions)
    assert [cells_of(text, line)[1] for line in (0, 2, 3, 4)] == ["precision", "FP32", "mixed", "FP16"]
    text = markdown([*precisions, run_of(1024, 1.6, 8.0, 22, precision="bf16")])
    assert [cells_of(text, line)[1] for line in (3, 4, 5)] == ["fp16", "pure_fp16", "bf16"]


def test_what_all_trials_share_besides_the_published_recipe_is_a_line_below() -> None:
    """Otherwise an lr of AdamW reads as SGD's beside the published tables."""
    recipe: dict[str, object] = {"optimizer": "adamw", "label_smoothing": 0.1, "precision": "fp32"}
    trials = [run_of(128, lr, 8.0, 20, **recipe) for lr in (0.001, 0.002)]
    text = markdown(trials)
    assert cells_of(text, 0)[5:] == ["Test Error (1 run)", "Training Time"]
    assert text.splitlines()[4:] == ["", "All trials: optimizer adamw, label_smoothing 0.1"]
    (first, _) = json.loads(render(table_rows(group_repeats(trials)), "json", with_mean=False))
    assert [first["optimizer"], first["label_smoothing"]] == ["adamw", 0.1]
    assert "optimizer,label_smoothing,num_runs" in render(table_rows(group_repeats(trials)), "csv", with_mean=False)


def test_optimizers_and_no_weight_decay_have_their_usual_names() -> None:
    trials = [
        run_of(128, 0.1, 8.0, 20, optimizer=name, weight_decay=decay, weight_decay_on=on)
        for name, decay, on in (("adamw", 0.0, "all"), ("muon", 5e-4, "no_bn"))
    ]
    assert [cells_of(markdown(trials), line)[1:4] for line in (2, 3)] == [
        ["AdamW", "yes", "0"],
        ["Muon", "no", "5e-4"],
    ]
