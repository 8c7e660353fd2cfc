"""How long trainings will take: from speeds that were measured to an interval for the wall time of a sweep.

The seconds that an image takes, over the model's multiply-accumulates, are described on the log scale by a Gaussian
process (Rasmussen and Williams 2006, chapters 2 and 5): a level, a deviation of each model, a curve over the batch
size that models share in part, a deviation of each run (what else the machine was doing), and one of each trial. The
sizes of these deviations are averaged over, weighed by how well they explain what was measured, so that the interval
is wide where little is known, at batch sizes far from those measured, and for models known only by their cost.
The deviation of the run to come does not average out over its trials. The wall time is simulated: trials in the order
longest first, each into the slot that is free first.

Numbers only: where speeds come from is in sweep.estimate.history.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.costs import multiply_accumulates
from trainable.wording import counted

Floats = NDArray[np.floating[Any]]

LEVEL = 0.9
"""Probability that an interval contains the truth."""
MAX_DRAWS, MIN_DRAWS = 2000, 100
MAX_NUMBERS = 4_000_000
"""Seconds of trials simulated, all draws together: bounds the memory in a sweep of many trials."""
BATCH_STEPS = 8
"""Batch sizes nearer to each other than an eighth of a doubling are one."""
BATCH_RANGE = 4.0
"""Doublings of the batch size over which speeds lose what they have in common."""

# Deviations, as standard deviations of a logarithm (0.1 is about 10 %); those in tuples are weighed by the data.
LEVEL_SCALE = 1.0
MODEL_SCALE = 0.35
PROBE_SCALE = 0.12
"""Of a probe, which is short and has the machine to itself, from a run of several trials at a time."""
CURVE_SCALES = (0.1, 0.2, 0.4, 0.8)
RUN_SCALES = (0.02, 0.04, 0.08, 0.16, 0.32)
TRIAL_SCALES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
PRIOR_MEDIANS = (0.25, 0.08, 0.05)
"""Of curve, run and trial, before anything was measured ..."""
PRIOR_WIDTHS = (0.7, 0.7, 1.0)
"""... and how widely these are spread, in logarithms."""
SHARED_CURVE = 0.5
"""Part of the curve's variance that is common to all models."""
START_UP_SECONDS, START_UP_SCALE = 8.0, 0.25
"""Ray's start on a machine of a few cores, until the store's runs have told; and how runs deviate."""
BETWEEN_SECONDS, BETWEEN_SCALE = 0.05, 0.4
"""What a trial takes beside its epochs, likewise."""
GUESS_COUNTS, SCALE_COUNTS = 0.2, 4
"""As how many runs such a guess of the median counts, and one of the scale."""


class NoHistoryError(Exception):
    """Nothing that was measured says how fast this work is; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where trials run: speeds are compared within one place only."""

    device: str
    """As the device names itself."""
    num_threads: int
    compiled: bool = False

    def __str__(self) -> str:
        threads = "1 thread" if self.num_threads == 1 else f"{self.num_threads} threads"
        return f"{self.device}, {threads}" + ", compiled" * self.compiled


@dataclass(frozen=True, slots=True)
class Speed:
    """What one process measured in one training."""

    place: Place
    model: str
    batch_size: int
    precision: str
    """As asked for."""
    precision_resolved: str
    run: str
    """Of the driver: speeds of one run share what else the machine was doing. Empty for a probe."""
    train_seconds: float
    """A training image."""
    eval_seconds: float
    """An image evaluated."""
    peak_memory_bytes: int | None = None

    @property
    def is_probe(self) -> bool:
        return not self.run


@dataclass(frozen=True, slots=True)
class Overhead:
    """What one run of the driver took beside the epochs of its trials, in seconds."""

    start_up: float
    """Until the first epoch began."""
    between: float
    """A trial."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is left of one trial."""

    model: str
    batch_size: int
    precision: str
    """As asked for."""
    epochs: int
    train_images: int
    """An epoch."""
    eval_images: int
    """After each epoch, test and held-out."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Seconds; between `low` and `high` with probability LEVEL, and as likely below `median` as above."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: Floats) -> "Interval":
        tail = (1 - LEVEL) / 2
        low, median, high = np.quantile(draws, (tail, 0.5, 1 - tail))
        return cls(float(median), float(low), float(high))


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the trial that needs most."""

    num_bytes: int
    batch_size: int
    model: str


