"""Which published tables a sweep answers to: the `reference` of the space that its manifest keeps."""

import yaml

from results.store import Manifest


def reference_tables(manifest: Manifest) -> list[str]:
    """Names for `published.cells.table_cells`; empty where the space names none."""
    space = yaml.safe_load(manifest.space)
    names = space.get("reference") if isinstance(space, dict) else None
    return [str(name) for name in names or []]
