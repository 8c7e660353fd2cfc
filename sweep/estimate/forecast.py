"""What a store's history says about work that is left, and how it is told."""

from collections.abc import Collection, Mapping, Sequence

from results.store.store import Store
from sweep.estimate.estimate import LEVEL, Estimate, NoHistoryError, Place, Speed, Work, estimate
from sweep.estimate.history import read_speeds
from sweep.plan.plan import work_left
from sweep.runs import format_interval, read_overheads
from trainable.config import TrainConfig
from trainable.ledger.ledger import read_trial


def unmeasured(works: Sequence[Work], speeds: Sequence[Speed], place: Place) -> list[tuple[str, int, str]]:
    """The (model, batch size, precision) of this work that no speed is of."""
    measured = {
        (speed.model, speed.batch_size, precision)
        for speed in speeds
        if speed.place == place
        for precision in (speed.precision, speed.precision_resolved)
    }
    cases = dict.fromkeys((work.model, work.batch_size, work.precision) for work in works)
    return [case for case in cases if case not in measured]


def estimate_run(
    store: Store,
    configs: Mapping[str, TrainConfig],
    num_images: tuple[int, int],
    datasets: Collection[str],
    place: Place,
    num_slots: int,
    image_size: int,
) -> Estimate | None:
    """Of a run that is about to begin; None where nothing is known.

    Args:
        configs: trial key -> configuration, of the trials that are not finished.
        num_images: of the data set, to train and to test.
        datasets: whose trials tell of the speed.
    """
    store.refresh_trials(configs)
    works = [
        work_left(config, max(1, config.epochs - len(read_trial(store.trial_folder(key)).epochs)), num_images)
        for key, config in configs.items()
    ]
    try:
        speeds = read_speeds(store, datasets)
        return estimate(works, speeds, read_overheads(store), place, [num_slots], image_size)
    except NoHistoryError:
        return None


def estimate_text(found: Estimate, num_slots_here: int) -> str:
    """Lines that go on where `plan_text` ends."""
    lines = [f"  time   {format_interval(interval)}, {number} at a time" for number, interval in found.wall.items()]
    lines = [lines[0], *(line.replace("  time ", "       ", 1) for line in lines[1:])]
    lines = [
        line + (" (as this machine can)" if number == num_slots_here else "")
        for line, number in zip(lines, found.wall, strict=True)
    ]
    lines.append(f"         median, and in brackets {100 * LEVEL:.0f} % of what may come, from {found.basis}")
    if found.memory is None:
        lines.append("  memory unknown")
    else:
        size = f"{found.memory.num_bytes / 1e9:.1f} GB"
        lines.append(f"  memory at most {size} a trial ({found.memory.model}, batch size {found.memory.batch_size})")
    return "\n".join(lines)
