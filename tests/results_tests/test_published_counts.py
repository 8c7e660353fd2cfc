"""How much work the published rows are, against counts made here in another way."""

import csv
import dataclasses

import pytest

import tune_main
from results.published.cells import FOLDER, LONGER_FILE, SEED_FILE, published_cells
from results.published.counts import plan_text, published_plan, work_counts
from tests.refusals import refused

SIX_HOURS = 3 + 6 / 60 + 3 + 5 / 60
"""Published time of the two 110-layer models."""


def lines_of(file: str) -> list[dict[str, str]]:
    with (FOLDER / file).open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_seed_tables() -> None:
    counts = work_counts(published_cells())
    assert (counts.num_rows, counts.num_configurations, counts.num_runs) == (91, 73, 77)
    assert counts.configurations_by_model == {"resnet_preact_20": 71, "resnet_110": 1, "resnet_preact_110": 1}
    assert counts.epochs_of_runs - counts.epochs == 2 * 2 * 160
    assert counts.hours_of_runs - counts.hours == pytest.approx(2 * SIX_HOURS)


@pytest.mark.parametrize("file", [SEED_FILE, LONGER_FILE])
def test_epochs_and_hours_of_the_distinct_work(file: str) -> None:
    times: dict[tuple[str, ...], list[int]] = {}
    for line in lines_of(file):
        key = (line["model"], line["batch_size"], line["lr_printed"], line["schedule"], line["epochs"])
        times.setdefault(key, []).append(int(line["minutes"]))
    counts = work_counts(published_cells(file))
    assert counts.epochs == sum(int(key[-1]) for key in times)
    assert all(max(each) - min(each) <= 1 for each in times.values())
    assert counts.hours == pytest.approx(sum(sorted(each)[len(each) // 2] for each in times.values()) / 60, abs=0.1)


def test_a_configuration_listed_twice_takes_the_median_time() -> None:
    cell = published_cells()[2]
    cells = [dataclasses.replace(cell, minutes=minutes) for minutes in (30, 60, 600)]
    assert work_counts(cells).hours == 1.0


def test_the_text_says_all_of_it() -> None:
    text = plan_text("tables", work_counts(published_cells()))
    for part in (
        "rows            91\n",
        "configurations  73 (71 ResNet-preact-20, 1 ResNet-110, 1 ResNet-preact-110)\n",
        "trainings       77 ",
        "GeForce GTX 1080 Ti",
    ):
        assert part in text


def test_repeats_are_not_spoken_of_where_there_are_none() -> None:
    assert "repeats" not in plan_text("tables", work_counts(published_cells(LONGER_FILE)))


def test_the_further_rows_are_a_group_of_their_own() -> None:
    seed, further, sequel = published_plan().split("\n\n")
    assert "rows            91" in seed
    assert "rows            20" in further
    assert "the 18 tables of the sequel" in sequel
    assert "rows            133" in sequel
    assert "configurations  109 (109 ResNet-preact-20)" in sequel
    known = {cell.configuration for cell in published_cells()}
    new = len({cell.configuration for cell in published_cells(LONGER_FILE)} - known)
    assert f"{new} configurations that are not in the 16 tables" in further


def test_the_command_prints_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_main.main(["plan", "published"]) == 0
    assert capsys.readouterr().out == published_plan() + "\n"


def test_the_command_wants_to_know_of_what(capsys: pytest.CaptureFixture[str]) -> None:
    assert "SPACE|published" in refused(["plan"], capsys)
