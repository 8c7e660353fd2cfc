"""The learning rate as a pure function of the step, without warm-up."""

import math

from trainable.config import TrainConfig

MULTISTEP_FACTOR = 0.1


def lr_at_step(config: TrainConfig, step: int, total_steps: int) -> float:
    """Return the learning rate of a step, counted from 0.

    cosine: falls from lr towards lr_min_factor * lr (Loshchilov & Hutter 2017, eq. 5, without restarts);
    multistep: is multiplied by 0.1 at each milestone; constant: stays at lr.

    Raises:
        ValueError: the step is outside [0, total_steps).
    """
    if not 0 <= step < total_steps:
        raise ValueError(f"step {step} is outside [0, {total_steps})")
    if config.schedule == "cosine":
        least = config.lr * (config.lr_min_factor or 0.0)
        return least + (config.lr - least) * 0.5 * (1 + math.cos(math.pi * step / total_steps))
    if config.schedule == "multistep":
        passed = sum(step >= round(milestone * total_steps) for milestone in config.milestones or ())
        return config.lr * MULTISTEP_FACTOR**passed
    return config.lr
