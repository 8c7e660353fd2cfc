"""Tables in which nothing is odd, drawn at random."""

import dataclasses
import math
import random

from results.lint.rows import LintRow, Protocol

SEED_NOISE = 0.2
"""Percentage points: the spread of seeds on CIFAR-10."""
TIME_NOISE = 0.03


def with_error(row: LintRow, error: float) -> LintRow:
    return dataclasses.replace(row, test_error_percent=error)


def clean_table(seed: int) -> list[LintRow]:
    """Shaped as the published ones: two tables by the linear rule, a grid a batch size, the best ones printed again
    and trained four times as long, and a sweep with three seeds.

    The error grows with the square of log2(lr / optimum); the optimum follows the linear rule within a fifth and
    lies inside of every grid. Figures are rounded as printed.
    """
    draw = random.Random(seed)  # noqa: S311
    sizes = [2**power for power in range(draw.randint(3, 6), draw.randint(9, 13))]
    rate = draw.choice([0.1, 0.2, 0.4]) / 128
    floor, curvature, long_gain = draw.uniform(6.5, 9), draw.uniform(0.7, 0.9), draw.uniform(0.5, 1.2)
    optima = {size: rate * size * 2 ** draw.uniform(-0.26, 0.26) for size in sizes}
    epoch_seconds = {size: draw.uniform(6, 7) + 300 / size for size in sizes}
    steps = draw.choice([(-2, -1, 0, 1, 2), (-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2), (-3, -2, -1, 0, 1, 2)])
    known: dict[tuple[Protocol, int, float, int | None], LintRow] = {}

    def row(group: str, schedule: str, epochs: int, size: int, lr: float, seed: int | None = None) -> LintRow:
        """The row, or the same again if this was trained before."""
        protocol = Protocol("resnet_preact_20", schedule, epochs, "")
        key = (protocol, size, lr, seed)
        if key not in known:
            distance = draw.gauss(0, SEED_NOISE) / curvature + math.log2(lr / optima[size]) ** 2
            minutes = epochs * epoch_seconds[size] * draw.gauss(1, TIME_NOISE) / 60
            error = floor - long_gain * (epochs > 200) + curvature * distance
            known[key] = LintRow(group, protocol, size, lr, round(error, 2), 60.0 * round(minutes), "a GPU", seed)
        return dataclasses.replace(known[key], group=group)

    rule = [(size, rate * size) for size in sizes]
    grids = [(size, _printed(lr * 2**step)) for size, lr in rule for step in steps]
    return [
        *(row(schedule, schedule, 200, size, lr) for schedule in ("cosine", "multistep") for size, lr in rule),
        *(row(f"initial_lr_{size}", "cosine", 200, size, lr) for size, lr in grids),
        *(row(f"longer_{epochs}", "cosine", epochs, size, lr) for epochs in (200, 800) for size, lr in rule),
        *(row("sweep", "constant", 300, size, lr, seed) for size, lr in grids for seed in range(3)),
    ]


def _printed(lr: float) -> float:
    """The learning rate rounded to three significant digits."""
    return float(f"{lr:.3g}")


def clean_sequel(seed: int) -> list[LintRow]:
    """Clean tables as the sequel's: two optimisers with a grid at each batch size, and a few rows of other changes.

    LARS has its own table with optima about 100 times smaller; the other changes only move the error a little.
    """
    rows = [row for row in clean_table(seed) if row.group.startswith("initial_lr")]
    lars = [row for row in clean_table(seed + 1000) if row.group.startswith("initial_lr")]
    rule = [row for row in clean_table(seed) if row.group == "cosine"]

    def changed(row: LintRow, variant: str, lr: float, gain: float, slowness: float = 1.0) -> LintRow:
        return dataclasses.replace(
            with_error(row, round(row.test_error_percent - gain, 2)),
            group=variant,
            lr=lr,
            protocol=row.protocol._replace(variant=variant),
            seconds=60.0 * round(row.seconds * slowness / 60),
        )

    return [
        *rows,
        *(changed(row, "LARS", row.lr / 100, 0.3, 1.3) for row in lars),
        *(changed(row, "ghost batch size 128", row.lr, 0.2, 1.1) for row in rule[-4:]),
        *(changed(row, "mixed precision", row.lr, 0.05, 1.4) for row in rule[-7:]),
    ]
