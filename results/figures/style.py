"""How all figures look: readable in print and by colour-blind people."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#7F7F7F")
"""Okabe & Ito (2008), yellow left out for its contrast on white, grey added."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
FORMATS = ("svg", "png")


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `stem`.svg and `stem`.png; the same content gives the same bytes."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in FORMATS]
    with matplotlib.rc_context({"svg.hashsalt": "batchscape", "svg.fonttype": "path"}):
        for path in paths:
            figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths
