"""The tables of searches in docs/benchmarks.md (see page.py)."""

from collections.abc import Mapping
from typing import Any

from benchmarks.harness import cell
from trainable.reference_pages import markdown_table

GROUPS = {"held_out": "Problems held out", "development": "Problems used while developing"}


def search_quality(report: Mapping[str, Any]) -> str:
    """Return the tables of `search_quality.py`, those of the problems held out first."""
    parts = [f"{report['processor']}, {report['num_cpus']} cores; Optuna {report.get('optuna', '')}."]
    for group, title in GROUPS.items():
        for workers, found in sorted(report.get("groups", {}).get(group, {}).items(), key=lambda item: int(item[0])):
            names = ", ".join(found["problems"])
            told = f"**{title}, {workers} at a time** ({names}; {found['num_seeds']} seeds)"
            parts += [told, _ranks(found), *([_regrets(found), *_wins(found)] if workers == "4" else [])]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def search_faults(report: Mapping[str, Any]) -> str:
    """Return the table of proposals that diverge."""
    told = f"{report['processor']}; means over {report['num_seeds']} seeds."
    rows = [
        [form, algorithm, *(cell(share) for share in shares)]
        for form, by_algorithm in report["percent_diverging_by_quarter"].items()
        for algorithm, shares in by_algorithm.items()
    ]
    return f"{told}\n\n{markdown_table(['form', 'algorithm', '1st quarter, %', '2nd', '3rd', '4th'], rows).strip()}\n"


def _ranks(found: Mapping[str, Any]) -> str:
    rows = [
        [
            arm,
            *map(_band, figures["average_rank"].values()),
            cell(figures["median_trials"]),
            cell(figures["mean_cpu_seconds"]),
        ]
        for arm, figures in _sorted(found)
    ]
    return markdown_table(["average rank after", "25 %", "50 %", "100 %", "trials", "CPU seconds"], rows)


def _regrets(found: Mapping[str, Any]) -> str:
    rows = [
        [arm, *(cell(by_share["100"][0]) for by_share in figures["median_regret"].values())]
        for arm, figures in _sorted(found)
    ]
    return markdown_table(["median regret at 100 %", *found["problems"]], rows)


def _wins(found: Mapping[str, Any]) -> list[str]:
    """Return the wins of the best two of those that are compared."""
    firsts = {pair.partition(" : ")[0] for pair in found["wins"]}
    tables = []
    for best in [arm for arm, _ in _sorted(found) if arm in firsts][:2]:
        rows = [
            [other, *(f"{won:g} : {lost:g}" for won, lost in by_share.values())]
            for first, other, by_share in ((*pair.split(" : "), shares) for pair, shares in found["wins"].items())
            if first == best
        ]
        tables.append(markdown_table([f"wins of `{best}` against", "25 %", "50 %", "100 %"], rows))
    return tables


def _sorted(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(found["arms"].items(), key=lambda item: float(item[1]["average_rank"]["100"][0]))


def _band(figures: list[float]) -> str:
    return f"{figures[0]:.1f} ({figures[1]:.1f} to {figures[2]:.1f})"
