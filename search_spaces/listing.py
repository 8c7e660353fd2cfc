"""Spaces as the user sees them: one line each, or one with its trials."""

from collections.abc import Sequence

from search_spaces.expansion import expand, parse_overrides
from search_spaces.loader import load_space, shipped_spaces
from search_spaces.scaling import sweep_name
from trainable.config import FIELD_NAMES, TrainConfig


def list_spaces() -> str:
    """Every space that ships, with its number of trials and what it is."""
    lines = []
    for name in shipped_spaces():
        loaded = load_space(name)
        count = len(expand(loaded, {}).trials)
        lines.append(f"{name:24} {count:4d} trials  {loaded.space.description}")
    return "\n".join(lines)


def show_space(name_or_path: str, settings: Sequence[str], scale: str | None = None) -> str:
    """A space with what its trials have in common and a line for each trial.

    Raises:
        UserError: as `load_space` and `expand`.
    """
    loaded = load_space(name_or_path)
    expansion = expand(loaded, parse_overrides(settings), scale)
    configs = [trial.config for trial in expansion.trials]
    varying = [name for name in FIELD_NAMES if len({getattr(config, name) for config in configs}) > 1]
    common = [name for name in FIELD_NAMES if name not in varying and _is_shown(name, configs[0])]
    lines = [f"{sweep_name(loaded, scale)}: {loaded.space.description}"]
    if loaded.space.reference:
        lines.append(f"published tables: {', '.join(loaded.space.reference)}")
    if loaded.space.scales and scale is None:
        lines.append(f"scales: {', '.join(loaded.space.scales)}")
    lines.append("")
    lines += [f"  {name:16} {_text(getattr(configs[0], name))}" for name in common]
    lines += ["", f"{len(configs)} trials" + ("" if varying else ", all as above")]
    if varying:
        rows = [varying, *([_text(getattr(config, name)) for name in varying] for config in configs)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(varying))]
        lines += [
            "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        ]
    lines += [f"note: {note}" for note in expansion.notes]
    return "\n".join(lines)


def _is_shown(name: str, config: TrainConfig) -> bool:
    return name not in ("dataset_fingerprint", "recipe_version") and getattr(config, name) is not None


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(f"{item:g}" for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
