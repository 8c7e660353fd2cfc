"""Speeds with a known law."""

import dataclasses

from models.costs import multiply_accumulates
from sweep.estimate.speeds import DeviceProfile, RunOverhead, Speed
from sweep.estimate.work import TrialWork

HERE = DeviceProfile("a processor", 1)
SECONDS_A_MAC = 1e-10
MODEL = "resnet_preact_20"
OVERHEADS = [RunOverhead(5.0, 0.1)] * 20
"""Known so well that they add nothing to the interval."""


def cost(model: str) -> int:
    return multiply_accumulates(model) or 0


def law(model: str, batch_size: int) -> float:
    """Seconds a training image: large batches are up to twice as fast as small ones."""
    return SECONDS_A_MAC * cost(model) * (1 + 8 / (batch_size + 8))


def make_speed(batch_size: int, factor: float = 1.0, run: str = "run", **changes: object) -> Speed:
    """A speed that follows `law`, times `factor`; evaluation is three times as fast as an endless batch."""
    speed = Speed(
        profile=HERE,
        model=MODEL,
        batch_size=batch_size,
        precision="auto",
        precision_resolved="fp32",
        run=run,
        train_seconds_per_image=0.0,
        eval_seconds_per_image=0.0,
    )
    speed = dataclasses.replace(speed, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(
        speed,
        train_seconds_per_image=factor * law(speed.model, batch_size),
        eval_seconds_per_image=factor * SECONDS_A_MAC / 3 * cost(speed.model),
    )


def make_work(batch_size: int, model: str = MODEL, epochs: int = 10) -> TrialWork:
    return TrialWork(
        model, batch_size, "auto", epochs=epochs, train_images_per_epoch=50_000, eval_images_per_epoch=10_000
    )


def true_seconds(work: TrialWork) -> float:
    """Seconds that all epochs of the work take by `law`."""
    evaluation = SECONDS_A_MAC / 3 * cost(work.model) * work.eval_images_per_epoch
    return work.epochs * (law(work.model, work.batch_size) * work.train_images_per_epoch + evaluation)
