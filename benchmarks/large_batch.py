"""What rescues a large batch: `python benchmarks/large_batch.py` writes the tables of results/examples/large_batch.

An arm is a way to train: SGD, LARS, warm-up or ghost batch norm at the large batch size, and SGD at others. The first
seeds choose the learning rate of each arm, by the mean error on held-out images. Since runs of one configuration
differ by points, the chosen ones were also lucky, on the test images, too: further seeds, which had no part in the
choice, give the errors that are compared. The tests are those of `compare`: the variance of a run is a share of the
binomial one, pooled over the arms. They are about new trainings, tested on the same images. What other test images
might change is seen from the bits of each image, averaged over the seeds: the standard error over images is that of
the mean difference of an image between two arms.
"""

import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import ROOT
from results.parquet.files import read_trials
from results.parquet.trials import Cell, Trial, group_repeats, trials_from_table
from results.statistics.compare import Difference, judged_family
from results.statistics.noise import Dispersion, Repeats, pooled_dispersion
from results.statistics.sequel import effect
from results.store.local_store import LocalStore
from results.tables.layout import Column, format_seconds, markdown_table, number_column, percent
from trainable.config import TrainConfig
from trainable.grouping import grouped
from trainable.reference_pages import refreshed
from trainable.wording import counted

EXAMPLES, SWEEP = ROOT / "results" / "examples", "large_batch"
PAGE = EXAMPLES / SWEEP / "README.md"
BATCH_SIZE = 1024
"""The large batch size."""
NUM_CHOOSING = 3
"""Number of seeds that choose the learning rates."""
MARGIN, ALPHA = 0.5, 0.05
"""Those of `compare`."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to train, with the configurations of its learning rates."""

    name: str
    cells: tuple[Cell, ...]
    """One for each learning rate, in rising order, with the seeds that choose."""
    further: tuple[Cell, ...]
    """The same with the other seeds, where there are any."""

    @property
    def chosen(self) -> Cell:
        """The configuration with the least mean error on held-out images, of those whose runs all finished."""
        return min((cell for cell in self.cells if len(cell.finished) == len(cell.trials)), key=mean_holdout_error)

    @property
    def confirmed(self) -> Cell:
        """The chosen configuration with further seeds."""
        return next(cell for cell in self.further if cell.config.lr == self.chosen.config.lr)

    @property
    def correct(self) -> NDArray[np.float64]:
        """Share of the further runs that classify a test image correctly, in percent [images]."""
        bits = [
            np.frombuffer(trial.row.test_correct_bits or b"", dtype=np.uint8) for trial in self.confirmed.finished
        ]
        images: NDArray[np.uint8] = np.unpackbits(np.array(bits), axis=1, count=num_test_images(self.confirmed))
        return np.asarray(100 * images.mean(axis=0))


def mean_holdout_error(cell: Cell) -> float:
    """Return the mean error on held-out images, in percent."""
    return statistics.fmean(trial.row.holdout_error_percent or math.nan for trial in cell.finished)


def mean_test_error(cell: Cell) -> float:
    """Return the mean test error, in percent."""
    return statistics.fmean(cell.test_errors)


def num_test_images(cell: Cell) -> int:
    """Return the number of test images, which the space sets."""
    return cell.config.test_subset or 0


def arm_name(config: TrainConfig) -> str:
    """Return the arm that a trial belongs to."""
    if config.warmup_epochs is not None:
        return f"warm-up, {counted(config.warmup_epochs, 'epoch')}"
    if config.ghost_batch_size is not None:
        return f"ghost batch norm, {config.ghost_batch_size}"
    at = f", batch size {config.batch_size}" if config.batch_size != BATCH_SIZE else ""
    return f"{(config.optimizer or 'sgd').upper()}{at}"


def find_arms(trials: Sequence[Trial]) -> list[Arm]:
    """Return the arms in the order of the space."""

    def cells(members: Sequence[Trial]) -> tuple[Cell, ...]:
        return tuple(sorted(group_repeats(members), key=lambda cell: cell.config.lr))

    return [
        Arm(
            name,
            cells([trial for trial in members if trial.config.seed < NUM_CHOOSING]),
            cells([trial for trial in members if trial.config.seed >= NUM_CHOOSING]),
        )
        for name, members in grouped(trials, lambda trial: arm_name(trial.config)).items()
    ]


def differences(pairs: Sequence[tuple[Arm, Arm]], noise: Dispersion) -> list[Difference]:
    """Test the second arm of each pair against the first, as one family."""

    def variance(cell: Cell) -> float:
        return noise.run_variance(mean_test_error(cell), num_test_images(cell)) / len(cell.test_errors)

    cells = [(first.confirmed, second.confirmed) for first, second in pairs]
    return judged_family(
        [mean_test_error(second) - mean_test_error(first) for first, second in cells],
        [math.sqrt(variance(first) + variance(second)) for first, second in cells],
        noise.degrees_of_freedom,
        margin=MARGIN,
        alpha=ALPHA,
    )


