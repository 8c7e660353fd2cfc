"""Estimate the work that is left from the history of a store, and say it in words."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence

from results.store.store import Store
from sweep.driver.capacity import Capacity
from sweep.estimate.estimate import Estimate, estimate
from sweep.estimate.history import read_speeds
from sweep.estimate.speeds import DeviceProfile, NoHistoryError, Speed, device_profile_here
from sweep.estimate.wall_time import LEVEL, longest_first
from sweep.estimate.work import DatasetSize, TrialWork, trial_work
from sweep.runs import ExpectedTime, read_overheads
from trainable.config import TrainConfig, architecture_fields
from trainable.wording import counted, say

USUAL_SLOTS = (1, 2, 4, 8)
"""Trials at the same time for which `plan` answers without being asked, where this machine can run more."""


def unmeasured(
    works: Sequence[TrialWork], speeds: Sequence[Speed], profile: DeviceProfile
) -> list[tuple[str, int, str]]:
    """Return each (model, batch size, precision) of this work that no speed was measured of."""
    measured = {
        (speed.model, speed.batch_size, precision)
        for speed in speeds
        if speed.profile == profile
        for precision in (speed.precision, speed.precision_resolved)
    }
    cases = dict.fromkeys((work.model, work.batch_size, work.precision) for work in works)
    return [case for case in cases if case not in measured]


def estimate_run(
    store: Store, configs: Mapping[str, TrainConfig], dataset: DatasetSize, profile: DeviceProfile, num_slots: int
) -> Estimate | None:
    """Estimate a run that is about to begin; None where nothing is known.

    Args:
        configs: trial key -> configuration, of the trials that are not finished.
    """
    summaries = store.summaries(configs)
    works = [
        trial_work(config, max(1, config.epochs - summaries[key].epochs_done), dataset.num_images)
        for key, config in configs.items()
    ]
    try:
        speeds = read_speeds(store, dataset.equally_fast)
        return estimate(works, speeds, read_overheads(store), profile, [num_slots], dataset.image_size)
    except NoHistoryError:
        return None


def estimate_left(
    store: Store, left: dict[str, TrainConfig], dataset: DatasetSize, profile: DeviceProfile, num_slots: int
) -> tuple[dict[str, TrainConfig], ExpectedTime | None]:
    """Order the trials that are left, longest first, and estimate how long they will take together.

    The longest trial last would leave all slots but one idle at the end. Where nothing is known of the speed, the
    order stays and there is no estimate.
    """
    found = estimate_run(store, left, dataset, profile, num_slots)
    if found is None:
        return left, None
    keys = list(left)
    ordered = {keys[index]: left[keys[index]] for index in longest_first(found.trial_seconds)}
    return ordered, ExpectedTime(**dataclasses.asdict(found.wall[num_slots]), level=LEVEL, basis=found.basis)


def usual_slots(num_slots: int) -> list[int]:
    """Return the numbers of trials at the same time for which `plan` answers where this machine runs `num_slots`."""
    return [number for number in USUAL_SLOTS if number < num_slots] + [max(1, num_slots)]


def time_text(
    store: Store,
    works: Sequence[TrialWork],
    dataset: DatasetSize,
    capacity: Capacity,
    *,
    probe: bool = False,
    slots: Sequence[int] | None = None,
    heading: str | None = None,
) -> str:
    """Say how long the work takes, from the store's history, or from a probe where that is asked for.

    Args:
        works: at least one.
        probe: time a few steps here of every configuration that the store knows nothing of.
        slots: numbers of trials at the same time to answer for; None: a few usual ones.
        heading: line above the answer, where there is one.
    """
    num_threads, num_slots = capacity.usual.num_threads, capacity.num_slots
    profile = device_profile_here(num_threads, use_gpu=True)
    speeds = read_speeds(store, dataset.equally_fast)
    cases = unmeasured(works, speeds, profile) if probe else []
    if cases:
        from trainable.probe import probe as time_steps  # imports torch

        say(f"probing {counted(len(cases), 'configuration')} ...", file=sys.stderr, flush=True)
        device, probes = time_steps(cases, num_threads, dataset.image_size)
        profile = dataclasses.replace(profile, device=device)
        probed = [Speed(profile=profile, run="", **dataclasses.asdict(measured)) for measured in probes]
        speeds = [*probed, *speeds]  # the latest first
    numbers = sorted({*(slots or usual_slots(num_slots))})
    try:
        found = estimate(works, speeds, read_overheads(store), profile, numbers, dataset.image_size)
    except NoHistoryError as error:
        return f"  time   unknown: {error}; --probe measures a few steps here"
    text = estimate_text(found, num_slots)
    return text if heading is None else f"{heading}\n{text}"


def estimate_text(found: Estimate, num_slots_here: int) -> str:
    """Return the lines of `plan` that tell time and memory."""
    lines = [f"  time   {interval}, {counted(number, 'trial')} at a time" for number, interval in found.wall.items()]
    lines = [lines[0], *(line.replace("  time ", "       ", 1) for line in lines[1:])]
    lines = [
        line + (" (what this machine can run)" if number == num_slots_here else "")
        for line, number in zip(lines, found.wall, strict=True)
    ]
    lines.append(f"         median (and {100 * LEVEL:.0f} % interval), from {found.basis}")
    if found.memory is None:
        lines.append("  memory unknown")
    else:
        memory = found.memory
        whose = f"{architecture_fields(memory.model)['model']}, batch size {memory.batch_size}"
        lines.append(f"  memory at most {memory.num_bytes / 1e9:.1f} GB per trial ({whose})")
    return "\n".join(lines)
