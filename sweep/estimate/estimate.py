"""Estimate how long the trials of a run take together, from measured speeds to an interval for the wall time.

The run is simulated: the seconds of each trial are drawn from the model of speeds, and the trials start longest
first, each in the slot that becomes free first. This module knows numbers only; sweep.estimate.history reads speeds
from a store.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.user_code import is_reference
from sweep.estimate.speed_model import draw_overhead, draw_trial_seconds
from sweep.estimate.speeds import DeviceProfile, NoHistoryError, RunOverhead, Speed
from sweep.estimate.wall_time import Interval, longest_first, makespans
from sweep.estimate.work import TrialWork
from trainable.config import architecture_fields
from trainable.wording import counted

MAX_DRAWS, MIN_DRAWS = 2000, 100
MAX_NUMBERS = 4_000_000
"""Number of trial times simulated in all draws together: it bounds the memory for a sweep of many trials."""
START_UP_SECONDS, START_UP_SCALE = 8.0, 0.25
"""Guess of Ray's start on a machine with few cores, and the scale of its logarithm, before the store's runs tell."""
BETWEEN_SECONDS, BETWEEN_SCALE = 0.05, 0.4
"""The same guess for the seconds that a trial takes beside its epochs."""


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """Memory of the trial that needs most."""

    num_bytes: int
    batch_size: int
    model: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a run takes, and how much memory its largest trial needs."""

    wall: dict[int, Interval]
    """Number of trials at the same time -> seconds of the whole run."""
    trial_seconds: list[float]
    """Median seconds of each trial, in the order given."""
    memory: PeakMemory | None
    """None if no such trial was measured."""
    basis: str
    """Measurements on which the estimate rests, in words."""