def error_over_images(first: Arm, second: Arm) -> float:
    """Return the standard error of the difference over the test images, paired, in points."""
    gained = first.correct - second.correct
    return float(gained.std(ddof=1) / math.sqrt(len(gained)))


def errors_table(arms: Sequence[Arm]) -> str:
    """Return the errors of all configurations, with the seeds that choose."""
    rows = [(arm, cell) for arm in arms for cell in arm.cells]
    columns = [
        Column("arm", "left", [arm.name for arm, _ in rows]),
        Column("lr", "left", [f"{cell.config.lr:g}{', chosen' * (cell is arm.chosen)}" for arm, cell in rows]),
        number_column("held out", [percent(mean_holdout_error(cell)) if cell.finished else "-" for _, cell in rows]),
        number_column("test", [percent(mean_test_error(cell)) if cell.finished else "-" for _, cell in rows]),
        Column("test, each run", "left", [_runs(cell) for _, cell in rows]),
    ]
    return markdown_table(columns) + _edges(arms)


def _runs(cell: Cell) -> str:
    errors = [(trial.row.test_error_percent, trial.row.status.lower()) for trial in cell.trials]
    return ", ".join(status if error is None else percent(error) for error, status in errors)


def _edges(arms: Sequence[Arm]) -> str:
    edges = [arm.name for arm in arms if len(arm.cells) > 1 and arm.chosen in (arm.cells[0], arm.cells[-1])]
    return f"\nAt the edge of its grid: {', '.join(edges)}.\n" if edges else ""


def confirmed_table(arms: Sequence[Arm]) -> str:
    """Return the errors of the chosen configurations with further seeds."""
    columns = [
        Column("arm", "left", [arm.name for arm in arms]),
        Column("lr", "left", [f"{arm.chosen.config.lr:g}" for arm in arms]),
        number_column("test, choosing seeds", [percent(mean_test_error(arm.chosen)) for arm in arms]),
        number_column("test, further seeds", [percent(mean_test_error(arm.confirmed)) for arm in arms]),
        Column("each run", "left", [_runs(arm.confirmed) for arm in arms]),
    ]
    return markdown_table(columns)


def pairs_table(arms: Sequence[Arm]) -> str:
    """Return the differences between all pairs of arms, and what they assume."""
    noise = pooled_dispersion([Repeats(arm.confirmed.test_errors, num_test_images(arm.confirmed)) for arm in arms])
    pairs = list(combinations(arms, 2))
    tests = differences(pairs, noise)
    columns = [
        Column("arm", "left", [second.name for _, second in pairs]),
        Column("against", "left", [first.name for first, _ in pairs]),
        number_column("difference", [f"{test.points:+.2f}" for test in tests]),
        number_column("se", [f"{test.standard_error:.2f}" for test in tests]),
        Column("interval", "center", [f"[{test.interval[0]:+.2f}, {test.interval[1]:+.2f}]" for test in tests]),
        number_column("se over images", [f"{error_over_images(*pair):.2f}" for pair in pairs]),
        number_column("p", [f"{test.p_differs:.2g}" for test in tests]),
        Column("verdict", "left", [effect(test) for test in tests]),
    ]
    lines = [
        f"differences of test errors in points, with the standard error over runs and the {100 * (1 - ALPHA):g} % "
        "interval of each by itself; p and verdicts are corrected for all rows (Holm)",
        f"*no difference*: a difference of {MARGIN:g} points or more is rejected",
        f"noise: a run's variance is {noise.factor:.1f} times the binomial variance, estimated with "
        f"{noise.degrees_of_freedom} degrees of freedom",
    ]
    return markdown_table(columns) + "\n" + "".join(f"- {line}\n" for line in lines)


def cost(trials: Sequence[Trial]) -> str:
    """Return what was trained, on what, and for how long."""
    rows = [trial.row for trial in trials]
    machines = ", ".join(
        sorted({f"{counted(row.num_threads, 'thread')} of an {row.device}, {row.precision_resolved}" for row in rows})
    )
    return (
        f"{len(rows)} trials, {sum(row.epochs_done for row in rows)} epochs, each trial on {machines}; "
        f"{format_seconds(sum(row.total_seconds for row in rows))} if added up.\n"
    )


def refresh(page: str) -> str:
    """Return the page with what the trials give."""
    trials = trials_from_table(read_trials(LocalStore(EXAMPLES), SWEEP))
    arms = find_arms(trials)
    compared = [arm for arm in arms if arm.further]
    made = {
        "cost": cost(trials),
        "errors": errors_table(arms),
        "confirmed": confirmed_table(compared),
        "pairs": pairs_table(compared),
    }
    return refreshed(page, made)


if __name__ == "__main__":
    PAGE.write_text(refresh(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
