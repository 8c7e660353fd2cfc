"""Sweeps, and arms of one, compared with each other: what is paired, the statistics, and the command."""

import csv
import dataclasses
import io
import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import tune_main
from results.figures.forest import forest_pages, forest_rows
from results.figures.style import save
from results.parquet.collect import Collector
from results.parquet.files import write_tables
from results.parquet.trials import Trial
from results.statistics.paired import (
    Excess,
    Measured,
    PairedComparison,
    common_excess,
    compare_arms,
    judge_pairs,
    measure,
)
from results.statistics.paired_text import pair_notes, render_pairs
from results.statistics.pairing import arms_by, sweep_arm
from results.statistics.verdicts import t_quantile
from results.store.local_store import LocalStore
from results.tables.layout import FORMATS
from tests.refusals import refused
from tests.results_tests.paired_samples import NUM_IMAGES, correct_bits, drawn, misses, runs
from tests.results_tests.result_samples import (
    make_config,
    make_end,
    make_epoch,
    make_manifest,
    make_trial,
    write_trial,
)
from trainable.records import Status
from trainable.wording import printable


def compared(first: Sequence[Trial], other: Sequence[Trial], **options: object) -> PairedComparison:
    return compare_arms([sweep_arm("A", first), sweep_arm("B", other)], **options)  # type: ignore[arg-type]


def test_one_seed_is_mcnemars_test() -> None:
    first, other = misses([1, 1, 0, 0, 0, 0, 0, 1]), misses([0, 0, 0, 1, 0, 0, 0, 1])
    found = measure(first, other, paired=True)
    lost, won, number = 1, 2, 8
    variance = (lost + won - (lost - won) ** 2 / number) / number**2 * number / (number - 1)
    assert found.points == 100 * (lost - won) / number
    assert found.images == found.training == pytest.approx(1e4 * variance)
    assert (found.degrees_of_freedom, math.isnan(found.excess)) == (0, True)


def test_parts_of_the_variance_by_hand() -> None:
    """Over seeds, image 1 of 4 differs by 100, 100 and image 2 by 100, 0."""
    found = measure(misses([0, 0, 0, 0], [0, 0, 0, 0]), misses([1, 1, 0, 0], [1, 0, 0, 0]), paired=True)
    assert found.points == 37.5
    assert found.images == pytest.approx(6875 / 3 / 4)  # 62.5^2 + 12.5^2 + 2 * 37.5^2 = 6875
    assert found.training == pytest.approx(5000 / 4 / 4 / 2)  # the variance of 100 and 0 in one image of 4, 2 seeds
    assert found.excess == pytest.approx(312.5 / 312.5)  # the variance of 50 and 25 over that of the images
    assert found.degrees_of_freedom == 1
    apart = measure(misses([0, 0, 0, 0], [0, 0, 0, 0]), misses([1, 1, 0, 0], [1, 0, 0, 0]), paired=False)
    assert (apart.points, apart.images, apart.degrees_of_freedom) == (37.5, found.images, 2)


def test_the_interval_by_hand() -> None:
    measured = Measured(points=-2.0, images=0.5, training=0.3, excess=2.0, degrees_of_freedom=4, num_images=400)
    (test,) = judge_pairs([measured], common_excess([measured]), margin=0.5, alpha=0.05)
    error, degrees = math.sqrt(2 * 0.3 + 0.2), 4 * (0.8 / 0.6) ** 2
    assert test.standard_error == pytest.approx(error)
    assert test.interval[1] == pytest.approx(-2 + float(t_quantile(0.975, degrees)) * error)


def test_pairs_that_agree_share_their_noise_and_others_keep_their_own() -> None:
    def pair(excess: float) -> Measured:
        return Measured(0.0, 0.5, 0.3, excess, 4, NUM_IMAGES)

    assert common_excess([pair(2.0), pair(3.0), pair(2.5)]) == Excess(2.5, math.inf, 12)
    noise = common_excess([pair(1.0), pair(1.2), pair(60.0)])
    assert 0 < noise.weight < 2
    assert noise.for_pair(pair(60.0))[0] > 40
    assert noise.for_pair(pair(1.0))[0] < 3
    assert noise.for_pair(pair(0.1)) == pytest.approx((1.0, 4 + noise.weight))


