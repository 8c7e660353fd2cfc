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
    +- 0.04 % (mean of 3 trials, lowest of 9 configurations)`.

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
    name = describe(best, varying_fields(configs))
    mean, num_repeats = statistics.fmean(errors[best]), len(errors[best])
    if max(len(repeats) for repeats in errors.values()) == 1:
        return f"{name}: test error {mean:.2f} % (lowest of {counted(len(errors), 'trial')})"
    spread = f" +- {statistics.stdev(errors[best]):.2f}" if num_repeats > 1 else ""
    runs, others = counted(num_repeats, "trial"), counted(len(errors), "configuration")
    return f"{name}: test error {mean:.2f}{spread} % (mean of {runs}, lowest of {others})"
