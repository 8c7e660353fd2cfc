"""What `table` and `report` say of a search."""

import dataclasses
import re
from pathlib import Path

import pytest

from results.parquet.files import read_epochs, read_trials
from results.parquet.search_results import read_search
from results.report.content import Report, make_report
from results.report.files import write_report
from results.report.markdown import render_markdown
from results.store.local_store import LocalStore
from results.tables.search_table import heading, sweep_table
from tests.conftest import Cli
from tests.results_tests.searched_stores import SWEEP, write_search


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return write_search(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def report(store: LocalStore) -> Report:
    return make_report(read_trials(store, SWEEP), read_epochs(store, SWEEP), SWEEP)


def test_the_table_is_of_what_was_confirmed(store: LocalStore, cli: Cli) -> None:
    done = cli("table", SWEEP, "--store", str(store.path))
    first, blank, *rows = done.stdout.splitlines()
    assert first == (
        "Chosen from 25 trials (tpe, scheduler asha) by holdout error (%), and retrained on all training images:"
    )
    assert (blank, len(rows), rows[4], done.returncode) == ("", 6, "", 0)
    assert [re.findall(r" (\d\.\d\d) +\| 3 ", row) for row in rows[2:4]] == [["9.00"], ["8.00"]]


def test_before_that_it_is_of_what_ran_to_the_end(tmp_path: Path) -> None:
    text = sweep_table(read_trials(write_search(tmp_path, confirm=False), SWEEP), "markdown", with_mean=False)
    assert text.startswith(
        "The 5 completed trials, of 25 trials (tpe, scheduler asha) that searched for the least holdout error (%)"
    )
    assert len(text.splitlines()) == 2 + 2 + 5 + 2
    assert not re.search(r"\d\.\d{6}", text)


def test_a_single_completed_trial_is_told_in_the_singular(tmp_path: Path) -> None:
    search = read_search(read_trials(write_search(tmp_path, confirm=False), SWEEP))
    assert search is not None
    single = dataclasses.replace(search, trials=search.finalists[:1])
    assert heading(single).startswith("The 1 completed trial, of 1 trial (")


def test_programs_get_rows_alone_and_every_digit(store: LocalStore) -> None:
    header, *rows = sweep_table(read_trials(store, SWEEP), "csv", with_mean=False).splitlines()
    assert header.startswith("model,")
    assert len(rows) == 2
    assert all(re.search(r",0\.\d{12,},", row) for row in rows)


def test_the_report_says_what_was_chosen_by_what_and_how_good_it_is_on_test(report: Report) -> None:
    facts = dict(report.facts)
    assert facts["chosen"].startswith("proposal 5: base_lr ")
    assert facts["how it was chosen"].endswith("test images were not used")
    assert facts["its test error"] == "9.00 +- 0.58 (standard error) %, n = 3, retrained on all training images"
    assert "best test error" not in facts


def test_it_says_which_trials_were_stopped_and_what_that_saved(report: Report) -> None:
    assert report.search_section is not None
    (stopped,) = (table for table in report.search_section.tables if table.heading == "Trials stopped at each rung")
    assert [row[:3] for row in stopped.rows] == [["1", "25", "13"], ["3", "8", "3"]]
    assert dict(report.search_section.facts)["epochs"] == "74 instead of 196 (62 % saved)"
    assert {failure.status for failure in report.failures} == {"diverged", "incomplete"}


def test_importance_is_given_for_what_was_proposed(report: Report) -> None:
    text = render_markdown(report).replace("\\", "")
    assert "This is the importance of base_lr and batch_size, not of lr = base_lr * " in text


def test_without_confirmation_no_test_error_is_reported(tmp_path: Path) -> None:
    store = write_search(tmp_path, confirm=False)
    facts = dict(make_report(read_trials(store, SWEEP), read_epochs(store, SWEEP), SWEEP).facts)
    assert "best so far" in facts
    assert not any("test error" in name for name in facts)


@pytest.mark.parametrize("num_trials", [1, 3])
def test_a_search_that_has_just_begun_has_a_report(tmp_path: Path, num_trials: int) -> None:
    store = write_search(tmp_path, num_trials=num_trials, confirm=False)
    page, text = (path.read_text() for path in write_report(store, SWEEP, tmp_path / "out"))
    assert "The search" in page
    assert "## The search" in text


def test_of_two_objectives_the_front_is_a_table(tmp_path: Path) -> None:
    store = write_search(tmp_path, two_objectives=True, name="two")
    section = make_report(read_trials(store, "two"), read_epochs(store, "two"), "two").search_section
    assert section is not None
    assert "Pareto front" in [table.heading for table in section.tables]