@pytest.mark.parametrize(
    ("difference", "margin", "verdict"),
    [(-4.0, 0.5, "better"), (4.0, 0.5, "worse"), (0.0, 3.0, "no difference"), (0.5, 0.1, "cannot tell")],
)
def test_verdicts(difference: float, margin: float, verdict: str) -> None:
    found = compared(
        runs(drawn(20, 4, 3)), runs(drawn(20 + difference, 4, 5), label_smoothing=0.1), margin=margin
    ).pairs[0]
    assert found.verdict == verdict
    assert found.test is not None
    assert found.test.points == pytest.approx(difference, abs=1.5)
    assert found.is_paired


def test_without_repeats_nothing_is_told() -> None:
    """Every image but the hard ones differs, and McNemar's test is certain."""
    comparison = compared(runs(drawn(40, 1, 1)), runs(drawn(10, 1, 2), label_smoothing=0.1))
    test = comparison.pairs[0].test
    assert test is not None
    assert (comparison.pairs[0].verdict, test.p_differs, test.interval[1] < -20) == ("cannot tell", 1.0, True)
    assert any(line.startswith("noise: one seed each, so that nothing tells") for line in pair_notes(comparison))


def test_repeats_of_one_pair_tell_the_noise_of_another() -> None:
    first = [*runs(drawn(20, 3, 1)), *runs(drawn(20, 1, 5), batch_size=64)]
    other = [*runs(drawn(10, 3, 2), lr=0.2), *runs(drawn(10, 1, 6), batch_size=64, lr=0.2)]
    assert [pair.verdict for pair in compared(first, other).pairs] == ["better", "better"]


def test_common_seeds_tell_more_than_others() -> None:
    """Seeds are shifted by up to 8 points, in both configurations alike."""
    shifts = [-8.0, -3.0, 1.0, 4.0, 8.0]
    first, other = drawn(30, 5, 1, shifts), drawn(27, 5, 2, shifts)
    together, apart = (
        compared(runs(first), runs(other, first_seed, label_smoothing=0.1)).pairs[0] for first_seed in (0, 100)
    )
    assert (together.is_paired, together.verdict) == (True, "better")
    assert (apart.is_paired, apart.verdict) == (False, "cannot tell")
    assert together.test
    assert apart.test
    assert together.test.points == apart.test.points
    assert together.test.standard_error < apart.test.standard_error / 3


def test_seeds_that_one_side_lacks_are_left_out_and_told() -> None:
    comparison = compared(runs(drawn(20, 5, 1)), runs(drawn(20, 3, 2), 2, lr=0.2))
    assert [trial.config.seed for trial in comparison.pairs[0].runs[0]] == [2, 3, 4]
    assert "2 runs left out, whose seeds the other side lacks" in pair_notes(comparison)


def test_equal_sweeps_with_other_seeds_differ_in_the_sweep_only() -> None:
    comparison = compared(runs(drawn(20, 3, 1)), runs(drawn(20, 3, 2), 10))
    assert [(pair.pair.field, pair.is_paired) for pair in comparison.pairs] == [("sweep", False)]
    assert "1 pair has no seeds in common: paired over test images alone" in pair_notes(comparison)
    assert "| sweep " in render_pairs(comparison, "markdown")


def test_the_mean_tells_more_than_its_rows() -> None:
    sizes = (32, 64, 128, 256)
    first = [t for size in sizes for t in runs(drawn(20, 2, size), batch_size=size)]
    other = [t for size in sizes for t in runs(drawn(19, 2, 1 + size), batch_size=size, lr=0.2)]
    comparison = compared(first, other)
    (average,) = comparison.averages
    tests = [pair.test for pair in comparison.pairs if pair.test]
    assert average.test.points == pytest.approx(np.mean([test.points for test in tests]))
    assert average.test.standard_error < min(test.standard_error for test in tests)
    assert any(line.startswith("B: mean difference of 4 pairs -") for line in pair_notes(comparison))


def test_runs_without_an_error_are_told() -> None:
    diverged = make_trial(make_config(epochs=2, lr=0.2), None, status="DIVERGED", test_correct_bits=None)
    comparison = compared(runs(drawn(20, 2, 1)), [diverged])
    assert comparison.pairs[0].verdict == "no result"
    assert "other: 1 diverged" in render_pairs(comparison, "markdown")
    assert list(forest_pages(comparison)) == []


