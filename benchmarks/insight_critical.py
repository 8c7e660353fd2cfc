"""How often the band of the critical batch size holds the truth, for `benchmarks/insight_coverage.py`."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from results.insight.critical import CriticalBatchSize, TunedCell, critical_batch_size
from results.insight.optima import Status
from results.insight.runs import Noise

BATCH_SIZES = tuple(2**power for power in range(5, 13))
SEED_NOISE = 0.17
KNOWN_DEGREES = 10
"""Degrees of freedom of the noise that repeats have told."""


@dataclass(frozen=True, slots=True)
class CriticalWorld:
    """How final errors are drawn."""

    critical: float
    power: float
    budgets: tuple[int, ...]
    sharpness: float = 1.0
    """Exponent of B / B_c."""
    excess: float = 0.0
    """Points by which the largest batch is worse for another reason, growing with the square of log2 B above 512."""

    @property
    def name(self) -> str:
        foreign = f", sharpness {self.sharpness:g}" * (self.sharpness != 1)
        foreign += f", excess {self.excess:g}" * (self.excess != 0)
        return f"B_c {self.critical:g}, p {self.power:g}, {len(self.budgets)} budgets{foreign}"


def critical_worlds() -> list[CriticalWorld]:
    three = (50, 200, 800)
    pairs = itertools.product((128, 512, 1024, 2048, 8192), (0.3, 0.6, 1.0))
    regular = [CriticalWorld(critical, power, three) for critical, power in pairs]
    few = [CriticalWorld(512, p, budgets) for p in (0.3, 0.6) for budgets in ((100, 400), (200,))]
    abrupt = [CriticalWorld(512, 0.6, three, sharpness=s) for s in (0.7, 0.8, 1.2, 1.4)]
    ends = itertools.product((128, 1024), (0.3, 1.0), (0.8, 1.2))
    abrupt += [CriticalWorld(critical, power, three, sharpness=s) for critical, power, s in ends]
    return regular + few + abrupt + [CriticalWorld(512, 0.6, three, excess=0.5)]


def draw(world: CriticalWorld, random: np.random.Generator) -> tuple[list[TunedCell], Noise]:
    """Draw runs with an error of 6 points besides C, which is 3 points at 50 epochs of small batches."""
    cells = []
    for batch_size, epochs in itertools.product(BATCH_SIZES, world.budgets):
        effective = epochs / (1 + (batch_size / world.critical) ** world.sharpness)
        share = max(math.log2(batch_size / 512), 0) / 3
        error = 6 + 3 * (effective / 50) ** -world.power + world.excess * share**2
        cells.append(TunedCell(batch_size, epochs, error + random.normal(0, SEED_NOISE), is_tuned=True))
    variance = SEED_NOISE**2 * random.chisquare(KNOWN_DEGREES) / KNOWN_DEGREES
    return cells, Noise(variance, KNOWN_DEGREES)


def critical_shares(world: CriticalWorld, num_sweeps: int) -> dict[str, float | None]:
    """Return percentages of sweeps: told with a band, told a bound, and right where something was told (or None)."""
    found: list[CriticalBatchSize] = []
    for index in range(num_sweeps):
        found.append(critical_batch_size(*draw(world, np.random.default_rng([0, index, *world.name.encode()]))))
    told = [answer for answer in found if answer.status is not Status.CANNOT_TELL]
    right = [answer.low <= world.critical <= answer.high for answer in told]
    inside = [answer for answer in told if answer.status is Status.INSIDE]
    return {
        "band": 100 * len(inside) / num_sweeps,
        "bound": 100 * (len(told) - len(inside)) / num_sweeps,
        "right": 100 * float(np.mean(right)) if right else None,
        "octaves": float(np.median([math.log2(a.high / a.low) for a in inside])) if inside else None,
    }