@dataclass(frozen=True, slots=True)
class Estimate:
    wall: dict[int, Interval]
    """Number of trials at a time -> seconds of the whole run."""
    trial_seconds: list[float]
    """The median of each piece of work, in the order given."""
    memory: Memory | None
    """None where nobody measured it."""
    basis: str
    """What it rests on, in words."""


def estimate(
    works: Sequence[Work],
    speeds: Sequence[Speed],
    overheads: Sequence[Overhead],
    place: Place,
    slots: Sequence[int],
    image_size: int = 32,
) -> Estimate:
    """
    Args:
        works: at least one.
        speeds: measured anywhere, the latest first; only those of `place` are used.
        overheads: of earlier runs, the latest last.
        slots: how many trials at a time to answer for.
        image_size: side of an image in pixels, the same for the work and all speeds.

    Raises:
        NoHistoryError: no speed was measured in this place and precision.
    """
    here = [speed for speed in speeds if speed.place == place]
    if not here:
        others = sorted({str(speed.place) for speed in speeds})
        raise NoHistoryError(f"nothing was measured on {place}" + f" (only on {'; '.join(others)})" * bool(others))
    resolved = {precision: _resolve(precision, here, place) for precision in {work.precision for work in works}}
    num_draws = max(MIN_DRAWS, min(MAX_DRAWS, MAX_NUMBERS // len(works)))
    rng = np.random.default_rng(0)
    run_deviation = rng.standard_normal(num_draws)
    seconds = np.empty((num_draws, len(works)))
    medians = np.empty(len(works))
    used: list[Speed] = []
    for precision in dict.fromkeys(resolved.values()):
        like = [speed for speed in here if speed.precision_resolved == precision]
        chosen = [index for index, work in enumerate(works) if resolved[work.precision] == precision]
        seconds[:, chosen], medians[chosen] = _trial_seconds(
            [works[index] for index in chosen], like, run_deviation, rng, image_size
        )
        used += like
    start_up = _lognormal([one.start_up for one in overheads], START_UP_SECONDS, START_UP_SCALE, num_draws, rng)
    between = _lognormal([one.between for one in overheads], BETWEEN_SECONDS, BETWEEN_SCALE, num_draws, rng)
    seconds += between[:, None]
    in_order = seconds[:, longest_first(medians)]
    return Estimate(
        wall={number: Interval.of(start_up + makespans(in_order, number)) for number in slots},
        trial_seconds=medians.tolist(),
        memory=_most_memory(works, used),
        basis=_basis(works, used, place),
    )


def longest_first(seconds: Sequence[float] | Floats) -> list[int]:
    """Positions of the trials in the order in which they are best begun; equals keep their order."""
    return [int(index) for index in np.argsort(-np.asarray(seconds), kind="stable")]


def makespans(seconds: Floats, num_slots: int) -> Floats:
    """Time until all trials have ended, each begun in the slot that is free first, in the order given.

    In the order of `longest_first` at most 4/3 of the best possible (Graham 1969).

    Args:
        seconds: [num_draws, num_trials].

    Returns:
        [num_draws].
    """
    num_draws, num_trials = seconds.shape
    if num_slots == 1:
        total: Floats = seconds.sum(axis=1)
        return total
    loads: Floats = np.zeros((num_draws, min(num_slots, num_trials)))
    rows = np.arange(num_draws)
    for index in range(num_trials):
        loads[rows, loads.argmin(axis=1)] += seconds[:, index]
    latest: Floats = loads.max(axis=1)
    return latest


def _resolve(precision: str, here: Sequence[Speed], place: Place) -> str:
    """The format in which the device computes, where it is asked for `precision`, as far as known.

    Raises:
        NoHistoryError: nobody has asked it.
    """
    for speed in here:
        if precision in (speed.precision, speed.precision_resolved):
            return speed.precision_resolved
    raise NoHistoryError(f"nothing was measured on {place} in precision {precision}")


def _trial_seconds(
    works: Sequence[Work], speeds: Sequence[Speed], run_deviation: Floats, rng: np.random.Generator, image_size: int
) -> tuple[Floats, Floats]:
    """Draws [num_draws, num_works] of the seconds of each piece of work, and medians [num_works]."""
    models = {work.model for work in works} | {speed.model for speed in speeds}
    macs = {model: multiply_accumulates(model, image_size) for model in models}
    cost = np.array([macs[work.model] for work in works], dtype=float)
    train_images = np.array([work.epochs * work.train_images for work in works])
    eval_images = np.array([work.epochs * work.eval_images for work in works])
    total: Floats = np.zeros((len(run_deviation), len(works)))
    medians: Floats = np.zeros(len(works))
    for images, is_training in ((train_images, True), (eval_images, False)):
        where = [(work.model, _doublings(work.batch_size) if is_training else 0.0) for work in works]
        cells = list(dict.fromkeys(where))
        measured = _Measured.of(speeds, macs, is_training=is_training)
        logs, trial_scale = _draw(measured, cells, run_deviation, rng)
        own = [cells.index(cell) for cell in where]
        noise = trial_scale[:, None] * rng.standard_normal(total.shape)
        total += np.exp(logs[:, own] + noise) * cost * images
        medians += np.exp(np.median(logs, axis=0)[own]) * cost * images
    return total, medians


def _doublings(batch_size: int) -> float:
    return round(math.log2(batch_size) * BATCH_STEPS) / BATCH_STEPS


@dataclass(frozen=True, slots=True)
class _Measured:
    """Logarithms of seconds a multiply-accumulate, and where they were measured."""

    logs: Floats
    cells: list[tuple[str, float]]
    """Model, and doublings of the batch size."""
    same_run: Floats
    """[N, N], 1 where two are of the same run."""
    probes: Floats
    """[N], 1 for a probe."""

    @classmethod
    def of(cls, speeds: Sequence[Speed], macs: dict[str, int], *, is_training: bool) -> "_Measured":
        seconds = [speed.train_seconds if is_training else speed.eval_seconds for speed in speeds]
        runs = np.array([speed.run for speed in speeds])
        return cls(
            np.log(np.array(seconds) / np.array([macs[speed.model] for speed in speeds])),
            [(speed.model, _doublings(speed.batch_size) if is_training else 0.0) for speed in speeds],
            (runs[:, None] == runs[None, :]).astype(float),
            np.array([float(speed.is_probe) for speed in speeds]),
        )


def _draw(
    measured: _Measured, cells: Sequence[tuple[str, float]], run_deviation: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draws [num_draws, num_cells] for a run to come, and with each the deviation of a trial [num_draws]."""
    level = measured.logs.mean()
    values = measured.logs - level
    fits = [
        _Fit.of(measured, values, *scales) for scales in itertools.product(CURVE_SCALES, RUN_SCALES, TRIAL_SCALES)
    ]
    evidence = np.array([fit.log_evidence for fit in fits])
    weights = np.exp(evidence - evidence.max())
    counts = rng.multinomial(len(run_deviation), weights / weights.sum())
    logs = np.empty((len(run_deviation), len(cells)))
    trial_scale = np.empty(len(run_deviation))
    order = rng.permutation(len(run_deviation))
    start = 0
    for fit, count in zip(fits, counts, strict=True):
        if count:
            rows = order[start : start + count]
            logs[rows] = fit.draw(measured, cells, count, rng) + fit.run_scale * run_deviation[rows, None]
            trial_scale[rows] = fit.trial_scale
            start += count
    return level + logs, trial_scale


@dataclass(frozen=True, slots=True)
class _Fit:
    """The process for one choice of its deviations."""

    curve_scale: float
    run_scale: float
    trial_scale: float
    factor: Floats
    """Lower Cholesky factor [N, N] of the covariance of what was measured."""
    solved: Floats
    """Its inverse times what was measured [N]."""
    log_evidence: float

    @classmethod
    def of(
        cls, measured: _Measured, values: Floats, curve_scale: float, run_scale: float, trial_scale: float
    ) -> "_Fit":
        covariance = _covariance(measured.cells, measured.cells, curve_scale)
        covariance += run_scale**2 * measured.same_run
        covariance += PROBE_SCALE**2 * np.outer(measured.probes, measured.probes)
        covariance += trial_scale**2 * np.eye(len(values))
        factor: Floats = np.linalg.cholesky(covariance)
        whitened = np.linalg.solve(factor, values)
        prior = sum(
            -0.5 * (math.log(scale / median) / width) ** 2
            for scale, median, width in zip(
                (curve_scale, run_scale, trial_scale), PRIOR_MEDIANS, PRIOR_WIDTHS, strict=True
            )
        )
        evidence = prior - 0.5 * float(whitened @ whitened) - float(np.log(np.diag(factor)).sum())
        solved: Floats = np.linalg.solve(factor.T, whitened)
        return cls(curve_scale, run_scale, trial_scale, factor, solved, evidence)

    def draw(
        self, measured: _Measured, cells: Sequence[tuple[str, float]], count: int, rng: np.random.Generator
    ) -> Floats:
        """[count, num_cells], given what was measured."""
        across = _covariance(measured.cells, cells, self.curve_scale)
        explained = np.linalg.solve(self.factor, across)
        left = _covariance(cells, cells, self.curve_scale) - explained.T @ explained
        sizes, vectors = np.linalg.eigh(left)
        root = vectors * np.sqrt(np.maximum(sizes, 0.0))
        drawn: Floats = across.T @ self.solved + rng.standard_normal((count, len(cells))) @ root.T
        return drawn


def _covariance(ones: Sequence[tuple[str, float]], others: Sequence[tuple[str, float]], curve_scale: float) -> Floats:
    """[len(ones), len(others)], of runs, trials and probes apart."""
    models = [np.array([model for model, _ in cells]) for cells in (ones, others)]
    batches = [np.array([doublings for _, doublings in cells]) for cells in (ones, others)]
    same_model = (models[0][:, None] == models[1][None, :]).astype(float)
    near = np.exp(-np.abs(batches[0][:, None] - batches[1][None, :]) / BATCH_RANGE)
    curve = curve_scale**2 * (SHARED_CURVE + (1 - SHARED_CURVE) * same_model) * near
    total: Floats = LEVEL_SCALE**2 + MODEL_SCALE**2 * same_model + curve
    return total


def _lognormal(
    seen: Sequence[float], median: float, scale: float, num_draws: int, rng: np.random.Generator
) -> Floats:
    """Draws of the next value, from a guess and what was seen (Gelman et al. 2013, section 3.3)."""
    logs = np.log(np.maximum(np.asarray(seen, dtype=float), 1e-3))
    guess, num_seen, total = math.log(median), len(logs), len(logs) + GUESS_COUNTS
    mean = (GUESS_COUNTS * guess + logs.sum()) / total
    freedom = SCALE_COUNTS + num_seen
    squares = SCALE_COUNTS * scale**2 + ((logs - mean) ** 2).sum() + GUESS_COUNTS * (guess - mean) ** 2
    spread = math.sqrt(squares / freedom * (1 + 1 / total))
    drawn: Floats = np.exp(mean + spread * rng.standard_t(freedom, num_draws))
    return drawn


def _most_memory(works: Sequence[Work], speeds: Sequence[Speed]) -> Memory | None:
    needs = [
        Memory(need, work.batch_size, work.model)
        for work in dict.fromkeys(dataclasses.replace(work, epochs=1) for work in works)
        if (need := _memory(work, speeds)) is not None
    ]
    return max(needs, key=lambda one: one.num_bytes, default=None)


def _memory(work: Work, speeds: Sequence[Speed]) -> int | None:
    """On a line between measured batch sizes; below the least as there, above the largest in proportion."""
    most: dict[int, int] = {}
    for speed in speeds:
        if speed.model == work.model and speed.peak_memory_bytes is not None:
            most[speed.batch_size] = max(speed.peak_memory_bytes, most.get(speed.batch_size, 0))
    if not most:
        return None
    sizes = sorted(most)
    beyond = max(1.0, work.batch_size / sizes[-1])
    return round(float(np.interp(work.batch_size, sizes, [most[size] for size in sizes])) * beyond)


def _basis(works: Sequence[Work], speeds: Sequence[Speed], place: Place) -> str:
    runs = {speed.run for speed in speeds if not speed.is_probe}
    num_trials = sum(not speed.is_probe for speed in speeds)
    parts = [f"{counted(num_trials, 'trial')} of {counted(len(runs), 'run')} in the store"] * bool(num_trials)
    parts += ["a probe"] * any(speed.is_probe for speed in speeds)
    known = {speed.model for speed in speeds}
    by_cost = sorted({work.model for work in works} - known)
    seen = {(speed.model, speed.batch_size) for speed in speeds}
    between = {(work.model, work.batch_size) for work in works if work.model in known} - seen
    text = f"{' and '.join(parts)} on {place}"
    if between:
        text += f"; {counted(len(between), 'batch size')} not measured, judged by others"
    if by_cost:
        text += f"; {', '.join(by_cost)} not measured, judged by the cost of {', '.join(sorted(known))}"
    return text
