"""Whether the best learning rate grows in proportion to the batch size."""

from collections.abc import Sequence

from results.insight.law import LINEAR, SQUARE_ROOT, Law, Preferred, Verdict, law
from results.insight.optima import optima
from results.insight.runs import Run
from results.lint.rows import ErrorByLr


def against_linear_rule(grids: Sequence[ErrorByLr]) -> str | None:
    """Describe how the best rate grows if that rejects the linear rule, else return None."""
    best = optima(
        Run(row.batch_size, row.lr, row.test_error_percent, row.variance_factor)
        for curve in grids
        for row in curve.rows
    )
    found = law(best)
    if found is None or found.verdict(LINEAR) is not Verdict.REJECTED:
        return None
    root = "rejected, too" if found.verdict(SQUARE_ROOT) is Verdict.REJECTED else "not rejected"
    return (
        f"best lr {_growth(found)} over {len(found.batch_sizes)} batch sizes: the linear rule (Goyal et al. 2017) is "
        f"rejected, the square-root rule (Krizhevsky 2014) is {root}"
    )


def _growth(found: Law) -> str:
    """Tell the preferred law; where levelling off is preferred, no single exponent is told."""
    if found.preferred is Preferred.LEVELLING:
        top, noise = found.lr_max, found.noise_batch_size
        return (
            f"levels off at {top.value:.2g} (95 % {top.low:.2g} to {top.high:.2g}), half of which is best for batch "
            f"size {noise.value:.0f} ({noise.low:.0f} to {noise.high:.0f}),"
        )
    exponent = found.exponent
    doubt = "" if found.preferred is Preferred.POWER else " or levels off"
    return f"~ batch size ^ {exponent.value:.2f} (95 % {exponent.low:.2f} to {exponent.high:.2f}){doubt}"
