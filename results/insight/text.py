"""What `insight` prints: cautions, sentences and a table for each group, or the same as JSON."""

import math
from collections.abc import Sequence
from typing import Any

from results.insight.findings import Findings, Insight
from results.insight.law import Band, Preferred
from results.insight.optima import Optimum, Status
from results.insight.regret import Regret, Rule
from results.insight.sentences import Sentence, band, critical_sentence, nothing_told, points, rate, sentences
from results.parquet.markdown import escaped
from results.tables.layout import Column, markdown_table
from trainable.rounding import tidied_results
from trainable.wording import counted, json_text

MAX_GROUPS = 3
"""Groups that are shown unless all are asked for."""


def insight_text(found: Findings, *, everything: bool = False, heading: str = "##") -> str:
    """Return the groups as Markdown.

    Args:
        found: what is told.
        everything: show every group, and why the others tell nothing.
        heading: marks of the headings.
    """
    telling = [insight for insight in found.insights if insight.tells_rates]
    shown = telling if everything else telling[:MAX_GROUPS]
    parts = [_group_text(insight, heading) for insight in shown]
    silent = [insight for insight in found.insights if not insight.tells_rates]
    if not telling:
        parts += [f"{_name(insight)}: {nothing_told(insight)}" for insight in silent[: None if everything else 1]]
        silent = silent[1:]
    elif everything:
        parts += ["\n".join(f"- {_name(insight)}: {nothing_told(insight)}" for insight in silent)] * bool(silent)
    parts += _critical_text(found, everything=everything)
    hidden = len(telling) - len(shown)
    more = [f"{counted(hidden, 'more group tells', 'more groups tell')} of best rates"] * bool(hidden)
    more += [
        f"{counted(len(silent), 'other group of settings tells', 'other groups of settings tell')} nothing"
    ] * bool(silent)
    if more and not everything:
        parts.append(f"{'; '.join(more)} (`insight --all` shows them).")
    return "\n\n".join(part.rstrip("\n") for part in parts) or "no trials: nothing can be told"


def _name(insight: Insight) -> str:
    return escaped(insight.label)


def group_heading(insight: Insight) -> str:
    """Return the settings of a group, which error was measured, and the number of runs."""
    return f"{insight.label} ({insight.group.error}, {counted(len(insight.group.runs), 'run')})"


def _group_text(insight: Insight, heading: str) -> str:
    cautions = [f"- Caution: {escaped(caution)}." for caution in insight.cautions]
    told = [_line(sentence) for sentence in sentences(insight)]
    blocks = [f"{heading} {escaped(group_heading(insight))}", "\n".join(cautions), "\n".join(told)]
    return "\n\n".join([block for block in blocks if block] + [markdown_table(table_columns(insight))])


def _line(sentence: Sentence) -> str:
    return f"- {escaped(sentence.text)} *Why: {escaped(sentence.why)}.*"


def _critical_text(found: Findings, *, everything: bool) -> list[str]:
    """Return the sentences on the critical batch size: those that tell it, or all."""
    told = [item for item in found.critical if everything or item.is_told]
    return ["\n".join(f"- {escaped(item.label)}: {_line(critical_sentence(item))[2:]}" for item in told)] * bool(told)


def table_columns(insight: Insight) -> list[Column]:
    """Return the table of a group: a row for each batch size."""
    optima = insight.best.optima
    law = insight.law
    by_law = (law.levelling_lrs if law.preferred is Preferred.LEVELLING else law.power_lrs) if law else {}
    header = "by levelling off" if law and law.preferred is Preferred.LEVELLING else "by the power law"
    columns = [
        Column("batch size", "right", [str(item.batch_size) for item in optima]),
        Column("rates tried", "left", [_tried(item) for item in optima]),
        Column("best rate", "left", [_optimum_text(item.status, item.lr, item.told) for item in optima]),
        Column("error (%)", "right", [_error_text(item) for item in optima]),
    ]
    if by_law:
        columns.append(Column(header, "left", [_band_text(by_law.get(item.batch_size)) for item in optima]))
    for rule, regrets in insight.regrets.items():
        costs = {regret.batch_size: regret for regret in regrets}
        values = [_cost_text(costs.get(item.batch_size)) for item in optima]
        columns.append(
            Column(f"cost of the {'linear' if rule is Rule.LINEAR else 'square-root'} rule", "left", values)
        )
    return columns


def _tried(optimum: Optimum) -> str:
    return " to ".join(dict.fromkeys([rate(optimum.measured_low), rate(optimum.measured_high)]))


def _error_text(optimum: Optimum) -> str:
    is_known = optimum.status is not Status.CANNOT_TELL and math.isfinite(optimum.error_percent)
    return f"{optimum.error_percent:.2f}" if is_known else "-"


def _optimum_text(status: Status, lr: float, told: tuple[float, float]) -> str:
    if status is Status.INSIDE:
        return f"{rate(lr)} ({band(told)})"
    bounds = {Status.AT_LEAST: told[0], Status.AT_MOST: told[1]}
    return f"{status} {rate(bounds[status])}" if status in bounds else str(status)


def _band_text(found: Band | None) -> str:
    return "-" if found is None else f"{rate(found.value)} ({band(found)})"


def _cost_text(regret: Regret | None) -> str:
    if regret is None or not regret.is_measured:
        return "not measured"
    return f"{points(regret.points)} ({points(regret.low)} to {points(regret.high)})"


def insight_json(found: Findings) -> str:
    """Return all groups as JSON; a number that is not known, or a bound that is open, is null."""
    groups = [_group_json(insight) for insight in found.insights]
    critical = [
        {
            "label": item.label,
            "epochs": list(item.epochs),
            "status": item.found.status,
            "batch_size": _number(item.found.value),
            "low": _number(item.found.low),
            "high": _number(item.found.high),
            "why": item.found.why,
        }
        for item in found.critical
    ]
    return json_text(tidied_results({"groups": groups, "critical_batch_size": critical}))


def _group_json(insight: Insight) -> dict[str, Any]:
    law = insight.law
    return {
        "label": insight.label,
        "error": insight.group.error,
        "num_runs": len(insight.group.runs),
        "cautions": list(insight.cautions),
        "sentences": [{"text": sentence.text, "why": sentence.why} for sentence in sentences(insight)],
        "nothing_told": None if insight.tells_rates else nothing_told(insight),
        "best_rates": [
            {
                "batch_size": item.batch_size,
                "status": item.status,
                "lr": _number(item.lr),
                "low": _number(item.low),
                "high": _number(item.high),
                "error_percent": _number(item.error_percent),
                "why": item.why,
            }
            for item in insight.best.optima
        ],
        "law": law
        and {
            "preferred": law.preferred,
            "levelling_factor": _number(law.levelling_factor),
            "lr_max": _band_json(law.lr_max),
            "noise_batch_size": _band_json(law.noise_batch_size),
            "exponent": _band_json(law.exponent),
        },
        "anchor": insight.anchor,
        "costs": {rule: [_cost_json(regret) for regret in regrets] for rule, regrets in insight.regrets.items()},
        "seed_variance": _number(insight.seed_noise.variance) if insight.seed_noise.degrees_of_freedom else None,
        "detectable_points": insight.detectable(),
    }


def _cost_json(regret: Regret) -> dict[str, float | None]:
    values = {name: _number(getattr(regret, name)) for name in ("lr", "points", "low", "high")}
    return {"batch_size": regret.batch_size, **values}


def _band_json(found: Band) -> Sequence[float]:
    return [found.value, found.low, found.high]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
