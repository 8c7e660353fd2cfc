"""What a careful reader finds in the published tables, the lint finds too, and nothing else."""

import re
from collections import Counter

import pytest

import tune_main
from results.lint.rows import Finding, LintRow, Rule, Severity, rows_of_published
from results.lint.rules import lint
from results.published.cells import LONGER_FILE, SEQUEL_FILE, all_cells, published_cells

SEED_ROWS = rows_of_published(published_cells())
ALL_ROWS = [*SEED_ROWS, *rows_of_published(published_cells(LONGER_FILE))]


def found(rule: Rule, rows: list[LintRow] = SEED_ROWS) -> list[Finding]:
    return [finding for finding in lint(rows) if finding.rule is rule]


def test_nothing_but_what_is_listed_below() -> None:
    assert Counter(finding.rule for finding in lint(SEED_ROWS)) == {
        Rule.OFF_RULE_LR: 1,
        Rule.REPEAT: 2,
        Rule.NEAR_DIVERGENCE: 1,
        Rule.EDGE_OPTIMUM: 2,
        Rule.SINGLE_LR: 1,
        Rule.TIMES: 2,
        Rule.LR_SCALING: 1,
    }


def test_both_repeats() -> None:
    assert [{row.configuration[1:] for row in finding.rows} for finding in found(Rule.REPEAT)] == [
        {(2048, 1.6)},
        {(1024, 0.8)},
    ]
    first, second = found(Rule.REPEAT)
    assert "8.73 and 8.87 %: 0.14 points" in first.message
    assert "8.08 and 8.40 %: 0.32 points" in second.message


def test_the_slipped_digit() -> None:
    (finding,) = found(Rule.OFF_RULE_LR)
    assert finding.severity is Severity.ERROR
    assert {(row.batch_size, row.lr, row.protocol.schedule) for row in finding.rows} == {
        (8, 0.006125, "cosine"),
        (8, 0.006125, "multistep"),
    }
    assert "gives 0.00625: -2.0 %" in finding.message
    assert "6125 for 625" in finding.message


def test_the_near_divergence() -> None:
    (finding,) = found(Rule.NEAR_DIVERGENCE)
    (row,) = finding.rows
    assert (row.batch_size, row.protocol.schedule, row.test_error_percent) == (4096, "multistep", 28.97)
    assert "10.57 % with cosine" in finding.message


def test_optima_at_the_edge_of_their_grids() -> None:
    edges = {
        (finding.rows[0].batch_size, finding.rows[0].protocol.epochs): finding for finding in found(Rule.EDGE_OPTIMUM)
    }
    assert set(edges) == {(64, 200), (128, 800)}
    assert "largest, 0.4 (7.42 %, 0.2 has 7.52 %)" in edges[64, 200].message
    assert "smallest, 0.1 (6.68 %, 0.2 has 7.05 %)" in edges[128, 800].message


def test_batch_sizes_with_one_learning_rate() -> None:
    (finding,) = found(Rule.SINGLE_LR)
    assert {(row.batch_size, row.lr) for row in finding.rows} == {(8, 0.006125), (16, 0.0125)}


def test_times_that_disagree() -> None:
    times = {finding.rows[0].batch_size: finding.message for finding in found(Rule.TIMES)}
    assert set(times) == {32, 64}
    assert "(43m for 200 epochs), 19.5 to 20.4 s per epoch in 3 rows (1h05m to 1h08m for 200 epochs)" in times[32]
    assert "(28m for 200 epochs), 10.5 to 11.1 s per epoch in 3 rows (35m to 37m for 200 epochs)" in times[64]


def test_the_best_lr_does_not_grow_linearly() -> None:
    (finding,) = found(Rule.LR_SCALING)
    law, _, verdicts = finding.message.partition(" over 8 batch sizes: ")
    told = re.fullmatch(
        r"best lr levels off at (.+) \(95 % .*\), half of which is best for batch size (.+) \(.*\),", law
    )
    assert told is not None
    assert [float(value) for value in told.groups()] == [pytest.approx(2.6, rel=0.05), pytest.approx(520, rel=0.05)]
    assert verdicts.startswith("the linear rule (Goyal et al. 2017) is rejected, the square-root rule ")
    assert "is not rejected" in verdicts


def test_the_further_tables_add_repeats_and_times() -> None:
    repeats = {
        (row.protocol.epochs, row.batch_size) for finding in found(Rule.REPEAT, ALL_ROWS) for row in finding.rows
    }
    assert repeats == {(200, 2048), (200, 1024), (800, 2048), (800, 1024)}
    assert {finding.rows[0].batch_size for finding in found(Rule.TIMES, ALL_ROWS)} == {8, 16, 32, 64}
    assert len(found(Rule.OFF_RULE_LR, ALL_ROWS)[0].rows) == 4


def test_what_the_sequel_has_of_its_own() -> None:
    findings = lint(rows_of_published(published_cells(SEQUEL_FILE)))
    texts = {rule: [finding.message for finding in findings if finding.rule is rule] for rule in Rule}
    assert {rule: len(messages) for rule, messages in texts.items() if messages} == {
        Rule.REPEAT: 7,
        Rule.NEAR_DIVERGENCE: 3,
        Rule.EDGE_OPTIMUM: 1,
        Rule.SINGLE_LR: 1,
        Rule.LR_SCALING: 2,
    }
    assert "9.88 and 10.20 and 10.32 %" in texts[Rule.REPEAT][0]
    assert all("fp16 precision" in message for message in texts[Rule.NEAR_DIVERGENCE])
    assert "batch size 128 (ResNet-preact-20, cosine, 200 epochs, LARS): the best of 3" in texts[Rule.EDGE_OPTIMUM][0]
    assert "batch size 8192: 1.6" in texts[Rule.SINGLE_LR][0]
    assert "^ 0.53 (95 % 0.42 to 0.64) over 6 batch sizes" in texts[Rule.LR_SCALING][1]


def test_the_command_prints_a_line_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_main.main(["lint", "published"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    findings = lint(rows_of_published(all_cells()))
    assert [line.endswith(finding.message) for line, finding in zip(lines, findings, strict=True)] == [True] * len(
        findings
    )
    assert lines[0].startswith("error ")
    assert last == f"{len(findings)} findings in 244 rows"
