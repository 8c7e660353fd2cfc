"""List every trial of a plan, one per line."""

from collections.abc import Sequence

from results.parquet.trials import varying_fields
from sweep.plan.counts import PlanCounts
from sweep.trial_label import describe
from trainable.config import TrainConfig


def trial_lines(sweep: str, configs: Sequence[TrainConfig], counts: PlanCounts) -> list[str]:
    """Return a line for each trial: the fields that vary, its progress, and the sweep that trained it."""
    fields = varying_fields(configs)
    if len({config.seed for config in configs}) > 1:
        fields.append("seed")
    names = [describe(config, fields) for config in configs]
    width = max(len(name) for name in names)
    lines = []
    for name, config, progress in zip(names, configs, counts.progress, strict=True):
        state = "to train"
        if progress.is_final:
            state = "done"
        elif progress.has_begun:
            state = f"to resume, {progress.epochs_done} of {config.epochs} epochs done"
        by = f", trained by {progress.sweep}" if progress.sweep and progress.sweep != sweep else ""
        lines.append(f"  {name:{width}}  {state}{by}")
    return lines
