"""How benchmarks write down what they measured."""

import argparse
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainable import provenance

FOLDER = Path(__file__).resolve().parent / "results"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Give a benchmark the option --to."""
    parser.add_argument("--to", type=Path, default=FOLDER, metavar="DIR", help="default: benchmarks/results/")


def write_report(name: str, command: str, figures: dict[str, Any], folder: Path = FOLDER) -> Path:
    """Write `<name>.json` into the folder: the figures, and what is needed to judge them."""
    content = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "processor": provenance.processor_name(),
        "num_cpus": os.cpu_count(),
        "versions": provenance.versions(),
        **figures,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(content, indent=1) + "\n")
    scratch.replace(path)  # who is killed in between keeps the last one
    return path
