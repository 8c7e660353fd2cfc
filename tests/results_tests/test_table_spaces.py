"""Tables of three spaces that are not batch size x lr, against what their formulae say."""

import pytest

from results.parquet.search_results import SearchResults
from results.tables.layout import flat_row
from results.tables.search_table import shown_cells, sweep_rows
from tests.results_tests import space_samples


def test_a_grid_of_lr_and_weight_decay() -> None:
    """Errors are means of two seeds, 8.5 is that of the one which did not diverge; rows are in the space's order."""
    rows = sweep_rows(space_samples.grid().cells)
    assert [(row.lr, row.other, row.test_error_percent or row.note, row.num_runs, row.best) for row in rows] == [
        (0.1, {"weight_decay": 1e-3}, 10.0, 2, False),
        (0.1, {"weight_decay": 1e-5}, 8.0, 2, False),
        (0.1, {"weight_decay": 1e-4}, 9.0, 2, False),
        (0.05, {"weight_decay": 1e-3}, 10.25, 2, False),
        (0.05, {"weight_decay": 1e-5}, "incomplete", 0, False),
        (0.05, {"weight_decay": 1e-4}, 9.25, 2, False),
        (0.2, {"weight_decay": 1e-3}, "diverged", 0, False),
        (0.2, {"weight_decay": 1e-5}, 7.75, 2, True),
        (0.2, {"weight_decay": 1e-4}, 8.5, 1, False),
    ]


def searched(search: SearchResults | None) -> list[dict[str, object]]:
    assert search is not None
    return [flat_row(row) for row in sweep_rows(shown_cells(search), search)]


def test_a_search_over_six_fields() -> None:
    """SGD with cosine is best, the earlier the better: proposal 6."""
    rows = searched(space_samples.six_fields().search)
    assert len(rows) == 21
    assert [row["best"] for row in rows] == [True] + [False] * 20
    wanted = {
        "proposal": 6,
        "lr": pytest.approx(0.001 * 100 ** (18 / 23)),
        "optimizer": "sgd",
        "schedule": "cosine",
        "batch_size": 128,
        "ghost_batch_size": 64,
        "nesterov": False,
        "holdout_error_percent": 10.06,
        "test_error_percent": 10.56,
    }
    assert {name: rows[0][name] for name in wanted} == wanted
    errors = [row["holdout_error_percent"] for row in rows]
    assert errors == sorted(errors, key=float)  # type: ignore[arg-type]


def test_a_population() -> None:
    """Only one of its two members ended the last generation."""
    (row,) = searched(space_samples.population().search)
    wanted = {"proposal": 4, "lr": 0.08, "momentum": 0.91, "holdout_error_percent": 4.0, "best": True}
    assert {name: row[name] for name in wanted} == wanted
