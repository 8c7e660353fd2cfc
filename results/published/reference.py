"""Which published tables a sweep answers to: the `reference` of the space that its manifest keeps."""

import yaml

from results.store import Manifest


def reference_tables(manifest: Manifest) -> list[str]:
    """Names for `published.cells.table_cells`; empty where the space names none."""
    return named_tables(manifest.space)


def named_tables(text: str) -> list[str]:
    """The same, from the YAML text of a space."""
    space = yaml.safe_load(text)
    names = space.get("reference") if isinstance(space, dict) else None
    return [str(name) for name in names or []]
