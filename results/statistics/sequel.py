"""What the published sequel shows by itself: each remedy for large batches beside the runs without it.

The tests are those of `results.statistics.compare`, with the noise of the published repeats. Where each side is
represented by the best of its learning rates, p values and intervals allow for that choice. That the best of m rates
beats every rate of the other side has m times the largest p value against one of them (Bonferroni over the m), and an
end of the interval has 1/m of its share of alpha. Since the best rate may also be the one with the most runs, each
side is taken to be as noisy as its rate with the fewest.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from results.published.cells import Configuration
from results.published.recipe import published_recipe
from results.statistics.compare import Difference, judged_family, rows_equal_p
from results.statistics.matching import Published, published_configurations, published_repeats
from results.statistics.noise import Dispersion, pooled_dispersion
from results.statistics.verdicts import Verdict
from trainable.grouping import grouped

DEFAULTS = Configuration._field_defaults


@dataclass(frozen=True, slots=True)
class Question:
    """A change of the recipe whose effect the published rows show."""

    title: str
    changed: Mapping[str, object]
    """Fields of `Configuration` -> values with the change; the other side has the default values."""
    best_lr: bool = False
    """Whether each side is represented by the best of its learning rates; otherwise both have the same one."""


QUESTIONS = (
    Question("LARS instead of SGD, each at its best lr", MappingProxyType({"optimizer": "lars"}), best_lr=True),
    Question("Ghost batch norm over 128 images", MappingProxyType({"ghost_batch_size": 128})),
    Question("No weight decay on batch norms", MappingProxyType({"weight_decay_on_bn": False})),
    Question("Mixed precision instead of fp32", MappingProxyType({"precision": "mixed"})),
    Question("Pure fp16 instead of fp32", MappingProxyType({"precision": "fp16"})),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """The best published configurations without and with a change."""

    without: Published
    changed: Published
    num_without: int
    """Number of learning rates of which `without` has the best."""
    num_changed: int
    variance_factors: tuple[float, float]
    """Largest variance of both sides' errors, without and with the change, divided by that of a single run."""

    @property
    def points(self) -> float:
        """Error with the change minus error without it."""
        return self.changed.test_error_percent - self.without.test_error_percent


@dataclass(frozen=True, slots=True)
class Average:
    """The mean difference of the pairs with one number of epochs; those of all numbers are a family of tests."""

    epochs: int
    test: Difference
    p_equal: float
    """p value of 'the differences of these pairs are equal'."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The pairs of a question, a family of tests, each with its difference."""

    question: Question
    pairs: tuple[Pair, ...]
    tests: tuple[Difference, ...]
    averages: tuple[Average, ...]
    """One per number of epochs; none where learning rates were chosen or single rows differ."""
    p_equal: float
    """p value of 'the differences of all pairs are equal'."""


@dataclass(frozen=True, slots=True)
class SequelAnswers:
    """The answers to all questions, and what the tests assume."""

    margin_points: float
    alpha: float
    dispersion: Dispersion
    num_repeated: int
    """Number of published configurations with repeats, from which the noise is estimated."""
    answers: tuple[Answer, ...]


def sequel_answers(margin: float = 0.5, alpha: float = 0.05) -> SequelAnswers:
    """Answer all questions; `margin` and `alpha` are those of `compare`."""
    repeats = published_repeats(published_recipe())
    dispersion = pooled_dispersion(repeats)
    published = published_configurations()
    answers = []
    for question in QUESTIONS:
        pairs = question_pairs(question, published)
        errors = [math.sqrt(_variance(pair, dispersion)) for pair in pairs]
        tests = judged_family(
            [pair.points for pair in pairs],
            errors,
            dispersion.degrees_of_freedom,
            margin=margin,
            alpha=alpha,
            choices=[(pair.num_without, pair.num_changed) for pair in pairs],
        )
        averages: list[Average] = []
        if not question.best_lr and not any(test.verdict is Verdict.DIFFERS for test in tests):
            averages = _averages(pairs, tests, dispersion, margin, alpha)
        answers.append(Answer(question, tuple(pairs), tuple(tests), tuple(averages), rows_equal_p(tests, dispersion)))
    return SequelAnswers(margin, alpha, dispersion, len(repeats), tuple(answers))


def question_pairs(question: Question, published: Sequence[Published]) -> list[Pair]:
    """Return the pairs of configurations that differ only in what the question changes."""
    ignored = {*question.changed, *(["lr"] if question.best_lr else [])}

    def shared(configuration: Configuration) -> tuple[object, ...]:
        return tuple(value for name, value in configuration._asdict().items() if name not in ignored)

    def side(values: Mapping[str, object]) -> dict[tuple[object, ...], list[Published]]:
        members = [
            item
            for item in published
            if all(getattr(item.configuration, name) == value for name, value in values.items())
        ]
        return grouped(members, lambda item: shared(item.configuration))

    without, changed = side({name: DEFAULTS[name] for name in question.changed}), side(question.changed)
    return [_pair(without[key], members) for key, members in changed.items() if key in without]


def _pair(without: Sequence[Published], changed: Sequence[Published]) -> Pair:
    """Return the best configurations of both sides."""
    noisiest = [max(item.variance_factor for item in items) for items in (without, changed)]
    return Pair(_best(without), _best(changed), len(without), len(changed), (noisiest[0], noisiest[1]))


def _best(items: Sequence[Published]) -> Published:
    return min(items, key=lambda item: item.test_error_percent)


def _variance(pair: Pair, dispersion: Dispersion) -> float:
    num_images = published_recipe().num_test_images
    errors = (pair.without.test_error_percent, pair.changed.test_error_percent)
    return sum(
        dispersion.run_variance(error, num_images) * factor
        for error, factor in zip(errors, pair.variance_factors, strict=True)
    )


def _averages(
    pairs: Sequence[Pair], tests: Sequence[Difference], dispersion: Dispersion, margin: float, alpha: float
) -> list[Average]:
    """Test the mean difference at each number of epochs."""
    groups = grouped(zip(pairs, tests, strict=True), lambda row: row[0].changed.configuration.epochs)
    members = [[test for _, test in rows] for rows in groups.values()]
    points = [statistics.fmean(test.points for test in rows) for rows in members]
    errors = [math.hypot(*(test.standard_error for test in rows)) / len(rows) for rows in members]
    means = judged_family(points, errors, dispersion.degrees_of_freedom, margin=margin, alpha=alpha)
    return [
        Average(epochs, mean, rows_equal_p(rows, dispersion))
        for epochs, mean, rows in zip(groups, means, members, strict=True)
    ]


def effect(test: Difference) -> str:
    """Return the verdict in words: better, worse, no difference, or cannot tell."""
    if test.verdict is Verdict.DIFFERS:
        return "better" if test.points < 0 else "worse"
    return "no difference" if test.verdict is Verdict.REPRODUCED else "cannot tell"