def estimate(
    works: Sequence[TrialWork],
    speeds: Sequence[Speed],
    overheads: Sequence[RunOverhead],
    profile: DeviceProfile,
    slots: Sequence[int],
    image_size: int = 32,
) -> Estimate:
    """Estimate a run on one device.

    Args:
        works: what is left of each trial, at least one.
        speeds: measured anywhere, the latest first; only those with this profile are used.
        overheads: of earlier runs, the latest last.
        slots: numbers of trials at the same time to answer for.
        image_size: side of an image in pixels, the same for the work and all speeds.

    Raises:
        NoHistoryError: no speed was measured with this profile and precision.
    """
    here = _as_latest([speed for speed in speeds if speed.profile == profile])
    if not here:
        others = sorted({str(speed.profile) for speed in speeds})
        raise NoHistoryError(f"nothing was measured on {profile}" + f" (only on {'; '.join(others)})" * bool(others))
    resolved = {precision: _resolved_precision(precision, here) for precision in {work.precision for work in works}}
    num_draws = max(MIN_DRAWS, min(MAX_DRAWS, MAX_NUMBERS // len(works)))
    rng = np.random.default_rng(0)
    run_deviation = rng.standard_normal(num_draws)
    seconds = np.empty((num_draws, len(works)))
    medians = np.empty(len(works))
    used: list[Speed] = []
    for precision in dict.fromkeys(resolved.values()):
        chosen = [index for index, work in enumerate(works) if resolved[work.precision] == precision]
        part = [works[index] for index in chosen]
        like = _usable(part, [speed for speed in here if speed.precision_resolved == precision], profile)
        seconds[:, chosen], medians[chosen] = draw_trial_seconds(part, like, run_deviation, rng, image_size)
        used += like
    start_up = draw_overhead(
        [overhead.start_up_seconds for overhead in overheads], START_UP_SECONDS, START_UP_SCALE, num_draws, rng
    )
    between = draw_overhead(
        [overhead.seconds_per_trial for overhead in overheads], BETWEEN_SECONDS, BETWEEN_SCALE, num_draws, rng
    )
    seconds += between[:, None]
    in_order = seconds[:, longest_first(medians)]
    return Estimate(
        wall={number: Interval.of(start_up + makespans(in_order, number)) for number in slots},
        trial_seconds=medians.tolist(),
        memory=_most_memory(works, used),
        basis=_basis(works, used, profile),
    )


def _as_latest(speeds: Sequence[Speed]) -> list[Speed]:
    """Leave out what was trained without the fused kernel, if the latest such training had it, and the reverse."""
    latest = {(speed.model, speed.precision_resolved): speed.fused for speed in reversed(speeds)}
    return [speed for speed in speeds if speed.fused == latest[speed.model, speed.precision_resolved]]


def _usable(works: Sequence[TrialWork], speeds: Sequence[Speed], profile: DeviceProfile) -> list[Speed]:
    """Return the speeds that tell of this work. Of the user's own models nothing is known but what was measured.

    Raises:
        NoHistoryError: a model of the work is told of by none.
    """
    models = {work.model for work in works}
    usable = [speed for speed in speeds if speed.model in models or not is_reference(speed.model)]
    has_built_in = any(not is_reference(speed.model) for speed in usable)
    unknown = models - {speed.model for speed in usable}
    unknown = {model for model in unknown if is_reference(model) or not has_built_in}
    if unknown:
        names = sorted({architecture_fields(model)["model"] for model in unknown})
        raise NoHistoryError(f"{', '.join(names)} was not measured on {profile} as it is")
    return usable


def _resolved_precision(precision: str, speeds: Sequence[Speed]) -> str:
    """Return the precision in which the device computes when asked for `precision`."""
    for speed in speeds:
        if precision in (speed.precision, speed.precision_resolved):
            return speed.precision_resolved
    raise NoHistoryError(f"nothing was measured on {speeds[0].profile} in precision {precision}")


def _most_memory(works: Sequence[TrialWork], speeds: Sequence[Speed]) -> PeakMemory | None:
    needs = [
        PeakMemory(num_bytes, work.batch_size, work.model)
        for work in dict.fromkeys(dataclasses.replace(work, epochs=1) for work in works)
        if (num_bytes := _memory_bytes(work, speeds)) is not None
    ]
    return max(needs, key=lambda memory: memory.num_bytes, default=None)


def _memory_bytes(work: TrialWork, speeds: Sequence[Speed]) -> int | None:
    """Interpolate linearly over measured batch sizes: constant below the smallest, proportional above the largest."""
    most: dict[int, int] = {}
    for speed in speeds:
        if speed.model == work.model and speed.peak_memory_bytes is not None:
            most[speed.batch_size] = max(speed.peak_memory_bytes, most.get(speed.batch_size, 0))
    if not most:
        return None
    sizes = sorted(most)
    beyond = max(1.0, work.batch_size / sizes[-1])
    return round(float(np.interp(work.batch_size, sizes, [most[size] for size in sizes])) * beyond)


def _basis(works: Sequence[TrialWork], speeds: Sequence[Speed], profile: DeviceProfile) -> str:
    runs = {speed.run for speed in speeds if not speed.is_probe}
    num_trials = sum(not speed.is_probe for speed in speeds)
    parts = [f"{counted(num_trials, 'trial')} of {counted(len(runs), 'run')} in the store"] * bool(num_trials)
    parts += ["a probe"] * any(speed.is_probe for speed in speeds)
    known = {speed.model for speed in speeds}
    built_in = sorted(model for model in known if not is_reference(model))
    unknown = sorted({work.model for work in works} - known)
    measured = {(speed.model, speed.batch_size) for speed in speeds}
    others = {(work.model, work.batch_size) for work in works if work.model in known} - measured
    text = f"{' and '.join(parts)} on {profile}"
    if others:
        was = counted(len(others), "batch size was", "batch sizes were")
        text += f"; {was} not measured, estimated from other batch sizes"
    if unknown:
        text += f"; {', '.join(unknown)} not measured, estimated from the cost of {', '.join(built_in)}"
    return text