def test_csv_json_and_figure_hold_the_same_numbers() -> None:
    comparison = compared(runs(drawn(20, 3, 1)), runs(drawn(12, 3, 2), lr=0.2))
    (row,) = csv.DictReader(io.StringIO(render_pairs(comparison, "csv")))
    values = json.loads(render_pairs(comparison, "json"))
    test = comparison.pairs[0].test
    assert test
    assert float(row["difference_points"]) == values["pairs"][0]["difference_points"] == test.points
    assert (row["first_value"], row["other_value"], row["verdict"]) == ("0.1", "0.2", "better")
    (drawn_row,) = forest_rows(comparison)
    assert (drawn_row.label, drawn_row.points, drawn_row.interval) == (
        "lr 0.2 instead of 0.1",
        test.points,
        test.interval,
    )
    assert [stem for stem, _ in forest_pages(comparison)] == ["comparison"]


def test_foreign_text_is_shown_as_text(tmp_path: Path) -> None:
    """Devices are named by drivers."""
    nasty = "$x_ <script>|=1\x1b[31m"
    devices = (("plain", drawn(20, 2, 1)), (nasty, drawn(12, 2, 2)))
    trials = [
        dataclasses.replace(trial, row=dataclasses.replace(trial.row, device=device, generation=number))
        for number, (device, missed) in enumerate(devices)
        for trial in runs(missed, 10 * number)
    ]
    comparison = compare_arms(arms_by(trials, "device", "A"), by="device")
    markdown, lines, _ = (render_pairs(comparison, form) for form in FORMATS)
    assert "<script>" not in markdown
    assert printable(markdown + lines) == markdown + lines
    assert len({line.count(" | ") for line in markdown.splitlines() if line.startswith("| ")}) == 1
    ((stem, page),) = forest_pages(comparison, nasty)
    svg, _ = save(page, tmp_path / stem)
    ET.parse(svg)  # noqa: S314 (our own file)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """Two sweeps of one configuration with two seeds, which differ in lr."""
    store = LocalStore(tmp_path_factory.mktemp("compared") / "runs")
    for name, lr, missed in (("one", 0.1, drawn(20, 2, 1)), ("two", 0.2, drawn(10, 2, 2))):
        configs = [make_config(lr=lr, epochs=1, seed=seed) for seed in range(2)]
        for config, wrong in zip(configs, missed, strict=True):
            end = make_end(Status.COMPLETE, 1, test_correct_bits=correct_bits(wrong).hex())
            write_trial(store, config, [make_epoch(1, 100 * float(wrong.mean()))], end)
        store.sweep_folder(name).mkdir(exist_ok=True)
        manifest = make_manifest(configs, name)
        store.write_manifest(manifest)
        write_tables(*Collector(store, manifest).tables(), store, name)
    return store


def test_the_command(store: LocalStore, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    before = sorted(path.stat().st_mtime_ns for path in store.sweep_folder("one").rglob("*"))
    folder = tmp_path / "figures"
    location = ["--store", store.location()]
    assert tune_main.main(["compare", "one", "two", "--format", "json", "--to", str(folder), *location]) == 0
    output = capsys.readouterr()
    values = json.loads(output.out)
    assert [pair["differs_in"] for pair in values["pairs"]] == ["lr"]
    assert sorted(path.name for path in folder.iterdir()) == ["comparison.png", "comparison.svg"]
    assert output.err.splitlines() == [f"{folder}/comparison.svg", f"{folder}/comparison.png"]
    assert sorted(path.stat().st_mtime_ns for path in store.sweep_folder("one").rglob("*")) == before
    assert "no configuration of 'one' is in the published tables" in refused(
        ["compare", "one", "published", *location], capsys
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one", "one"], "compare one one: a sweep is named twice; `--by FIELD` compares the arms of one"),
        (["one", "tow"], "no sweep 'tow'"),
        (["one", "two", "published"], "compare one sweep at a time with the published tables"),
        (["published", "one"], "write `compare one` for a sweep and the published tables"),
        (["published", "--by", "lr"], "compare published --by: needs a sweep"),
        (["one", "two", "--table", "main"], "compare one two --table: needs one sweep without --by"),
        (["one", "--best", "lr"], "compare one --best: needs a second sweep or --by FIELD"),
        (["one", "two", "--by", "lr"], "compare one two --by: arms are those of one sweep"),
        (["one", "--by", "lr"], "--by lr: all trials of 'one' have 0.1; fields that vary: none"),
        (["one", "--by", "seed"], "--by seed: arms differ in a setting"),
        (["one", "--by", "colour"], "--by colour: no such field"),
        (["one", "two", "--best", "lrr"], "--best lrr: no such field: did you mean 'lr'?"),
    ],
)
def test_mistakes_are_one_line(
    store: LocalStore, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert message in refused(["compare", *arguments, "--store", store.location()], capsys)
