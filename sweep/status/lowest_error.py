"""Find the lowest test error of a sweep without a search."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from results.parquet.trials import varying_fields
from sweep.trial_label import describe
from trainable.config import TrainConfig
from trainable.ledger.reading import trial_status
from trainable.records import Status, TrialSummary
from trainable.wording import counted


def lowest_error_text(configs: Sequence[TrainConfig], summaries: Mapping[str, TrialSummary]) -> str | None:
    """Return the finished configuration with the lowest mean test error after its last epoch; None if there is none.

    For example `batch_size=16 lr=0.8: test error 0.28 % (lowest of 9 trials)`, or with repeats `...: test error 0.31
    +- 0.04 % (n = 3, lowest of 9 configurations)`.

    Args:
        configs: of all trials of the sweep.
        summaries: trial key -> content of the trial's folder.
    """
    errors: dict[TrainConfig, list[float]] = {}
    for config in configs:
        summary = summaries[config.trial_key]
        if trial_status(summary) is Status.COMPLETE and summary.test_error_percent is not None:
            errors.setdefault(dataclasses.replace(config, seed=0), []).append(summary.test_error_percent)
    if not errors:
        return None
    best = min(errors, key=lambda config: statistics.fmean(errors[config]))
    text = f"{describe(best, varying_fields(configs))}: test error {mean_text(errors[best])}"
    if max(len(repeats) for repeats in errors.values()) == 1:
        return f"{text} (lowest of {counted(len(errors), 'trial')})"
    return f"{text} (n = {len(errors[best])}, lowest of {counted(len(errors), 'configuration')})"


def mean_text(errors: Sequence[float]) -> str:
    """Return `0.31 +- 0.04 %`; without the standard deviation if there is only one error."""
    spread = f" +- {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
    return f"{statistics.fmean(errors):.2f}{spread} %"
