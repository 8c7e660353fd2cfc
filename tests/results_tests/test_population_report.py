"""What a report says of population based training, and that its figures can be read."""

import dataclasses
import random
import re
from pathlib import Path

import pytest

from results.figures.figure_data import Results
from results.figures.gallery import draw
from results.figures.learning_curves import population_curves
from results.figures.parallel_coordinates import parallel_coordinates
from results.parquet.files import read_epochs, read_trials
from results.parquet.search_results import read_search
from results.parquet.trials import epochs_from_table, group_repeats, trials_from_table
from results.report.content import Report, make_report
from results.report.files import write_report
from results.report.linked_table import LinkedTable
from results.store.store import Store
from tests.results_tests.figure_samples import overlaps, texts_of
from tests.results_tests.searched_stores import BRED, write_population
from trainable.errors import UserError

HEADING = "The schedule found"


def reported(store: Store) -> Report:
    return make_report(read_trials(store, BRED), read_epochs(store, BRED), BRED)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return reported(write_population(tmp_path_factory.mktemp("store")))


def schedule_of(report: Report) -> LinkedTable:
    assert report.search_section is not None
    (table,) = (table for table in report.search_section.tables if table.heading == HEADING)
    return table


def test_the_schedule_is_the_lineage_of_the_best_of_the_last_generation(report: Report) -> None:
    table = schedule_of(report)
    assert [column.header for column in table.columns] == [
        "generation",
        "epochs",
        "base_lr",
        "momentum",
        "lr",
        "holdout error (%)",
        "trial",
    ]
    assert [row[:-1] for row in table.rows] == [
        ["1", "1 to 2", "0.1", "0.8", "0.05", "10"],
        ["2", "3 to 4", "0.12", "0.96", "0.06", "6"],
        ["3", "5 to 6", "0.08", "0.91", "0.04", "4"],
    ]
    assert table.anchors == [f"trial-{row[-1]}" for row in table.rows]
    assert report.search is not None
    assert [row[-1] for row in table.rows] == [report.search.trials[n].trial.row.trial_key for n in (1, 2, 5)]


def test_what_was_chosen_is_the_end_of_that_schedule(report: Report) -> None:
    facts = dict(report.facts)
    assert facts["chosen"] == "proposal 5: base_lr 0.08, momentum 0.91, the last of 3 generations"
    assert facts["how it was chosen"].startswith("the best of 2 completed trials in the last generation: ")
    assert report.search_section is not None
    assert "Choice of the search" not in [table.heading for table in report.search_section.tables]


def test_both_forms_show_it_and_escape_it(tmp_path: Path) -> None:
    store = write_population(tmp_path, lr_name="<b>|lr</b>")
    page, text = (path.read_text() for path in write_report(store, BRED, tmp_path / "out"))
    assert f"<h3>{HEADING}</h3>" in page
    assert "<b>" not in page
    assert ">&lt;b&gt;|lr&lt;/b&gt;</th>" in page
    assert f"### {HEADING}" in text
    assert "&lt;b&gt;\\|lr&lt;/b&gt;" in text
    last = schedule_of(reported(store)).rows[-1][-1]
    assert f'<a href="#trial-{last}"' in page
    assert f'<tr id="trial-{last}">' in page


def test_without_the_row_of_an_ancestor_there_is_no_schedule(report: Report) -> None:
    assert report.search is not None
    search = dataclasses.replace(report.search, trials=[trial for trial in report.search.trials if trial.number != 1])
    assert [trial.number for trial in report.search.training(report.search.trials[5])] == [1, 2, 5]
    assert search.training(report.search.trials[5]) == []


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The smoke scale of lr_schedule_pbt has this many trials and digits."""
    dice = random.Random(0)  # noqa: S311
    members: list[tuple[float, float, int | None, float]] = []
    for number in range(36):
        parent = None if number < 2 else dice.choice([number - number % 2 - 1, number - number % 2 - 2])
        members.append((0.01 * 320 ** dice.random(), dice.uniform(0.8, 0.98), parent, 40 / (number + 1)))
    store = write_population(tmp_path_factory.mktemp("store"), members)
    table = read_trials(store, BRED)
    return Results(
        BRED,
        group_repeats(trials_from_table(table)),
        epochs=lambda: epochs_from_table(read_epochs(store, BRED)),
        search=read_search(table),
    )


def test_its_figures_are_of_whole_trainings_name_no_key_and_can_be_read(results: Results) -> None:
    drawn = draw("all", results)
    assert list(drawn) == ["learning_curves", "optimisation_history", "best_by_epochs", "parallel_coordinates"]
    for name, figure in drawn.items():
        assert not any(re.search("[0-9a-f]{16}", text.get_text()) for text in texts_of(figure))
        assert overlaps(figure) == []
        heading = next(iter(figure.axes)).get_title() if name == "parallel_coordinates" else figure.get_suptitle()
        assert "2 epochs per generation" in heading
        assert "scheduler pbt, 18 generations" in heading
    with pytest.raises(UserError, match="figure 'heat_map' would be empty: a trial of a population"):
        draw("heat_map", results)


def test_the_best_that_is_marked_is_the_one_that_was_chosen(report: Report) -> None:
    """Proposal 3 had a lower error, but in an earlier generation."""
    assert report.search is not None
    bundle = parallel_coordinates(report.search)
    assert bundle is not None and bundle.best is not None
    assert (bundle.best.number, bundle.best_label) == (5, "best of the last generation")
    assert bundle.lines[-1].number == 3


def test_the_heading_says_that_rows_are_the_last_of_a_training(report: Report) -> None:
    assert report.heading.startswith("The 2 trials in the last of 3 generations, of 6 trials (")


def test_learning_curves_run_through_the_generations(report: Report) -> None:
    assert report.search is not None
    best, other = population_curves(report.search, report.epochs)
    assert best.label == "proposal 5: base_lr 0.08, momentum 0.91 at the end"
    assert other.label.startswith("proposal 4: ")
    curves = {curve.split: curve for curve in best.runs}
    assert curves["holdout"].epochs == [1, 2, 3, 4, 5, 6]
    assert curves["holdout"].errors == [10.0, 10.0, 6.0, 6.0, 4.0, 4.0]


def test_one_generation_is_as_any_search(tmp_path: Path) -> None:
    report = reported(write_population(tmp_path, [(0.4, 0.9, None, 20.0), (0.1, 0.8, None, 10.0)]))
    assert report.search_section is not None
    assert report.search_section.tables[0].heading == "Choice of the search"
    assert dict(report.facts)["chosen"] == "proposal 1: base_lr 0.1, momentum 0.8"
