"""What the published sequel shows by itself."""

import json
import math

import pytest

import tune_main
from results.published.cells import MEDIAN_VARIANCE
from results.statistics.matching import published_configurations
from results.statistics.noise import binomial_variance
from results.statistics.sequel import QUESTIONS, Answer, effect, question_pairs, sequel_answers
from results.statistics.sequel_text import render_answers
from results.statistics.verdicts import t_quantile
from tests.refusals import refused

ANSWERS = sequel_answers()
LARS, GHOST, NO_DECAY, MIXED, FP16 = ANSWERS.answers


def effects(answer: Answer) -> dict[tuple[int, int, float], str]:
    configurations = [pair.changed.configuration for pair in answer.pairs]
    keys = [(item.batch_size, item.epochs, item.weight_decay) for item in configurations]
    return {key: effect(test) for key, test in zip(keys, answer.tests, strict=True)}


def test_lars_is_better_where_batches_are_large() -> None:
    assert [(pair.changed.configuration.batch_size, pair.num_without, pair.num_changed) for pair in LARS.pairs] == [
        *((4096, 3, 6), (2048, 5, 4), (1024, 7, 3), (512, 4, 5), (256, 5, 3), (128, 7, 3)),
        *((4096, 1, 1), (4096, 2, 1), (4096, 1, 1)),
    ]
    found = effects(LARS)
    assert {key[:2] for key, word in found.items() if word == "better"} == {
        (4096, epochs) for epochs in (200, 400, 800, 1600)
    }
    assert set(found.values()) == {"better", "cannot tell"}
    assert LARS.averages == ()


def test_the_other_questions() -> None:
    assert set(effects(GHOST).values()) == {"cannot tell"}
    assert {key for key, word in effects(NO_DECAY).items() if word == "better"} == {
        (4096, 200, decay) for decay in (5e-4, 4e-4, 3e-4)
    }
    assert (len(NO_DECAY.pairs), NO_DECAY.averages) == (15, ())
    assert (set(effects(MIXED).values()), len(MIXED.pairs)) == ({"cannot tell"}, 7)
    assert {key[0] for key, word in effects(FP16).items() if word == "worse"} == {1024, 2048, 4096, 8192}


def test_ghost_batch_norm_helps_in_short_trainings_only() -> None:
    """The average over both lengths would be -0.14 [-0.32, +0.03], which hides two effects."""
    assert [(item.epochs, effect(item.test)) for item in GHOST.averages] == [(200, "better"), (1600, "cannot tell")]
    short, long = (item.test for item in GHOST.averages)
    assert (round(short.points, 2), round(long.points, 2)) == (-0.43, 0.24)
    assert short.p_differs == pytest.approx(2 * 0.0010, rel=0.1)  # of two averages
    assert [(item.epochs, effect(item.test)) for item in MIXED.averages] == [(200, "no difference")]
    text = render_answers(ANSWERS, "markdown")
    assert "Average at 200 epochs: -0.43 [-0.66, -0.21], better" in text
    assert "Taken together, the rows disagree (p = 0.011)." in text
    assert (text.count("No average: single rows differ"), text.count("No average: each side has its own")) == (2, 1)


def test_an_average_of_rows_that_disagree_is_never_called_no_difference() -> None:
    """At a level of 10 % the rows of mixed precision disagree."""
    assert "-0.02 [-0.17, +0.14], no difference (rows equal: p = 0.093)." in render_answers(ANSWERS, "markdown")
    assert ", the rows disagree (p = 0.093)." in render_answers(sequel_answers(alpha=0.1), "markdown")


def test_a_difference_by_hand() -> None:
    """4096 and lr 1.6 for 200 epochs: 10.32, 9.88 and the median 10.20; 9.73 with ghost batch norm, once."""
    pair, test = GHOST.pairs[1], GHOST.tests[1]
    before = (10.32 + 10.20 + 9.88) / 3
    variance = binomial_variance(before, 10_000) * (2 + MEDIAN_VARIANCE[3]) / 9 + binomial_variance(9.73, 10_000)
    assert (pair.without.num_runs, pair.changed.num_runs) == (5, 1)
    assert test.points == pytest.approx(9.73 - before)
    assert test.standard_error == pytest.approx(math.sqrt(ANSWERS.dispersion.factor * variance))
    reach = t_quantile(0.975, 14) * test.standard_error
    assert test.interval == pytest.approx((test.points - reach, test.points + reach))


def test_no_other_learning_rate_of_the_worse_side_is_nearer() -> None:
    """What the correction for the choice of learning rates rests on."""
    published = published_configurations()
    for pair, test in zip(LARS.pairs, LARS.tests, strict=True):
        if effect(test) != "better":
            continue
        without = pair.without.configuration
        rivals = [
            item
            for item in published
            if item.configuration._replace(lr=without.lr) == without and item.configuration.lr != without.lr
        ]
        assert len(rivals) == pair.num_without - 1
        new, nearest = pair.changed, abs(test.points) / test.standard_error
        for rival in rivals:
            binomials = [
                binomial_variance(item.test_error_percent, 10_000) * item.variance_factor for item in (new, rival)
            ]
            error = math.sqrt(ANSWERS.dispersion.factor * sum(binomials))
            assert (rival.test_error_percent - new.test_error_percent) / error >= nearest


def test_only_what_is_asked_for_differs_within_a_pair() -> None:
    for question in QUESTIONS[1:]:
        for pair in question_pairs(question, published_configurations()):
            fields = zip(pair.without.configuration._asdict().items(), pair.changed.configuration, strict=True)
            assert {name for (name, before), after in fields if before != after} == set(question.changed)


def test_the_command_prints_the_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_main.main(["compare", "published", "--format", "json", "--margin", "2"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == sum(len(answer.pairs) for answer in ANSWERS.answers)
    assert {row["verdict"] for row in rows if row["question"].startswith("Mixed")} == {"no difference"}
    assert "compare published --table: needs a sweep" in refused(["compare", "published", "--table", "main"], capsys)
