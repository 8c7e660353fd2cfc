"""Refresh the pages of docs/ that are partly made from the code: `python docs/generate.py`."""

import importlib
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGES = {
    "benchmarks.md": "benchmarks.page",
    "cli.md": "cli.reference",
    "from-python.ipynb": "docs.notebook",
    "published-tables.md": "results.statistics.sequel_text",
    "results-schema.md": "results.parquet.reference",
    "space-reference.md": "search_spaces.reference",
}
"""Page -> module whose `refresh` brings it up to date."""


def main() -> None:
    """Refresh all these pages."""
    sys.path.insert(0, str(DOCS.parent))
    for page, module in PAGES.items():
        path = DOCS / page
        path.write_text(importlib.import_module(module).refresh(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
