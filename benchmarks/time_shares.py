"""Where the time of a training epoch goes, by torch's profiler."""

import re

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from trainable.training import Training

OPTIMIZER = "optimiser"
OTHER = "other operators"
HOST = "outside of operators"
"""Python, autograd's engine, and whatever else the epoch's clock counts and no operator does."""
GROUPS = {
    "fused batch norm, ReLU, addition, backward": r"NormRelu>$",
    "fused batch norm, ReLU, addition, forward": r"^batchscape::norm_relu",
    "convolution backward": r"convolution_backward",
    "convolution forward": r"conv2d|convolution",
    "batch norm backward": r"batch_?norm.*backward",
    "batch norm forward": r"batch_?norm",
    "ReLU backward": r"threshold_backward|relu.*backward",
    "ReLU forward": r"relu|clamp_min",
    "additions": r"^aten::add_?$",
    "casts and copies": r"^aten::(to|_to_copy|copy_|contiguous|clone)$",
    "crop, flip, normalise": r"^aten::(index|flip|where|sub|div|constant_pad_nd|pad|take_along_dim|gather)$",
}
"""Group -> pattern in an operator's name; the first group that matches counts."""
ENGINE = re.compile(r"^autograd::|^torch::autograd(?!.*NormRelu>$)|Backward\d*$")
STEP = re.compile(r"^Optimizer\.")


def profile_epoch(training: Training) -> dict[str, float]:
    """Train one epoch on the CPU to warm up, then one with the profiler, on the training half of which it reports.

    Returns microseconds for an image by group; together they are all that the epoch's clock counted.
    """
    training.run_epoch(attempt=1)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        record = training.run_epoch(attempt=1).record
    groups = dict.fromkeys([*GROUPS, OPTIMIZER, OTHER], 0.0)
    for event in profiler.events() or []:
        group = group_of(event)
        if group is not None:
            groups[group] += event.self_cpu_time_total
    num_images = record.images_per_second * record.train_seconds
    groups[HOST] = record.train_seconds * 1e6 - sum(groups.values())
    return {group: value / num_images for group, value in groups.items()}


def group_of(event: FunctionEvent) -> str | None:
    """Return the group that an event's own time belongs to: that of the nearest enclosing event that has one.

    Everything inside the optimiser is the optimiser's. None is time that belongs to no operator.
    """
    chain = [event]
    while chain[-1].cpu_parent is not None:
        chain.append(chain[-1].cpu_parent)
    if any(STEP.search(link.name) for link in chain):
        return OPTIMIZER
    if ENGINE.search(event.name):
        return None
    for link in chain:
        if ENGINE.search(link.name):
            break
        for group, pattern in GROUPS.items():
            if re.search(pattern, link.name):
                return group
    return OTHER
