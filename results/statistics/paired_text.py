"""Comparisons of sweeps, or of the arms of one, as Markdown, CSV and JSON."""

import dataclasses
import math
from collections import Counter

from results.parquet.axes import axis_value
from results.parquet.markdown import escaped
from results.parquet.trials import varying_fields
from results.statistics.compare import Difference
from results.statistics.comparison_text import disagreement, interval_text, signed
from results.statistics.paired import Average, ComparedPair, PairedComparison
from results.statistics.pairing import SWEEP, setting_in, setting_text
from results.statistics.sequel import effect
from results.statistics.verdicts import Verdict
from results.tables.layout import Column, csv_text, markdown_table, number_column, percent
from trainable.config import TrainConfig
from trainable.records import Status
from trainable.rounding import tidied
from trainable.wording import counted, json_text, listed

MOST_LISTED = 8
ORDER = ("better", "worse", "no difference", "cannot tell", Verdict.NO_RESULT)


def render_pairs(comparison: PairedComparison, form: str) -> str:
    """Return the comparison in one of `results.tables.layout.FORMATS`."""
    if form == "markdown":
        table = markdown_table(_columns(comparison))
        return table + "\n" + "".join(f"- {escaped(line)}\n" for line in pair_notes(comparison))
    rows = [_flat(comparison, compared) for compared in comparison.pairs]
    if form == "csv":
        return csv_text(rows)
    content = {
        **{name: getattr(comparison, name) for name in ("first", "by", "best", "margin_points", "alpha")},
        "seed_noise_factor": _number(comparison.excess.factor),
        "degrees_of_freedom": comparison.excess.degrees_of_freedom,
        "averages": [_average_json(average) for average in comparison.averages],
        "notes": pair_notes(comparison),
        "pairs": rows,
    }
    return json_text(content) + "\n"


def setting_names(comparison: PairedComparison) -> list[str]:
    """Return the fields that tell the first sides of the pairs from each other, if not all pairs differ in them."""
    pairs = [compared.pair for compared in comparison.pairs]
    names = varying_fields([pair.first.config for pair in pairs])
    return [name for name in names if name != comparison.best and any(pair.field != name for pair in pairs)]


def difference_words(compared: ComparedPair) -> str:
    """Return what sets both sides of a pair apart: `lr 0.2 instead of 0.1`, or `sweep`."""
    sides, name = _sides(compared), compared.pair.field
    if sides[0] == sides[1]:
        return name
    digits = 4 if len({setting_text(name, side, digits=4) for side in sides}) > 1 else None
    first, other = (setting_text(name, side, digits=digits) for side in sides)
    return f"{name} {other} instead of {first}"


def pair_title(comparison: PairedComparison, compared: ComparedPair) -> str:
    """Return the words for a pair in a figure: its arm, its settings and what sets its sides apart."""
    config = compared.pair.first.config
    words = [f"{name} {_value(config, name)}" for name in setting_names(comparison)]
    if comparison.best is not None:
        first, other = _best(comparison, compared)
        words.append(f"{comparison.best} {other} against {first}")
    if _tells_difference(comparison):
        words.append(difference_words(compared))
    return ", ".join([*[compared.arm] * _has_arms(comparison), *words]) or compared.arm


def arms_words(comparison: PairedComparison) -> str:
    """Return which arms are compared: `b, c against a`."""
    arms = listed(list(dict.fromkeys(compared.arm for compared in comparison.pairs)), MOST_LISTED)
    return f"{arms} against {comparison.first}"


