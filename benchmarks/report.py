"""How benchmarks write down what they measured."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainable import provenance

FOLDER = Path(__file__).resolve().parent / "results"


def write_report(name: str, command: str, figures: dict[str, Any]) -> Path:
    """Write `results/<name>.json`: the figures, and what is needed to judge them."""
    content = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "processor": provenance.processor_name(),
        "num_cpus": os.cpu_count(),
        "versions": provenance.versions(),
        **figures,
    }
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
