"""The parameters of a search, and what becomes of values for them: one planned trial."""

import dataclasses
import math
from typing import Literal

from search_spaces.expressions import Expression
from search_spaces.schema import Scalar

SIGNIFICANT_DIGITS = 12
"""That a quantised value keeps: 0.1 + 2 * 0.1 is 0.3."""


@dataclasses.dataclass(frozen=True, slots=True)
class SearchParameter:
    """What a search may propose for one key."""

    name: str
    """A training field, or a name that `derive` uses."""
    kind: Literal["float", "int", "categorical"]
    low: float = math.nan
    """The smallest value, itself allowed; not a number where the kind is categorical, as `high`."""
    high: float = math.nan
    """The largest value, itself allowed; with a step it is a whole number of steps from `low`."""
    step: float | None = None
    """None for a continuous float; 1 for an int unless the space says otherwise."""
    log: bool = False
    """Whether equal ratios are equally likely, not equal differences."""
    choices: tuple[Scalar, ...] | None = None
    """Of a categorical parameter, distinct; None else."""
    when: Expression | None = None
    """The parameter is proposed only where this is true of those before it; None: always."""

    def snap(self, value: float) -> float:
        """The value of the parameter's range that is nearest: whole where the kind is int, a number of steps."""
        if self.step is not None:
            value = self.low + round((value - self.low) / self.step) * self.step
            value = float(f"{value:.{SIGNIFICANT_DIGITS}g}")
        value = min(max(value, self.low), self.high)
        return round(value) if self.kind == "int" else value
