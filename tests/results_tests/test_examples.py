"""The committed examples: what the README and the docs show is what the Parquet files say."""

import statistics

import pytest

from benchmarks import batch_and_rate, large_batch
from results.parquet.files import read_trials
from results.parquet.search_results import params_text, read_search, spent, stopped_by_epoch
from results.parquet.trials import trials_from_table
from results.store.local_store import LocalStore
from results.tables.search_table import sweep_table
from tests.conftest import ROOT

EXAMPLES = ROOT / "results" / "examples"


@pytest.mark.parametrize("name", ["quickstart", "cifar10_smoke", "linear_scaling_cosine-smoke"])
def test_the_pages_show_the_table_of_the_example(name: str) -> None:
    table = sweep_table(read_trials(LocalStore(EXAMPLES), name), "markdown", with_mean=False)
    assert table == (EXAMPLES / name / "table.md").read_text()
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(table in page.read_text() for page in pages)


AGAINST_GRID = EXAMPLES / "search_against_grid"


@pytest.mark.parametrize("name", ["tpe_asha", "grid"])
def test_the_search_and_the_grid_are_what_their_readme_says(name: str) -> None:
    table = read_trials(LocalStore(AGAINST_GRID), name)
    search = read_search(table)
    assert search is not None
    (chosen,) = search.chosen
    assert chosen.values is not None
    errors = search.confirmed[chosen.number].test_errors
    complete = sum(trial.is_complete for trial in search.trials)
    row = (
        f"| `{name}` | {len(search.trials)} | {complete} | {spent(search).epochs} | {params_text(chosen)} | "
        f"{chosen.values[0]:.2f} | {statistics.fmean(errors):.2f} ({min(errors):.2f} to {max(errors):.2f}) |"
    )
    assert row in (AGAINST_GRID / "README.md").read_text()
    assert {trial.config.dataset for trial in trials_from_table(table)} == {"cifar10-jpeg"}
    assert table.schema.metadata[b"batchscape.space"].decode() == (AGAINST_GRID / f"{name}.yaml").read_text()


def test_the_search_and_the_grid_cost_the_same() -> None:
    searches = [read_search(read_trials(LocalStore(AGAINST_GRID), name)) for name in ("tpe_asha", "grid")]
    tpe_asha, grid = (spent(search).epochs for search in searches if search is not None)
    assert abs(tpe_asha - grid) <= 0.05 * grid


def test_the_search_stopped_large_batches_first_as_its_readme_says() -> None:
    search, grid = (read_search(read_trials(LocalStore(AGAINST_GRID), name)) for name in ("tpe_asha", "grid"))
    assert search is not None and grid is not None
    rungs = {epoch: len(stopped) for epoch, stopped in stopped_by_epoch(search).items()}
    large = [trial for trial in search.trials if trial.params["batch_size"] == 256]
    assert {trial.trial.row.stopped_epoch for trial in large} == {1}
    best = min(trial.values[0] for trial in grid.trials if trial.values and trial.params["batch_size"] == 256)
    text = " ".join((AGAINST_GRID / "README.md").read_text().split())
    assert f"{rungs[1]} trials were stopped after epoch 1 and {rungs[3]} after epoch 3" in text
    assert f"All {len(large)} with batch size 256 were among the {rungs[1]}" in text
    assert f"came to {best:.2f} %" in text
    assert search.chosen[0].number == 0


def test_the_page_on_batch_size_and_rate_is_what_its_trials_give() -> None:
    """`python benchmarks/batch_and_rate.py` writes it."""
    page = batch_and_rate.PAGE.read_text(encoding="utf-8")
    assert batch_and_rate.refresh(page) == page
    for name in (batch_and_rate.FIRST, batch_and_rate.ADVISED, batch_and_rate.NOISE):
        table = read_trials(LocalStore(batch_and_rate.FOLDER), name)
        assert {trial.config.dataset for trial in trials_from_table(table)} == {"cifar10-jpeg"}
        space = (batch_and_rate.FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
        assert table.schema.metadata[b"batchscape.space"].decode() == space


def test_the_page_on_large_batches_is_what_its_trials_give() -> None:
    """`python benchmarks/large_batch.py` writes it."""
    page = large_batch.PAGE.read_text(encoding="utf-8")
    assert large_batch.refresh(page) == page
    table = read_trials(LocalStore(EXAMPLES), large_batch.SWEEP)
    assert {trial.config.dataset for trial in trials_from_table(table)} == {"cifar10-jpeg"}
    space = (EXAMPLES / large_batch.SWEEP / "large_batch.yaml").read_text(encoding="utf-8")
    assert table.schema.metadata[b"batchscape.space"].decode() == space
