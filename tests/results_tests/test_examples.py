"""The committed examples: what the README shows is what the Parquet files say."""

from pathlib import Path

import pytest

from results.parquet import read_trials
from results.store import Store
from results.tables import render, table_rows
from results.trials import group_repeats, trials_from_table
from tests.conftest import ROOT

EXAMPLES = ROOT / "results" / "examples"


@pytest.mark.parametrize("name", ["quickstart", "cifar10_smoke", "linear_scaling_cosine-smoke"])
def test_the_readme_shows_the_table_of_the_example(name: str) -> None:
    trials = trials_from_table(read_trials(Store(EXAMPLES), name))
    table = render(table_rows(group_repeats(trials)), "markdown", with_mean=False)
    assert table == (EXAMPLES / name / "table.md").read_text()
    assert table in (ROOT / "README.md").read_text()


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = [part.split(")")[0] for part in (ROOT / "README.md").read_text().split("](")[1:]]
    assert links
    assert [link for link in links if not (ROOT / Path(link)).exists()] == []
