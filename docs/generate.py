"""Write the pages of docs/ that are made from the code: `python docs/generate.py`."""

import importlib
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGES = {
    "cli.md": "cli.reference",
    "results-schema.md": "results.parquet.reference",
    "space-reference.md": "search_spaces.reference",
}
"""Page -> module whose `markdown()` is its text."""


def main() -> None:
    """Write all generated pages."""
    sys.path.insert(0, str(DOCS.parent))
    for page, module in PAGES.items():
        text: str = importlib.import_module(module).markdown()
        (DOCS / page).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
