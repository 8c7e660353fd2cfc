"""The answers that the published sequel gives, as Markdown, CSV and JSON, and in docs/published-tables.md."""

import math

from results.published.cells import Configuration
from results.published.recipe import published_recipe
from results.statistics.compare import Difference
from results.statistics.comparison_text import disagreement, interval_text
from results.statistics.matching import Published
from results.statistics.sequel import Answer, Pair, SequelAnswers, effect, sequel_answers
from results.tables.layout import Column, markdown_table, percent, rows_text
from trainable.reference_pages import refreshed
from trainable.rounding import tidied_results
from trainable.wording import counted


def render_answers(answers: SequelAnswers, form: str) -> str:
    """Return the answers in one of `results.tables.layout.FORMATS`."""
    if form == "markdown":
        sections = [_section(answer, answers.alpha) for answer in answers.answers]
        return "\n".join([*sections, "".join(f"- {note}\n" for note in _notes(answers))])
    rows = [
        tidied_results(_flat(answer, pair, test))
        for answer in answers.answers
        for pair, test in zip(answer.pairs, answer.tests, strict=True)
    ]
    return rows_text(rows, form)


def refresh(page: str) -> str:
    """Return docs/published-tables.md with the answers as the published rows give them."""
    return refreshed(page, {"sequel": render_answers(sequel_answers(), "markdown")})


def _section(answer: Answer, alpha: float) -> str:
    table = markdown_table(_columns(answer))
    return f"**{answer.question.title}**\n\n{table}\n{' '.join(_averages(answer, alpha))}\n"


def _averages(answer: Answer, alpha: float) -> list[str]:
    """Return a sentence for each number of epochs, and one on whether these may be taken together; or why not."""
    if not answer.averages:
        reason = "each side has its own best lr" if answer.question.best_lr else "single rows differ already"
        return [f"No average: {reason}."]
    sentences = []
    for average in answer.averages:
        verdict = f"{effect(average.test)} (rows equal: p = {average.p_equal:.2g})"
        if average.p_equal <= alpha:
            verdict = disagreement(average.test, effect(average.test), average.p_equal)
        found = f"{average.test.points:+.2f} {interval_text(average.test)}, {verdict}"
        sentences.append(f"Average at {counted(average.epochs, 'epoch')}: {found}.")
    if len(answer.averages) > 1 and answer.p_equal <= alpha:
        sentences.append(f"Taken together, the rows disagree (p = {answer.p_equal:.2g}).")
    return sentences


def _columns(answer: Answer) -> list[Column]:
    pairs, tests = answer.pairs, answer.tests
    configurations = [pair.changed.configuration for pair in pairs]
    columns = [
        Column("batch size", "right", [str(item.batch_size) for item in configurations], stop=7),
        Column("epochs", "right", [str(item.epochs) for item in configurations], stop=6),
    ]
    if len({item.weight_decay for item in configurations}) > 1:
        columns.append(Column("weight decay", "right", [f"{item.weight_decay:g}" for item in configurations], stop=9))
    if answer.question.best_lr:
        without = [_chosen(pair.without.configuration, pair.num_without) for pair in pairs]
        changed = [_chosen(pair.changed.configuration, pair.num_changed) for pair in pairs]
        columns += [Column("lr without", "left", without), Column("lr with", "left", changed)]
    return [
        *columns,
        Column("without", "right", [_error(pair.without) for pair in pairs], stop=9),
        Column("with", "right", [_error(pair.changed) for pair in pairs], stop=9),
        Column("difference", "right", [f"{test.points:+.2f}" for test in tests], stop=8),
        Column("interval", "center", [interval_text(test) for test in tests]),
        Column("verdict", "left", [effect(test) for test in tests]),
    ]


def _chosen(configuration: Configuration, number: int) -> str:
    return f"{configuration.lr!r} of {number}"


def _error(published: Published) -> str:
    return f"{percent(published.test_error_percent)} ({published.num_runs})"


def _notes(answers: SequelAnswers) -> list[str]:
    dispersion = answers.dispersion
    deviation = math.sqrt(dispersion.run_variance(8, published_recipe().num_test_images))
    level = f"{100 * (1 - answers.alpha):g} %"
    return [
        "test errors in %, in parentheses the number of published runs behind each; lr `1.6 of 3`: the best of three",
        f"differences in points, with {level} intervals, which allow for the choice of the best lr but not for the "
        "number of rows; the verdicts allow for both, so that a row may be undecided whose interval excludes 0",
        f"*no difference*: a difference of {answers.margin_points:g} points or more is rejected; chance of any "
        f"wrong verdict of a kind in a table at most {100 * answers.alpha:g} % (t tests, Holm)",
        "averages: each row has the same weight; *rows equal*: p value of an F test of equal differences, where at "
        f"{answers.alpha:g} or less the rows *disagree*",
        f"noise: a run's variance is {dispersion.factor:.2f} times the binomial variance ({deviation:.2f} points at "
        f"an error of 8 %), estimated with {dispersion.degrees_of_freedom} degrees of freedom from "
        f"{counted(answers.num_repeated, 'published configuration')} with repeats",
    ]


def _flat(answer: Answer, pair: Pair, test: Difference) -> dict[str, object]:
    changed, without = pair.changed, pair.without
    return {
        "question": answer.question.title,
        **changed.configuration._asdict(),
        "lr_without": without.configuration.lr,
        "num_lrs": pair.num_changed,
        "num_lrs_without": pair.num_without,
        "test_error_percent": changed.test_error_percent,
        "num_runs": changed.num_runs,
        "test_error_percent_without": without.test_error_percent,
        "num_runs_without": without.num_runs,
        "difference_points": test.points,
        "standard_error_points": test.standard_error,
        "interval_low": test.interval[0],
        "interval_high": test.interval[1],
        "p_differs": test.p_differs,
        "p_no_difference": test.p_reproduced,
        "verdict": effect(test),
    }
