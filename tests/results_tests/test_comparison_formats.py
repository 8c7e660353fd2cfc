"""Markdown, CSV and JSON of a comparison: warnings first, in each."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from results.parquet.collect import Collector
from results.parquet.files import write_tables
from results.parquet.trials import group_repeats
from results.statistics.compare import Comparison, compare
from results.statistics.comparison_text import render_comparison
from results.store.local_store import LocalStore
from results.tables.layout import FORMATS
from tests.conftest import Cli
from tests.results_tests.result_samples import (
    make_config,
    make_end,
    make_epoch,
    make_manifest,
    make_trial,
    write_trial,
)
from trainable.records import Status


def comparison(*, smoke: bool = False, anyway: bool = False) -> Comparison:
    fields = {"train_subset": 100} if smoke else {}
    errors = (7.2, 8.1, 9.1)
    trials = [make_trial(make_config(lr=0.1, seed=seed, **fields), error) for seed, error in enumerate(errors)]
    trials.append(make_trial(make_config(batch_size=64, lr=0.05, **fields), None, status="DIVERGED"))
    return compare("sweep", group_repeats(trials), table="linear_scaling_cosine", anyway=anyway)


def rows_of(markdown: str) -> list[list[str]]:
    return [
        [part.strip() for part in line.strip("|").split("|")] for line in markdown.splitlines() if line[:1] == "|"
    ]


def test_markdown() -> None:
    text = render_comparison(comparison(), "markdown")
    header, _, *rows = rows_of(text)
    assert header[5:] == [
        *("ours", "n", "published", "n", "difference", "95 % interval", "verdict", "runs without error"),
    ]
    assert rows[5][:10] == ["ResNet-preact-20", "128", "0.1", "cosine", "200", "8.13", "3", "8.09", "1", "+0.04"]
    assert rows[5][11] == "cannot tell"
    assert rows[6][5:] == ["-", "0", "8.22", "1", "-", "-", "no result", "1 diverged"]
    assert rows[7][5:] == ["-", "-", "8.00", "1", "-", "-", "not run", ""]
    assert len({len(line) for line in text.splitlines() if line[:1] == "|"}) == 1
    assert "WARNING" not in text
    assert "- 1 cannot tell, 1 no result, 8 not run; margin 0.5 points" in text


@pytest.mark.parametrize("anyway", [False, True])
def test_warnings_are_the_first_lines(anyway: bool) -> None:
    compared = comparison(smoke=True, anyway=anyway)
    markdown, lines, values = (render_comparison(compared, form) for form in FORMATS)
    assert markdown.startswith("> **WARNING: NOT COMPARABLE WITH THE PUBLISHED RUNS: ")
    assert "> **WARNING: train_subset: 100 instead of all (2 of 2 configurations)**\n\n|" in markdown
    assert lines.startswith("# WARNING: NOT COMPARABLE")
    assert lines.splitlines()[1].startswith("# WARNING: train_subset")
    assert next(iter(json.loads(values))) == "warnings"
    assert json.loads(values)["warnings"] == list(compared.warnings)
    shown = {"not comparable": not anyway, "cannot tell": anyway}
    for text in (markdown, lines, values):
        assert {verdict: verdict in text for verdict in shown} == shown


def test_the_mean_difference_is_printed_below_the_table() -> None:
    trials = [make_trial(make_config(batch_size=size, lr=lr), 8.4) for size, lr in ((128, 0.1), (256, 0.2))]
    text = render_comparison(compare("sweep", group_repeats(trials)), "markdown")
    (line,) = [line for line in text.splitlines() if line.startswith("- mean difference")]
    assert line.startswith("- mean difference +0.05 points [")
    assert line.endswith("on average, which says nothing about any single row")


def test_a_small_mean_of_rows_that_disagree_is_not_called_reproduced() -> None:
    trials = [
        make_trial(make_config(batch_size=size, lr=lr), 8.4 + add)
        for size, lr, add in ((128, 0.1, 3), (256, 0.2, -3), (512, 0.4, 0))
    ]
    text = render_comparison(compare("sweep", group_repeats(trials), margin=2), "markdown")
    (line,) = [line for line in text.splitlines() if line.startswith("- mean difference")]
    assert re.fullmatch(r"- mean difference \S+ points \[\S+, \S+\]: the rows disagree \(p = \S+\)", line), line


def test_csv_and_json_hold_the_same_numbers() -> None:
    compared = comparison()
    from_csv = list(csv.DictReader(io.StringIO(render_comparison(compared, "csv"))))
    values = json.loads(render_comparison(compared, "json"))
    assert list(from_csv[0]) == list(values["cells"][0])
    for name in ("batch_size", "test_error_percent", "difference_points", "standard_error_points", "p_differs"):
        assert float(from_csv[5][name]) == pytest.approx(values["cells"][5][name])
    for text in (render_comparison(compared, "csv"), render_comparison(compared, "json")):
        assert not re.search(r"[1-9]\d{12}", text), "results have at most 12 significant digits"
    assert from_csv[5]["tables"] == "linear_scaling_cosine; initial_lr_128; longer_training_200"
    assert values["cells"][7]["p_differs"] is None
    assert from_csv[7]["p_differs"] == ""
    assert (values["margin_points"], values["alpha"], values["dispersion"]["degrees_of_freedom"]) == (0.5, 0.05, 16)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A sweep with the published configuration (128, 0.1, cosine, 2 epochs for 200)."""
    store = LocalStore(tmp_path / "runs")
    config = make_config(lr=0.1, epochs=2)
    write_trial(store, config, [make_epoch(1, 60.0), make_epoch(2, 50.0)], make_end(Status.COMPLETE, 2))
    manifest = make_manifest([config])
    manifest.trials[0] = type(manifest.trials[0])(config, 0, {"published_epochs": 200})
    store.sweep_folder("sweep").mkdir()
    store.write_manifest(manifest)
    write_tables(*Collector(store, manifest).tables(), store, "sweep")
    return store


def test_the_command(store: LocalStore, cli: Cli) -> None:
    done = cli("compare", "sweep", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    values = json.loads(done.stdout)
    assert [cell["verdict"] for cell in values["cells"]] == ["not comparable"]
    assert values["warnings"][1] == "epochs: 2 instead of 200 (1 of 1 configuration)"
    options = ("--anyway", "--margin", "60", "--alpha", "0.1", "--table", "linear_scaling_cosine", "--format", "json")
    values = json.loads(cli("compare", "sweep", *options).stdout)
    assert [cell["verdict"] for cell in values["cells"]].count("not run") == 9
    assert values["cells"][5]["verdict"] == "reproduced"
    assert (values["margin_points"], values["alpha"]) == (60, 0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--alpha", "1"), "must be below 1"),
        (("--margin", "0"), "must be greater than 0"),
        (("--table", "mian"), "no published table 'mian'"),
    ],
)
def test_mistakes_are_one_line(store: LocalStore, cli: Cli, options: tuple[str, ...], message: str) -> None:
    refused = cli("compare", "sweep", *options)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