def pair_notes(comparison: PairedComparison) -> list[str]:
    """Return the lines below the table: what is compared, counts, averages, noise, and what has no pair."""
    counts = Counter(str(compared.verdict) for compared in comparison.pairs)
    verdicts = ", ".join(f"{counts[word]} {word}" for word in ORDER if counts[word])
    sweep = "sweep " * (comparison.by == SWEEP)
    level = f"{100 * comparison.alpha:g} %"
    lines = [
        f"{sweep}{arms_words(comparison)}: test error of the other minus that of {comparison.first}, in "
        "points, for other seeds and other test images of the same kind",
        f"{verdicts}; margin {comparison.margin_points:g} points, chance of any wrong verdict of a kind at most "
        f"{level} (t tests, Holm); intervals allow for the noise but not for the number of rows",
    ]
    if comparison.best is not None:
        lines.append(f"each side at its best {comparison.best} of those tried; intervals and verdicts allow for it")
    lines += [_average_line(average, comparison.alpha) for average in comparison.averages]
    if any(compared.test for compared in comparison.pairs):
        lines.append(_noise_line(comparison))
    left_out = len(comparison.notes) - MOST_LISTED
    more = [f"and {counted(left_out, 'more note')} of this kind"] * (left_out > 0)
    return [*lines, *_seed_lines(comparison), *comparison.notes[:MOST_LISTED], *more]


def _average_line(average: Average, alpha: float) -> str:
    verdict = f"{effect(average.test)} on average, which says nothing about any single row"
    if average.p_equal <= alpha:
        verdict = disagreement(average.test, f"{effect(average.test)} on average", average.p_equal)
    mean = f"{signed(average.test.points)} points {interval_text(average.test)}"
    return f"{average.arm}: mean difference of {counted(average.num_pairs, 'pair')} {mean}: {verdict}"


def _noise_line(comparison: PairedComparison) -> str:
    excess = comparison.excess
    if not excess.degrees_of_freedom:
        return (
            "noise: one seed each, so that nothing tells how much equal runs differ: the true intervals are wider "
            "than these, which allow for the test images alone; repeats: 3 in the space adds seeds"
        )
    degrees = counted(excess.degrees_of_freedom, "degree of freedom", "degrees of freedom")
    return (
        f"noise: seeds differ by {excess.factor:.2g} times the variance that the test images explain ({degrees} over "
        "all pairs, at least 1 is taken)"
    )


def _seed_lines(comparison: PairedComparison) -> list[str]:
    unpaired = sum(compared.test is not None and not compared.is_paired for compared in comparison.pairs)
    left_out = sum(
        len(cell.finished) - len(runs)
        for compared in comparison.pairs
        for cell, runs in zip(compared.pair.sides, compared.runs, strict=True)
        if compared.is_paired
    )
    equal = sum(compared.has_equal_bits for compared in comparison.pairs)
    lines = []
    if equal:
        what = counted(equal, "pair gets", "pairs get")
        lines.append(f"{what} the very same test images right in every run, as repeats bit for bit do")
    if unpaired:
        what = counted(unpaired, "pair has", "pairs have")
        lines.append(f"{what} no seeds in common: paired over test images alone")
    if left_out:
        lines.append(f"{counted(left_out, 'run')} left out, whose seeds the other side lacks")
    return lines


def _columns(comparison: PairedComparison) -> list[Column]:
    pairs, best = comparison.pairs, comparison.best
    configs = [compared.pair.first.config for compared in pairs]
    first, other = zip(*(compared.errors for compared in pairs), strict=True)
    columns = [Column("compared", "left", [compared.arm for compared in pairs])] * _has_arms(comparison)
    for name in setting_names(comparison):
        columns.append(number_column(name, [_value(config, name) for config in configs]))
    if best is not None:
        sides = [_best(comparison, compared) for compared in pairs]
        columns += [
            Column(f"{best}, first", "left", [left for left, _ in sides]),
            Column(f"{best}, other", "left", [right for _, right in sides]),
        ]
    if _tells_difference(comparison):
        columns.append(Column("differs in", "left", [difference_words(compared) for compared in pairs]))
    columns += [
        Column(comparison.first, "right", [percent(error) for error in first]),
        Column("other" if _has_arms(comparison) else pairs[0].arm, "right", [percent(error) for error in other]),
        Column("n", "left", [_runs_text(compared) for compared in pairs]),
        Column("difference", "right", [signed(c.test.points if c.test else None) for c in pairs], stop=9),
        Column(f"{100 * (1 - comparison.alpha):g} % interval", "center", [interval_text(c.test) for c in pairs]),
        Column("verdict", "left", [str(compared.verdict) for compared in pairs]),
    ]
    notes = [_without_error(compared) for compared in pairs]
    return [*columns, *([Column("runs without error", "left", notes)] * any(notes))]


