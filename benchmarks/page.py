"""Tables of docs/benchmarks.md that are made from benchmarks/results/ (see docs/generate.py)."""

import json
from typing import Any

from benchmarks.harness import RESULTS, cell
from trainable.reference_pages import markdown_table, refreshed

SPEEDS = {"images_per_second": "images per second", "images_per_cpu_second": "images per second of processor time"}


def refresh(text: str) -> str:
    """Return the page with these tables up to date."""
    return refreshed(
        text, {"training_speed": training_speed(json.loads((RESULTS / "training_speed.json").read_text()))}
    )


def training_speed(report: dict[str, Any]) -> str:
    """Return the tables of `training_speed.py`, and in which circumstances they were measured."""
    made = (
        f"{report['processor']}, {report['num_cpus']} cores, bf16 by {report['bf16_by']}; our trials "
        f"{report['execution']}; {report['num_rounds']} rounds, before which other processes kept\n"
        f"{report['busy_cores_before']:.1f} cores busy (`{report['command']}`).\n"
    )
    for key, title in SPEEDS.items():
        rows = report[key]
        for part, is_ratio in ((title, False), (f"ratios of {title}", True)):
            names = [name for row in rows.values() for name in row if (" / " in name) == is_ratio]
            columns = list(dict.fromkeys(names))
            lines = [[_label(name), *(cell(row.get(column)) for column in columns)] for name, row in rows.items()]
            made += f"\n{markdown_table([part, *columns], lines)}"
    return made


def _label(name: str) -> str:
    return f"batch {name}" if name.isdecimal() else name
