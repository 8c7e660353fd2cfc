"""What a report says, figure by figure, of a sweep in which everything happens."""

import dataclasses
from pathlib import Path

import pytest
from markupsafe import escape

from results.insight.sentences import Sentence
from results.lint.rows import rows_of_cells
from results.parquet.files import read_epochs, read_trials
from results.parquet.markdown import escaped
from results.parquet.trials import group_repeats
from results.report.content import Report, make_report
from results.report.formatting import config_words, moment, named_values, plain
from results.report.html import render_html
from results.report.insight_section import InsightGroup, InsightSection
from results.report.linked_table import LinkedTable
from results.report.markdown import render_markdown
from results.store.local_store import LocalStore
from results.tables.layout import Column
from tests.conftest import ROOT
from tests.results_tests.report_samples import ERROR, SCRIPT, SWEEP, write_evil_sweep
from tests.results_tests.result_samples import make_config, make_trial


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    store = write_evil_sweep(tmp_path_factory.mktemp("evil"))
    return make_report(read_trials(store, SWEEP), read_epochs(store, SWEEP), SWEEP)


@pytest.fixture(scope="module")
def quickstart() -> Report:
    store = LocalStore(ROOT / "results" / "examples")
    return make_report(read_trials(store, "quickstart"), read_epochs(store, "quickstart"), "quickstart")


def test_the_summary_counts_every_planned_trial(report: Report) -> None:
    facts = dict(report.facts)
    assert facts["trials"] == "8 planned: 5 complete, 1 diverged, 1 failed, 1 not started"
    assert facts["configurations"] == "4"
    assert facts["time of all trials"] == "42m"  # 2.5 s an epoch, 5 x 200 + 3 + 1 of them


def test_the_best_is_a_mean_with_its_spread_and_says_how_it_was_chosen(report: Report) -> None:
    facts = dict(report.facts)
    assert facts["best test error"].startswith("8.38 +- 0.04 % (n = 2): ResNet-preact-20, batch size 1024, lr 0.8")
    assert "selected on the test set" in facts["how it was chosen"]


def test_the_table_has_the_published_columns_and_a_row_a_configuration(report: Report) -> None:
    headers = [column.header for column in report.table.columns]
    assert headers[:5] == ["Model", "batch size", "initial lr", "lr schedule", "# of Epochs"]
    assert {"n", "mean +- std"} < set(headers)
    assert [row[1] for row in report.table.rows] == ["4096", "2048", "1024", "512"]


def test_the_best_row_is_marked_in_both_forms(quickstart: Report) -> None:
    assert render_html(quickstart, {}).count("<strong>0.28</strong>") == 1
    assert render_markdown(quickstart).count("**0.28**") == 1


def test_a_row_leads_to_its_trial_and_with_repeats_to_their_list(report: Report, quickstart: Report) -> None:
    groups = report.trials.groups
    assert report.table.anchors[:3] == [group.anchor for group in groups[:3]] == ["runs-1", "runs-2", "runs-3"]
    assert report.table.anchors[3] == groups[3].trial_anchors[0]  # of its two trials one has begun
    assert quickstart.table.anchors == [group.trial_anchors[0] for group in quickstart.trials.groups]


def test_the_comparison_names_the_reference_warns_and_leads_to_the_runs(report: Report) -> None:
    assert report.references == ["linear_scaling_cosine: 4 of its 10 configurations in this sweep"]
    assert report.comparison is not None
    assert "NOT COMPARABLE" in report.comparison.warnings[0]
    assert [cell.published.configuration.batch_size for cell in report.comparison.cells] == [4096, 2048, 1024, 512]
    assert report.comparison_anchors == report.table.anchors


def test_there_is_no_comparison_without_a_published_configuration(quickstart: Report) -> None:
    assert (quickstart.comparison, quickstart.references) == (None, [])


def test_failures_are_listed_with_their_error_and_their_epochs(report: Report) -> None:
    assert [(item.status, item.error) for item in report.failures] == [("diverged", ""), ("failed", ERROR)]
    assert report.failures[0].progress.startswith("3 of 200 epochs, training loss 0.3333")
    assert {item.anchor for item in report.failures} < {
        a for group in report.trials.groups for a in group.trial_anchors
    }


def test_what_trials_share_is_listed_once_and_what_differs_is_a_column(report: Report) -> None:
    shared = dict(report.trials.shared)
    headers = [column.header for column in report.trials.columns]
    assert shared["versions"] == "python 3.11, torch 2.0"
    assert (shared["device"], shared["precision used"], shared["threads"]) == ("a processor", "fp32", "1")
    assert {"start (UTC)", "end (UTC)", "batch_size", "lr", "seed", "variables"} < set(headers)
    assert not set(shared) & set(headers)


def test_what_is_the_same_in_all_rows_takes_no_column(quickstart: Report) -> None:
    shared = dict(quickstart.trials.shared)
    assert (shared["status"], shared["epochs done"], shared["attempts"]) == ("complete", "10", "1")
    assert [column.header for column in quickstart.trials.columns] == [
        *("trial", "test error %", "median of last 5", "training", "evaluation", "images/s"),
        *("start (UTC)", "end (UTC)", "batch_size", "lr"),
    ]


