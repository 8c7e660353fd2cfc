"""What the benchmarks share: options, interleaved rounds, medians with spreads, tables and the JSON report.

In a round everything is measured once, in turn, so that a disturbance affects all cases alike. Ratios are taken
within a round. Only `trainable.provenance` is imported: `benchmarks/gpu.py` runs where little is installed.
"""

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from trainable import provenance

Name = TypeVar("Name")
Measured = TypeVar("Measured")

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
STAT = Path("/proc/stat")
CPU_INFO = Path("/proc/cpuinfo")


def option_parser(doc: str | None, *, rounds: int | None = None, quick: str = "") -> argparse.ArgumentParser:
    """Make a parser from a docstring's first line, with a default of `--rounds` and a help of `--quick` if given."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--to", type=Path, default=RESULTS, metavar="DIR", help="default: benchmarks/results/")
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, metavar="N", help=f"default: {rounds}")
    if quick:
        parser.add_argument("--quick", action="store_true", help=quick)
    return parser


def interleaved(num_rounds: int, cases: Mapping[Name, Callable[[], Measured]]) -> dict[Name, list[Measured]]:
    """Measure A B C, A B C, ... and return the answers of each case, one for each round."""
    answers: dict[Name, list[Measured]] = {name: [] for name in cases}
    for number in range(num_rounds):
        for name, measure in cases.items():
            answers[name].append(measure())
        print(f"round {number + 1} of {num_rounds} done", flush=True)
    return answers


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Divide round by round; the numbers of rounds must be equal."""
    return [above / below for above, below in zip(numerators, denominators, strict=True)]


def summary(rounds: Sequence[float]) -> dict[str, Any]:
    """Return the median, the extremes and every round, as they stand in a report."""
    return {"median": statistics.median(rounds), "min": min(rounds), "max": max(rounds), "rounds": list(rounds)}


def print_figures(title: str, rows: Mapping[str, Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Print a line for each row, never wrapped, with some columns or those of the first row."""
    names = list(columns) or list(next(iter(rows.values()), {}))
    lines = [["", *names], *([name, *(cell(row.get(column)) for column in names)] for name, row in rows.items())]
    widths = [max(len(line[index]) for line in lines) for index in range(len(names) + 1)]
    print(title)
    for name, *cells in lines:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        print("  ".join([name.ljust(widths[0]), *padded]).rstrip())


def cell(value: Any) -> str:  # noqa: ANN401 (what stands in a report)
    """Return the text of a figure or a summary, rounded to three digits, or to whole numbers from 100 on."""
    if isinstance(value, Mapping):
        return f"{cell(value['median'])} ({cell(value['min'])} to {cell(value['max'])})"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    if isinstance(value, list):
        return " to ".join(cell(part) for part in value)
    return "-" if value is None else f"{value:,}" if type(value) is int else str(value)


def busy_cores(seconds: float = 1.0) -> float:
    """Measure how many cores other processes keep busy: benchmark only where this is near 0 (Linux; else nan)."""
    before = _busy_seconds()
    time.sleep(seconds)
    return (_busy_seconds() - before) / seconds


def _busy_seconds() -> float:
    """Read the time of all cores that was neither idle nor spent waiting for a disk (proc(5), /proc/stat)."""
    try:
        _, user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = STAT.read_text().split(maxsplit=10)
    except OSError:
        return math.nan
    ticks = sum(int(value) for value in (user, nice, system, irq, softirq, steal))
    return ticks / os.sysconf("SC_CLK_TCK")


def bf16_by() -> str:
    """Return the instructions by which the processor multiplies in bf16 (Linux): 'AMX', 'AVX-512' or 'none'.

    ONEDNN_MAX_CPU_ISA, which keeps torch from using them, is told as well.
    """
    try:
        flags = set(CPU_INFO.read_text().partition("\nflags")[2].partition("\n")[0].split())
    except OSError:
        return "unknown"
    found = "AMX" if "amx_bf16" in flags else "AVX-512" if "avx512_bf16" in flags else "none"
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
    return f"{found}, limited to {limit}" if limit else found


def processor() -> str:
    """Return the name of the processor and by what it multiplies in bf16: figures hold for this kind alone."""
    return f"{provenance.processor_name()} (bf16: {bf16_by()})"


def write_report(name: str, command: str, figures: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Write `<name>.json` into the folder: the figures, and what is needed to judge them."""
    content = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "processor": provenance.processor_name(),
        "bf16_by": bf16_by(),
        "num_cpus": os.cpu_count(),
        "versions": provenance.versions(),
        **figures,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(content, indent=1) + "\n")
    scratch.replace(path)  # an interruption leaves the previous report whole
    return path
