"""Every trial of a plan in a line of its own."""

from collections.abc import Sequence

from results.parquet.trials import varying_fields
from sweep.plan.plan import PlanCounts
from sweep.trial_label import describe
from trainable.config import TrainConfig


def plan_lines(sweep: str, configs: Sequence[TrainConfig], counts: PlanCounts) -> list[str]:
    """A line a trial: what it is by what varies, how far it has come, and in which sweep."""
    fields = varying_fields(configs)
    if len({config.seed for config in configs}) > 1:
        fields.append("seed")
    names = [describe(config, fields) for config in configs]
    width = max(len(name) for name in names)
    lines = []
    for name, config, one in zip(names, configs, counts.standings, strict=True):
        standing = "to train"
        if one.is_final:
            standing = "done"
        elif one.has_begun:
            standing = f"to go on with, {one.epochs_done} of {config.epochs} epochs"
        by = f", trained by {one.sweep}" if one.sweep and one.sweep != sweep else ""
        lines.append(f"  {name:{width}}  {standing}{by}")
    return lines