def test_each_trial_is_one_row_below_its_configuration(report: Report) -> None:
    rows = report.trials.rows
    anchors = [anchor for group in report.trials.groups for anchor in group.trial_anchors]
    assert anchors == [f"trial-{row[0]}" for row in rows]
    assert len(set(anchors)) == 7


def test_the_last_error_of_a_failed_trial_is_no_result(report: Report) -> None:
    column = next(column for column in report.trials.columns if column.header == "test error %")
    assert column.values == ["10.57", "10.71", "8.87", "-", "8.40", "8.35", "-"]


def test_lint_findings_are_those_of_the_command(quickstart: Report) -> None:
    assert [finding.rule for finding in quickstart.findings] == ["edge optimum"] * 3


def test_the_report_needs_the_parquet_files_alone(report: Report, tmp_path: Path) -> None:
    assert report.description.startswith(SCRIPT)
    assert not (tmp_path / "ledgers").exists()
    assert [name for name, _ in report.facts if name == "set on the command line"]


@pytest.mark.parametrize("text", ["{: [", "just words"])
def test_a_damaged_space_costs_its_description_only(text: str) -> None:
    store = LocalStore(ROOT / "results" / "examples")
    trials = read_trials(store, "quickstart")
    metadata = trials.schema.metadata | {b"batchscape.space": text.encode()}
    damaged = make_report(trials.replace_schema_metadata(metadata), read_epochs(store, "quickstart"), "quickstart")
    assert (damaged.description, damaged.space) == ("", text)
    assert len(damaged.table.rows) == 9


def test_a_report_of_a_sweep_without_trials() -> None:
    store = LocalStore(ROOT / "results" / "examples")
    nothing = make_report(
        read_trials(store, "quickstart").slice(0, 0), read_epochs(store, "quickstart").slice(0, 0), "quickstart"
    )
    assert dict(nothing.facts)["trials"] == "9 planned: 9 not started"
    assert (nothing.trials.groups, nothing.trials.rows, nothing.failures) == ([], [], [])


def test_values_are_plain() -> None:
    assert [plain(value) for value in (None, "", True, 0.1 + 0.2, (0.5, 0.75), 3)] == [
        "-",
        "-",
        "yes",
        "0.3",
        "0.5 0.75",
        "3",
    ]
    assert named_values('{"b": 0.1, "a": null}') == "b 0.1, a -"
    assert (named_values("{}"), moment(None)) == ("-", "-")


def test_equal_tables_give_equal_reports(quickstart: Report) -> None:
    store = LocalStore(ROOT / "results" / "examples")
    again = make_report(read_trials(store, "quickstart"), read_epochs(store, "quickstart"), "quickstart")
    assert dataclasses.asdict(again.trials) == dataclasses.asdict(quickstart.trials)
    assert again == quickstart


def test_a_configuration_is_told_with_what_the_sequel_changes() -> None:
    (cell,) = group_repeats([make_trial(make_config(lr=0.02, batch_size=4096, optimizer="lars"), 8.2)])
    assert config_words(cell) == "ResNet-preact-20, batch size 4096, lr 0.02, cosine, 200 epochs, LARS"
    (warm,) = group_repeats([make_trial(make_config(warmup_epochs=5, label_smoothing=0.1), 8.0)])
    words = "warmup_epochs 5, label_smoothing 0.1"
    assert config_words(warm) == f"ResNet-preact-20, batch size 128, lr 0.1, cosine, 200 epochs, {words}"
    assert [row.protocol.variant for row in rows_of_cells([warm])] == [words]


def test_what_the_results_mean_is_in_both_forms() -> None:
    folder = ROOT / "results" / "examples" / "batch_and_rate"
    trials, epochs = (read(LocalStore(folder), "batch_and_rate") for read in (read_trials, read_epochs))
    report = make_report(trials, epochs, "batch_and_rate")
    assert report.insight is not None
    (group,) = report.insight.groups
    html, markdown = render_html(report, {}), render_markdown(report)
    assert "## What it means\n\n### ResNet-preact-8, cosine, 8 epochs (held-out error, 50 runs)" in markdown
    assert len(group.sentences) > 5
    for sentence in group.sentences:
        assert str(escape(sentence.text)) in html
        assert escaped(sentence.text) in markdown


def test_nothing_is_said_where_the_errors_tell_of_no_best_rate(report: Report) -> None:
    assert report.insight is None
    assert "What it means" not in render_html(report, {}) + render_markdown(report)


def test_text_of_the_sections_is_escaped(report: Report) -> None:
    sentence = Sentence(SCRIPT, SCRIPT)
    table = LinkedTable([Column(SCRIPT, "left", [SCRIPT])], [None])
    section = InsightSection([InsightGroup(SCRIPT, (SCRIPT,), [sentence], table)], [(SCRIPT, sentence)], 1, "")
    html = render_html(dataclasses.replace(report, insight=section), {})
    assert html.count(str(escape(SCRIPT))) >= 9
    assert SCRIPT not in html
