"""A search for the mean over seeds, in its Parquet files: what is chosen, and how the outputs count."""

from typing import Any

import pytest

from results.figures.best_by_epochs import best_by_epochs
from results.figures.learning_curves import search_curves
from results.figures.optimisation_history import COMPLETE, optimisation_history
from results.parquet.collect import Collector
from results.parquet.search_results import SearchResults, read_search, spent
from results.parquet.trials import epochs_from_table
from results.report.search_section import chosen_facts, search_section
from results.store.local_store import LocalStore
from results.store.search_log import EndEvent, Event, ProposalEvent, ReportEvent, SearchEvent, SearchLog
from results.tables.search_table import sweep_table
from results.tables.trial_table import trial_table
from sweep.status.best import best_configuration, best_text
from tests.results_tests.result_samples import make_end, make_epoch, make_manifest, write_trial
from tests.results_tests.searched_stores import SETTINGS, SPACE, SWEEP, searched_config
from trainable.records import Status

EPOCHS = 2
ENDS: list[tuple[float, list[float | None]]] = [
    (0.1, [10.0, 12.0, 14.0]),
    (0.2, [5.0, 30.0, 10.0]),
    (0.4, [11.0, None]),
    (0.8, [40.0]),
]
"""Base lr, and the held-out error for each seed: None diverges, and a single one is stopped."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 (pyarrow's)
    """The first configuration is the best by its mean, the second by its luckiest seed."""
    store = LocalStore(tmp_path_factory.mktemp("store"))
    objective = [{"metric": "holdout_error_percent", "goal": "minimize", "seeds": 3}]
    events: list[Event] = [SearchEvent({**SETTINGS, "num_trials": 4, "objective": objective, "confirm": None})]
    number = 0
    for base_lr, errors in ENDS:
        params, variables, first = {"base_lr": base_lr, "batch_size": 32}, {"base_lr": base_lr}, number
        for seed, error in enumerate(errors):
            config = searched_config(base_lr, 32, epochs=EPOCHS, seed=seed)
            events.append(ProposalEvent(number, params, config, variables, seed_of=first if seed else None))
            stop = len(errors) == 1
            status = Status.DIVERGED if error is None else Status.STOPPED if stop else Status.COMPLETE
            curve = [
                make_epoch(epoch, None if error is None else error + 1, holdout_error_percent=error)
                for epoch in range(1, 2 if stop else EPOCHS + 1)
            ]
            if error is not None:
                events += [ReportEvent(number, record.epoch, (error,), stop) for record in curve]
            events.append(EndEvent(number, status, None if error is None else (error,)))
            write_trial(store, config, curve, None if stop else make_end(status, len(curve)))
            number += 1
    SearchLog(store.search_log(SWEEP)).append(events)
    return Collector(store, make_manifest([], SWEEP, space=SPACE)).tables()


@pytest.fixture
def search(tables: Any) -> SearchResults:  # noqa: ANN401
    found = read_search(tables[0])
    assert found is not None
    return found


def test_a_configuration_is_one_trial_of_the_search_with_the_mean_of_its_seeds(search: SearchResults) -> None:
    assert [(trial.number, len(trial.trainings), trial.status) for trial in search.trials] == [
        (0, 3, Status.COMPLETE), (3, 3, Status.COMPLETE), (6, 2, Status.DIVERGED), (8, 1, Status.STOPPED)
    ]  # fmt: skip
    assert [(trial.number, trial.values) for trial in search.best] == [(0, (12.0,)), (3, (15.0,))]
    assert search.is_settled
    assert [trial.row.repeat for trial in search.trainings] == [0, 1, 2, 0, 1, 2, 0, 1, 0]
    assert spent(search).epochs == 17


def test_tables_have_a_row_for_a_configuration_and_all_trials_on_request(tables: Any) -> None:  # noqa: ANN401
    lines = sweep_table(tables[0], "markdown", with_mean=True).splitlines()
    heading = "The 2 completed configurations, of 4 configurations (tpe, scheduler asha, 3 seeds each) that"
    assert lines[0].startswith(heading)
    cells = [[cell.strip(" *") for cell in line.split("|")] for line in lines[4:6]]
    assert [cell[1] for cell in cells] == ["0", "3"]
    assert [cell for cell in cells[0] if "13" in cell or cell == "12"] == ["12", "13.00", "13.00 +- 2.00"]
    rows = [line.split(",") for line in trial_table(tables[0], "csv").splitlines()]
    column = rows[0].index("holdout_error_percent")
    assert [row[column] for row in rows[1:]] == ["10.0", "12.0", "14.0", "5.0", "30.0", "10.0", "11.0", "", "40.0"]
    assert [row[rows[0].index("proposal")] for row in rows[1:]] == list("012345678")


def test_the_best_is_the_one_with_the_best_mean(tables: Any, search: SearchResults) -> None:  # noqa: ANN401
    text = best_text(best_configuration(SWEEP, tables[0]))
    assert "lr=0.025" in text
    assert "among       2 finished configurations, chosen by holdout error (%), the mean of 3 seeds" in text
    assert dict(chosen_facts(search, is_scaled=True))["chosen"].endswith(" (full size)")
    assert dict(chosen_facts(search))["how it was chosen"] == (
        "the best of 2 completed configurations: holdout error 12 %; test images were not used"
    )
    facts = dict(search_section(search, [], {}).facts)
    assert facts["algorithm"] == "tpe, seed 0, 4 configurations requested"
    assert facts["objective"] == "minimize holdout error (%), the mean of 3 seeds"


def test_figures_show_means(tables: Any, search: SearchResults) -> None:  # noqa: ANN401
    (history,) = optimisation_history(search)
    assert history.values[COMPLETE] == [(0, 12.0), (3, 15.0)]
    assert history.lost == [6]
    ((line,),) = best_by_epochs({"it": search}).values()
    assert (line.complete, line.best, line.lost) == ([(6, 12.0), (12, 15.0)], [(6, 12.0)], [16])
    panel, *_ = search_curves(search, epochs_from_table(tables[1]))
    assert panel.label.startswith("proposal 0")
    assert len([run for run in panel.runs if run.split == "holdout"]) == 3
