"""What a group of runs tells, in plain sentences: each with its numbers and the reason why it can be said."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from results.insight.findings import Critical, Insight
from results.insight.groups import LEFT_OUT, Error
from results.insight.law import LINEAR, SQUARE_ROOT, Band, Law, Preferred, Verdict
from results.insight.noise import detectable_difference, runs_needed
from results.insight.optima import (
    BETTER_THAN_CHANCE,
    OPEN_ON_BOTH_SIDES,
    TOO_FEW_RATES,
    WITHIN_NOISE,
    Optimum,
    Status,
)
from results.insight.regret import Regret, Rule
from results.insight.runs import Noise
from trainable.grouping import grouped
from trainable.rounding import round_significant
from trainable.wording import counted

LINEAR_RULE = "the linear rule (twice the batch, twice the rate)"
ROOT_RULE = "the square-root rule (four times the batch, twice the rate)"
LINEAR_RULE = "the linear rule (twice the batch, twice the rate)"
ROOT_RULE = "the square-root rule (four times the batch, twice the rate)"
MANY_DEGREES = 10_000
"""Degrees of freedom at which Student's t is the normal distribution, for a variance taken as known."""
REMEDIES = {
    TOO_FEW_RATES: "try 3 or more, each twice the last",
    WITHIN_NOISE: "train more seeds, or rates farther apart",
    OPEN_ON_BOTH_SIDES: "train more seeds, or rates farther apart",
}
"""Reason why a best rate cannot be told -> what to do."""
MAX_P_VALUE = 0.05
ACTIONS = {
    Rule.LINEAR: "Doubling the rate with the batch",
    Rule.SQUARE_ROOT: "Doubling the rate with every fourfold batch",
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """Something that the runs tell, and why."""

    text: str
    why: str


def sentences(insight: Insight) -> list[Sentence]:
    """Return what a group tells about rates, rules and noise, the most useful first; nothing if it tells no rate."""
    if not insight.tells_rates:
        return []
    found = [*_law(insight.law), *_rules(insight), *_rates(insight.best.optima), *_costs(insight)]
    return [*found, *_noise(insight), *_components(insight)]


def nothing_told(insight: Insight) -> str:
    """Return in one line why a group tells no best rate."""
    reasons = grouped(insight.best.optima, lambda optimum: optimum.why)
    parts = [
        f"at batch size {_sizes(members)}: {why}{f' ({remedy})' if (remedy := _remedy(why)) else ''}"
        for why, members in reasons.items()
    ]
    told = f"no best rate can be told {'; '.join(parts)}" if parts else "no trial has a final error"
    return "; ".join([told, *(caution for caution in insight.cautions if LEFT_OUT in caution)])


def critical_sentence(critical: Critical) -> Sentence:
    """Return what groups that differ in their epochs alone tell of the largest batch that costs no more epochs."""
    found, budgets = critical.found, f"runs of {_list(map(str, critical.epochs))} epochs"
    if found.status is Status.INSIDE:
        span = f"({found.low:.0f} to {found.high:.0f})"
        text = f"Up to about {found.value:.0f} images {span} larger batches need hardly more epochs; beyond, they do."
        return Sentence(text, f"{found.why}; {budgets}")
    if found.status is Status.AT_MOST:
        return Sentence(f"Batches above {found.high:.0f} images need more epochs.", f"{found.why}; {budgets}")
    return Sentence("From which batch size on training needs more epochs cannot be told.", f"{found.why}; {budgets}")


def points(value: float) -> str:
    """Return a difference of errors in percentage points: `0.34`, `1.1`, `15`."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{round(value, 2):g}"


def rate(value: float) -> str:
    """Return a learning rate with two significant digits."""
    return f"{value:.2g}"


def band(found: Band | tuple[float, float]) -> str:
    """Return the ends of a band of rates or sizes: `0.38 to 0.94`."""
    low, high = (found.low, found.high) if isinstance(found, Band) else found
    return f"{rate(low)} to {rate(high)}"


def _law(law: Law | None) -> list[Sentence]:
    """Return how the best rate follows the batch size; the exponent is not told where it levels off."""
    if law is None:
        return []
    factor, sizes = law.levelling_factor, f"batch sizes {law.batch_sizes[0]} to {law.batch_sizes[-1]}"
    growth, low, high = (2**value for value in (law.exponent.value, law.exponent.low, law.exponent.high))
    exponent = f"exponent {law.exponent.value:.2f} ({law.exponent.low:.2f} to {law.exponent.high:.2f})"
    doubling = f"a factor of {growth:.2g} ({low:.2g} to {high:.2g})"
    if law.preferred is Preferred.LEVELLING:
        half = law.noise_batch_size
        text = (
            f"The best rate grows with the batch size, but levels off: lr = {rate(law.lr_max.value)} / "
            f"(1 + {half.value:.0f} / batch size). It never exceeds {rate(law.lr_max.value)} ({band(law.lr_max)}), "
            f"and is half of that at batch size {half.value:.0f} ({half.low:.0f} to {half.high:.0f})."
        )
        return [Sentence(text, f"{factor:.2g} times as likely as steady growth, over {sizes}")]
    if law.preferred is Preferred.POWER:
        text = f"The best rate grows steadily with the batch size: by {doubling} with each doubling."
        return [Sentence(text, f"{1 / factor:.2g} times as likely as levelling off, over {sizes}; {exponent}")]
    text = f"With each doubling of the batch the best rate grows by {doubling}; whether it levels off cannot be told."
    return [Sentence(text, f"neither law is over 3 times as likely as the other, over {sizes}; {exponent}")]


def _rules(insight: Insight) -> list[Sentence]:
    """Return whether the linear and the square-root rule may be used."""
    law = insight.law
    if law is None:
        return []
    linear, root = law.verdict(LINEAR), law.verdict(SQUARE_ROOT)
    why = f"95 % band over batch sizes {law.batch_sizes[0]} to {law.batch_sizes[-1]}"
    if linear is root is Verdict.REJECTED:
        text = f"Both {LINEAR_RULE} and {ROOT_RULE} are rejected: tune the rate at each batch size."
    elif root is Verdict.REJECTED:
        text = f"The square-root rule is rejected; {LINEAR_RULE} is compatible with these runs."
    elif linear is Verdict.REJECTED:
        average = ", but only on average, since the rate levels off" * (law.preferred is Preferred.LEVELLING)
        text = f"The linear rule is rejected; {ROOT_RULE} is compatible with these runs{average}."
    else:
        text = f"Whether {LINEAR_RULE} or {ROOT_RULE} holds cannot be told: tune the rate at each batch size."
        why = f"both lie inside the {why}; more batch sizes, farther apart, would tell"
    return [Sentence(text, why)]


def _rates(optima: Iterable[Optimum]) -> list[Sentence]:
    """Return which rates to use and which to try: one sentence for all that are known, and one for each bound."""
    groups = grouped(optima, lambda optimum: optimum.status)
    found = []
    if inside := groups.get(Status.INSIDE):
        known = (f"{rate(item.lr)} at batch {item.batch_size} ({band(item.told)})" for item in inside)
        head = "Best rate" if len(inside) == 1 else "Best rates"
        found.append(Sentence(f"{head}: {_list(known)}.", "95 % intervals, which lie between measured rates"))
    for status in (Status.AT_LEAST, Status.AT_MOST):
        if bounded := groups.get(status):
            found.append(Sentence(_bounds(bounded), bounded[0].why))
    for why, members in grouped(groups.get(Status.CANNOT_TELL, ()), lambda optimum: optimum.why).items():
        if why != TOO_FEW_RATES:  # a caution says it
            remedy = _remedy(why)
            text = f"At batch {_sizes(members)} the best rate cannot be told{': ' * bool(remedy)}{remedy}."
            found.append(Sentence(text, why))
    return found


def _bounds(optima: Sequence[Optimum]) -> str:
    """Return the bounds of best rates beyond the measured ones, and the rates to try."""
    bounds = []
    for item in optima:
        low, high = item.measured_low, item.measured_high
        if item.status is Status.AT_LEAST:
            bound, first, second, is_far = item.low, 2 * high, 4 * high, item.high > 2 * high
        else:
            bound, first, second, is_far = item.high, low / 2, low / 4, item.low < low / 2
        tries = [first, second] if is_far else [first]
        bounds.append((item.batch_size, f"{item.status} {rate(bound)}", _list(map(rate, tries))))
    if len(bounds) == 1:
        ((batch_size, bound_text, to_try),) = bounds
        return f"At batch {batch_size} the best rate is {bound_text}: try {to_try}."
    return f"The best rate is {_list(f'{text} at batch {size} (try {to_try})' for size, text, to_try in bounds)}."


def _remedy(why: str) -> str:
    """Return what to do where a best rate cannot be told; empty if there is nothing to say."""
    if why.endswith(BETTER_THAN_CHANCE):
        return "try lower rates, or more epochs"
    return REMEDIES.get(why, "")


def _costs(insight: Insight) -> list[Sentence]:
    """Return what each rule costs where that is measured."""
    start = next((item for item in insight.best.optima if item.batch_size == insight.anchor), None)
    if start is None:
        return []
    origin = f"from {rate(start.lr)} at batch {start.batch_size}"
    return [
        sentence
        for rule, regrets in insight.regrets.items()
        for sentence in _cost(rule, [item for item in regrets if item.batch_size != start.batch_size], origin)
    ]


def _cost(rule: Rule, regrets: Iterable[Regret], origin: str) -> list[Sentence]:
    groups = grouped(regrets, lambda regret: regret.is_measured)
    if not (measured := groups.get(True)):
        return []
    worst = max(measured, key=lambda regret: (regret.low, regret.points))
    span = f"({points(worst.low)} to {points(worst.high)})"
    what = f"{ACTIONS[rule]}, {origin},"
    unknown = f"; its rates at batch {_sizes(groups[False])} were not measured" if False in groups else ""
    why = f"error at the rule's rates above the least error, 95 %{unknown}"
    if worst.low > 0:
        return [Sentence(f"{what} costs {points(worst.points)} points {span} at {worst.batch_size}.", why)]
    most = max(measured, key=lambda regret: regret.high)
    return [Sentence(f"{what} costs at most {points(most.high)} points, at {most.batch_size}; perhaps nothing.", why)]


def _noise(insight: Insight) -> list[Sentence]:
    """Return how large a difference must be before it counts; only repeats tell it."""
    noise, found = insight.seed_noise, insight.detectable()
    if found is None:
        text = "How large a difference must be before it counts is not known: train good settings with 3 seeds each."
        least = insight.components.low if insight.components and insight.group.error is Error.TEST else 0.0
        bound = f"; at the very least {points(_known_difference(least))} points, by the test images" * (least > 0)
        return [Sentence(text, f"no settings were trained with two seeds{bound}")]
    half = round_significant(found / 2, 1)
    needed = runs_needed(noise, half)
    more = f" To see {half:g} points, train {counted(needed, 'seed')} of each." if needed else ""
    deviation = points(math.sqrt(noise.variance))
    repeats = counted(noise.degrees_of_freedom, "repeat")
    why = f"{repeats} of good rates differ by a standard deviation of {deviation} points; found in 80 % of cases"
    return [
        Sentence(
            f"One run of each shows differences above {points(found)} points; smaller ones may be chance.{more}", why
        )
    ]


def _known_difference(variance: float) -> float:
    return detectable_difference(Noise(variance, MANY_DEGREES), 1)


def _components(insight: Insight) -> list[Sentence]:
    """Return whether a larger test set would make runs agree better."""
    found = insight.components
    if found is None or not found.seeds.degrees_of_freedom or not found.test_set:
        return []
    why = f"variance of the test error between seeds over that of images missed at random: {found.ratio:.2g}"
    if found.p_value < MAX_P_VALUE:
        return [Sentence("Seeds differ in quality, not only on single test images: average over seeds.", why)]
    return [Sentence("Seeds differ no more than a test set of this size explains: a larger one would help.", why)]


def _sizes(items: Iterable[Optimum | Regret]) -> str:
    return _list(str(item.batch_size) for item in items)


def _list(parts: Iterable[str]) -> str:
    """Return `a`, `a and b` or `a, b and c`."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
