"""Say what a search has done, and what it would train at most."""

import dataclasses
from collections.abc import Sequence

from sweep.estimate.work import images_not_held_out
from sweep.plan.search_plan import RemainingTraining, SearchPlan
from trainable.config import TrainConfig
from trainable.wording import counted

Amount = tuple[int, int | None]
"""Epochs, and images to train on, which are None if the size of the data set is not known."""


def search_plan_text(
    sweep: str,
    dataset: str,
    plan: SearchPlan,
    warm_start: str | None,
    corners: Sequence[TrainConfig],
    num_images: tuple[int, int] | None,
) -> str:
    """Return the plan as text.

    Args:
        warm_start: name of the earlier search from which this one starts.
        corners: configurations at the ends of the searched ranges.
        num_images: number of the data set's images to train and to test; None if unknown.
    """
    num_trials = plan.done + len(plan.resumed) + plan.to_come
    begun = "" if plan.store else ", which has not begun"
    lines = [f"{sweep}: a search of up to {counted(num_trials, 'trial')} on {dataset}{begun}"]
    if plan.num_earlier:
        lines.append(f"  start  {counted(plan.num_earlier, 'earlier result')} of {warm_start}")
    left = [
        _largest_amount(plan.to_come, corners, num_images),
        *(_amount(training, num_images) for training in plan.resumed),
    ]
    most = f"{_sum_text(left)} if no trial is stopped early"
    if plan.store is None:
        epochs = sorted({config.epochs for config in corners})
        each = counted(epochs[0], "epoch") if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]} epochs"
        lines.append(f"  most   {counted(num_trials, 'trial')} of {each}: {most}")
    else:
        resumed = f", {len(plan.resumed)} to resume" if plan.resumed else ""
        lines.append(f"  done   {plan.done}{resumed} in {plan.store}")
        end = "" if plan.is_settled else f": {most}"
        lines.append(f"  left   {counted(num_trials - plan.done, 'trial')}{end}")
    if plan.num_confirmations:
        lines.append(f"  then   {_confirmation_text(plan, corners, num_images)}")
    return "\n".join(lines)


def _confirmation_text(plan: SearchPlan, corners: Sequence[TrainConfig], num_images: tuple[int, int] | None) -> str:
    total = counted(plan.num_confirmations, "trial")
    if plan.confirmations_left is None:
        whole = [dataclasses.replace(config, holdout=0.0) for config in corners]
        most = _sum_text([_largest_amount(plan.num_confirmations, whole, num_images)])
        return f"up to {total} to confirm the best: {most}"
    if plan.confirmations_left:
        amounts = [_amount(training, num_images) for training in plan.confirmations_left]
        return f"{len(amounts)} of {total} to confirm the best: {_sum_text(amounts)}"
    have = counted(plan.num_confirmations, "trial has", "trials have")
    return f"nothing: {have} confirmed the best"


def _largest_amount(num_trials: int, configs: Sequence[TrainConfig], num_images: tuple[int, int] | None) -> Amount:
    """Return the amount for `num_trials` trials that are all as large as the largest of these configurations."""
    each = [_amount(RemainingTraining(config, config.epochs), num_images) for config in configs]
    images = [images for _, images in each if images is not None]
    return num_trials * max(epochs for epochs, _ in each), num_trials * max(images) if images else None


def _amount(training: RemainingTraining, num_images: tuple[int, int] | None) -> Amount:
    if num_images is None:
        return training.epochs, None
    return training.epochs, training.epochs * images_not_held_out(training.config, num_images[0])


def _sum_text(amounts: Sequence[Amount]) -> str:
    images = [images for _, images in amounts if images is not None]
    known = counted_images(sum(images) if len(images) == len(amounts) else None)
    return f"{counted_epochs(sum(epochs for epochs, _ in amounts))}, {known}"


def counted_epochs(num_epochs: int) -> str:
    return f"{num_epochs:,} epoch" + "s" * (num_epochs != 1)


def counted_images(num_images: int | None) -> str:
    if num_images is None:
        return "unknown number of images"
    return f"{num_images:,} image" + "s" * (num_images != 1)
