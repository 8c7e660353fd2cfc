"""The learning rate as a pure function of the step."""

import math

from trainable.config import TrainConfig

MULTISTEP_FACTOR = 0.1


def lr_at_step(config: TrainConfig, step: int, total_steps: int) -> float:
    """Return the learning rate of a step, counted from 0.

    warm-up: rises linearly from warmup_start_factor * lr to lr (Goyal et al. 2017); after it,
    cosine: falls from lr towards lr_min_factor * lr (Loshchilov & Hutter 2017, eq. 5, without restarts);
    linear: falls from lr towards lr_min_factor * lr;
    multistep: is multiplied by 0.1 at each milestone; constant: stays at lr.

    Raises:
        ValueError: the step is outside [0, total_steps).
    """
    if not 0 <= step < total_steps:
        raise ValueError(f"step {step} is outside [0, {total_steps})")
    warmup = round((config.warmup_epochs or 0.0) * total_steps / config.epochs)
    if step < warmup:
        start = config.lr * (config.warmup_start_factor or 0.0)
        return start + (config.lr - start) * step / warmup
    if config.schedule in ("cosine", "linear"):
        least = config.lr * (config.lr_min_factor or 0.0)
        if config.schedule == "linear":
            return least + (config.lr - least) * (1 - (step - warmup) / (total_steps - warmup))
        return least + (config.lr - least) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total_steps - warmup)))
    if config.schedule == "multistep":
        passed = sum(step >= round(milestone * total_steps) for milestone in config.milestones or ())
        return config.lr * MULTISTEP_FACTOR**passed
    return config.lr
