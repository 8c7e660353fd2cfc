"""The published tables that a sweep reproduces: the `reference` of its space."""

from collections.abc import Mapping
from typing import Any

import yaml

from results.store.manifest import Manifest


def reference_tables(manifest: Manifest) -> list[str]:
    """Return the names of the published tables in the space of a manifest; empty if it names none."""
    space = yaml.safe_load(manifest.space)
    return named_tables(space) if isinstance(space, dict) else []


def named_tables(space: Mapping[str, Any]) -> list[str]:
    """Return the names of the published tables in a loaded space; empty if it names none."""
    return [str(name) for name in space.get("reference") or []]
