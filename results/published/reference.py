"""Which published tables a sweep answers to: the `reference` of the space that its manifest keeps."""

from collections.abc import Mapping
from typing import Any

import yaml

from results.store.store import Manifest


def reference_tables(manifest: Manifest) -> list[str]:
    """Names for `published.cells.table_cells`; empty where the space names none."""
    space = yaml.safe_load(manifest.space)
    return named_tables(space) if isinstance(space, dict) else []


def named_tables(space: Mapping[str, Any]) -> list[str]:
    """The same, of a space that is loaded."""
    return [str(name) for name in space.get("reference") or []]
