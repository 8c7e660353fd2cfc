"""How long trials take, from speeds that were measured: a Gaussian process on a logarithm.

The seconds per image, divided by the model's multiply-accumulates, are described on the log scale by a Gaussian
process (Rasmussen and Williams 2006, chapters 2 and 5). It is the sum of a level, a deviation of each model, a curve
over the batch size that models share in part, a deviation of each run (what else the machine was doing) and a
deviation of each trial. The scales of these terms are averaged over, weighted by how well they explain the
measurements. So an interval is wide where little is known: at batch sizes far from those measured, and for models
known only by their cost. The deviation of a run to come does not average out over its trials.
"""

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from models.costs import multiply_accumulates
from sweep.estimate.speeds import Speed
from sweep.estimate.wall_time import Floats
from sweep.estimate.work import TrialWork

BATCH_STEPS = 8
"""Number of batch sizes told apart in each doubling: nearer ones count as equal."""
BATCH_RANGE = 4.0
"""Number of doublings of the batch size over which the correlation of speeds falls to 1/e."""

# The scales below are standard deviations of a logarithm (0.1 is about 10 %); the data weight those in tuples.
LEVEL_SCALE = 1.0
MODEL_SCALE = 0.35
PROBE_SCALE = 0.12
"""Deviation of a probe, which is short and has the machine to itself, from a run of several trials."""
CURVE_SCALES = (0.1, 0.2, 0.4, 0.8)
RUN_SCALES = (0.02, 0.04, 0.08, 0.16, 0.32)
TRIAL_SCALES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
PRIOR_MEDIANS = (0.25, 0.08, 0.05)
"""Medians of the scales of curve, run and trial before anything was measured."""
PRIOR_WIDTHS = (0.7, 0.7, 1.0)
"""Standard deviations of the logarithms of these scales."""
SHARED_CURVE = 0.5
"""Part of the curve's variance that all models share."""
GUESS_COUNTS, SCALE_COUNTS = 0.2, 4
"""Number of runs as which a guess of an overhead's median counts, and a guess of its scale."""


def draw_trial_seconds(
    works: Sequence[TrialWork],
    speeds: Sequence[Speed],
    run_deviation: Floats,
    rng: np.random.Generator,
    image_size: int,
) -> tuple[Floats, Floats]:
    """Draw how long each trial takes in a run to come.

    Args:
        works: at least one.
        speeds: measured with the profile and precision of the work; at least one.
        run_deviation: [num_draws], standard normal deviations of the run to come.
        image_size: side of an image in pixels, the same for the work and all speeds.

    Returns:
        Draws [num_draws, num_works] of the seconds, and their medians [num_works].
    """
    models = {work.model for work in works} | {speed.model for speed in speeds}
    macs = _costs(models, speeds, image_size)
    cost = np.array([macs[work.model] for work in works], dtype=float)
    train_images = np.array([work.epochs * work.train_images_per_epoch for work in works])
    eval_images = np.array([work.epochs * work.eval_images_per_epoch for work in works])
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


def _costs(models: Collection[str], speeds: Sequence[Speed], image_size: int) -> dict[str, float]:
    """Return the multiply-accumulates of each model.

    A model of the user's own gets those that make it as fast as the others are on average: it must be measured.
    """
    known = {model: cost for model in models if (cost := multiply_accumulates(model, image_size)) is not None}
    rates = [math.log(known[speed.model] / speed.train_seconds_per_image) for speed in speeds if speed.model in known]
    level = float(np.mean(rates)) if rates else 0.0
    costs: dict[str, float] = {**known}
    for model in {*models} - known.keys():
        seconds = [speed.train_seconds_per_image for speed in speeds if speed.model == model]
        costs[model] = math.exp(level + float(np.mean(np.log(seconds))))
    return costs


def _doublings(batch_size: int) -> float:
    """Return the binary logarithm of a batch size, rounded to 1 / BATCH_STEPS."""
    return round(math.log2(batch_size) * BATCH_STEPS) / BATCH_STEPS


@dataclass(frozen=True, slots=True)
class _Measured:
    """The logarithms of N measured seconds per multiply-accumulate, and the cells to which they belong."""

    logs: Floats
    """[N]."""
    cells: list[tuple[str, float]]
    """Model and doublings of the batch size, N of them."""
    same_run: Floats
    """[N, N], 1 where two measurements belong to the same run."""
    probes: Floats
    """[N], 1 for a probe."""

    @classmethod
    def of(cls, speeds: Sequence[Speed], macs: dict[str, float], *, is_training: bool) -> "_Measured":
        seconds = [speed.train_seconds_per_image if is_training else speed.eval_seconds_per_image for speed in speeds]
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
    """Draw the logarithms of a run to come [num_draws, num_cells], and with each a trial's scale [num_draws]."""
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
    """The Gaussian process for one choice of its scales."""

    curve_scale: float
    run_scale: float
    trial_scale: float
    factor: Floats
    """Lower Cholesky factor [N, N] of the covariance of the measurements."""
    solved: Floats
    """Inverse covariance times the measurements [N]."""
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
        """Draw the cells [count, num_cells], given the measurements."""
        across = _covariance(measured.cells, cells, self.curve_scale)
        explained = np.linalg.solve(self.factor, across)
        left = _covariance(cells, cells, self.curve_scale) - explained.T @ explained
        sizes, vectors = np.linalg.eigh(left)
        root = vectors * np.sqrt(np.maximum(sizes, 0.0))
        drawn: Floats = across.T @ self.solved + rng.standard_normal((count, len(cells))) @ root.T
        return drawn


def _covariance(
    rows: Sequence[tuple[str, float]], columns: Sequence[tuple[str, float]], curve_scale: float
) -> Floats:
    """Return the covariance [len(rows), len(columns)] of two lists of cells, without runs, trials and probes."""
    models = [np.array([model for model, _ in cells]) for cells in (rows, columns)]
    batches = [np.array([doublings for _, doublings in cells]) for cells in (rows, columns)]
    same_model = (models[0][:, None] == models[1][None, :]).astype(float)
    near = np.exp(-np.abs(batches[0][:, None] - batches[1][None, :]) / BATCH_RANGE)
    curve = curve_scale**2 * (SHARED_CURVE + (1 - SHARED_CURVE) * same_model) * near
    total: Floats = LEVEL_SCALE**2 + MODEL_SCALE**2 * same_model + curve
    return total


def draw_overhead(
    seen: Sequence[float], median: float, scale: float, num_draws: int, rng: np.random.Generator
) -> Floats:
    """Draw the next run's overhead [num_draws] from those seen and a guess (Gelman et al. 2013, section 3.3).

    Args:
        seen: seconds in earlier runs.
        median: guess of the median in seconds.
        scale: guess of the standard deviation of the logarithm.
    """
    logs = np.log(np.maximum(np.asarray(seen, dtype=float), 1e-3))
    guess, num_seen, total = math.log(median), len(logs), len(logs) + GUESS_COUNTS
    mean = (GUESS_COUNTS * guess + logs.sum()) / total
    freedom = SCALE_COUNTS + num_seen
    squares = SCALE_COUNTS * scale**2 + ((logs - mean) ** 2).sum() + GUESS_COUNTS * (guess - mean) ** 2
    spread = math.sqrt(squares / freedom * (1 + 1 / total))
    drawn: Floats = np.exp(mean + spread * rng.standard_t(freedom, num_draws))
    return drawn
