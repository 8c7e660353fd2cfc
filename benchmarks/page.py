"""Tables of docs/benchmarks.md that are made from benchmarks/results/ (see docs/generate.py)."""

import json
from typing import Any

from benchmarks.harness import RESULTS, cell
from benchmarks.search_page import search_faults, search_quality
from trainable.reference_pages import markdown_table, refreshed
from trainable.wording import counted

SPEEDS = {"images_per_second": "images per second", "images_per_cpu_second": "images per second of processor time"}


def refresh(text: str) -> str:
    """Return the page with these tables up to date."""
    makers = {
        "training_speed": training_speed,
        "page_scale": page_scale,
        "serving": serving,
        "search_quality": search_quality,
        "search_faults": search_faults,
    }
    return refreshed(
        text, {name: make(json.loads((RESULTS / f"{name}.json").read_text())) for name, make in makers.items()}
    )


def page_scale(report: dict[str, Any]) -> str:
    """Return the table of `page_scale.py`."""
    priority = "; the browser had precedence over them (`chrt -r 1`)" if report["is_real_time"] else ""
    rows = [[act, cell(figures), cell(report["limits"][act])] for act, figures in report["milliseconds"].items()]
    size, data, busy = report["page_bytes"] / 1e6, report["data_bytes"] / 1e6, report["busy_cores_before"]
    made = (
        f"{report['num_trials']:,} trials x {report['num_epochs']} epochs; {report['processor']}, "
        f"{report['num_cpus']} cores, of which other processes\nkept {busy:.1f} busy{priority}. "
        f"The file has {size:.1f} MB, {data:.1f} MB of them data of the charts and most of the rest\ntables for "
        "readers without scripts; making it takes "
        f"{report['processor_seconds_to_make']:.0f} s of processor (`{report['command']}`).\n"
    )
    return f"{made}\n{markdown_table(['act', 'milliseconds until all views stand', 'limit'], rows)}"


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


def serving(report: dict[str, Any]) -> str:
    """Return the tables of `serving.py`, and in which circumstances they were measured."""
    made = (
        f"{report['processor']}, {report['num_cpus']} cores; {report['num_trials']:,} trials of "
        f"{report['num_epochs']} epochs, of which {report['num_trained']} are trained meanwhile;\n"
        f"{counted(report['num_rounds'], 'round')}, before which other processes kept "
        f"{report['busy_cores_before']:.1f} cores busy (`{report['command']}`).\n"
    )
    answers = [
        [name, f"{cell(1000 * row['seconds'])} ms", f"{row['bytes']:,}"] for name, row in report["answers"].items()
    ]
    columns = ["CPU-seconds of the sweep", "CPU-seconds of the server", "server / sweep"]
    lines = [
        [
            name,
            *(cell(row[column]) for column in columns),
            f"{row['peak bytes'] / 1e6:,.0f} MB" if row["peak bytes"] else "-",
        ]
        for name, row in report["slowdown"].items()
    ]
    made += f"\n{markdown_table(['answer', 'time', 'bytes'], answers)}"
    return made + f"\n{markdown_table(['open', *columns, 'memory of the server'], lines)}"


def _label(name: str) -> str:
    return f"batch {name}" if name.isdecimal() else name