def _has_arms(comparison: PairedComparison) -> bool:
    """Return whether several arms are compared with the first."""
    return len({compared.arm for compared in comparison.pairs}) > 1


def _tells_difference(comparison: PairedComparison) -> bool:
    """Return whether pairs differ in something that the arms do not tell."""
    return comparison.by == SWEEP or any(compared.pair.field != comparison.by for compared in comparison.pairs)


def _value(config: TrainConfig, name: str) -> str:
    return setting_text(name, axis_value(config, name), digits=4)


def _sides(compared: ComparedPair) -> tuple[object, object]:
    """Return the values of both sides in the field in which they differ; None for equal settings."""
    pair, name = compared.pair, compared.pair.field
    if name == SWEEP:
        return None, None
    return setting_in(pair.first.trials[0], name), setting_in(pair.other.trials[0], name)


def _best(comparison: PairedComparison, compared: ComparedPair) -> tuple[str, str]:
    """Return the chosen value of each side and from how many: `0.1 (best of 3)`."""
    name = comparison.best or ""
    values = [setting_text(name, setting_in(cell.trials[0], name), digits=4) for cell in compared.pair.sides]
    first, other = (
        f"{value} (best of {number})" if number > 1 else value
        for value, number in zip(values, compared.pair.choices, strict=True)
    )
    return first, other


def _runs_text(compared: ComparedPair) -> str:
    """Return `3` for runs with common seeds, `3, 5` for others."""
    first, other = map(len, compared.runs)
    return f"{first}" if compared.is_paired else f"{first}, {other}"


def _without_error(compared: ComparedPair) -> str:
    """Return the states of both sides' runs that have no final error: `other: 2 diverged`."""
    words = []
    for side, cell in zip(("first", "other"), compared.pair.sides, strict=True):
        counts = Counter(trial.row.status.lower() for trial in cell.trials if trial.status is not Status.COMPLETE)
        if counts:
            words.append(f"{side}: {', '.join(f'{number} {status}' for status, number in counts.items())}")
    return "; ".join(words)


def _flat(comparison: PairedComparison, compared: ComparedPair) -> dict[str, object]:
    pair, test = compared.pair, compared.test
    first, other = _sides(compared)
    chosen = {
        f"{side}_{name}": setting_in(cell.trials[0], name)
        for name in filter(None, [comparison.best])
        for side, cell in zip(("first", "other"), pair.sides, strict=True)
    }
    return {
        "first": comparison.first,
        "other": compared.arm,
        "differs_in": pair.field,
        "first_value": first,
        "other_value": other,
        **{name: axis_value(pair.first.config, name) for name in setting_names(comparison)},
        **chosen,
        "num_choices_first": pair.choices[0],
        "num_choices_other": pair.choices[1],
        "first_error_percent": tidied(compared.errors[0]),
        "other_error_percent": tidied(compared.errors[1]),
        "num_runs_first": len(compared.runs[0]),
        "num_runs_other": len(compared.runs[1]),
        "paired_over_seeds": compared.is_paired,
        **_test_json(test),
        "verdict": str(compared.verdict),
        "note": _without_error(compared),
    }


def _test_json(test: Difference | None) -> dict[str, object]:
    values = dataclasses.asdict(test) if test else {}
    low, high = test.interval if test else (None, None)
    found = {
        "difference_points": values.get("points"),
        "standard_error_points": values.get("standard_error"),
        "interval_low": low,
        "interval_high": high,
        "p_differs": values.get("p_differs"),
        "p_no_difference": values.get("p_reproduced"),
    }
    return {name: tidied(value) for name, value in found.items()}


def _average_json(average: Average) -> dict[str, object]:
    return {
        "other": average.arm,
        "num_pairs": average.num_pairs,
        **_test_json(average.test),
        "verdict": effect(average.test),
        "p_equal": tidied(average.p_equal),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
