"""What the nodes of a cluster can run: checks of declared resources, and the number of trials at a time."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from search_spaces.resources import ResourceRule, case_of, for_trial
from trainable.config import PlannedTrial
from trainable.errors import UserError
from trainable.execution import Share
from trainable.gpu_share import CONTEXT_BYTES, Case, memory_fraction
from trainable.processors import usable_processors
from trainable.provenance import gpu_names

TOLERANCE = 1e-6
"""Tolerance when fractions of a GPU are added up."""


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """The CPUs and GPUs of one machine that trials may use."""

    cpus: float
    gpus: float


def this_machine() -> Node:
    """Return the CPUs and GPUs of this machine that this process may use."""
    return Node(usable_processors(), len(gpu_names()))


Given = Sequence[tuple[PlannedTrial, Share]]
"""Trials, each with its share of CPUs and GPUs."""


def check_possible(rule: ResourceRule, given: Given, nodes: Sequence[Node]) -> None:
    """Refuse trials that no node could ever run.

    Raises:
        UserError: No node has as many CPUs or GPUs as a trial is given.
    """
    most_gpus = max((node.gpus for node in nodes), default=0.0)
    most_cpus = max((node.cpus for node in nodes), default=0.0)
    shares = {share: trial for trial, share in given}
    for share, trial in shares.items():
        whom = for_trial(trial) if len(shares) > 1 else ""
        if share.gpus > most_gpus:
            found = f"the largest node has {most_gpus:g}" if most_gpus else "no node has one"
            raise UserError(f"{rule.location('gpus')} {share.gpus:g}{whom}: {found}")
        if share.cpus > most_cpus:
            raise UserError(f"{rule.location('cpus')} {share.cpus:g}{whom}: the largest node has {most_cpus:g}")
        if not any(node.cpus >= share.cpus and node.gpus >= share.gpus for node in nodes):
            raise UserError(f"{rule.location('gpus')}{whom}: no node has {share}")


def check_memory(rule: ResourceRule, given: Given, peaks: Mapping[Case, int], gpu_bytes: int) -> None:
    """Refuse a share of a GPU that is known to be too small for the training.

    Args:
        peaks: peak memory in bytes per case, measured on this kind of GPU.

    Raises:
        UserError: The trial would run out of memory.
    """
    for trial, share in given:
        peak = peaks.get(case_of(trial.config), 0)
        fraction = memory_fraction(share.gpus, gpu_bytes)
        if fraction is not None and peak > fraction * gpu_bytes:
            needed = min(1.0, math.ceil(100 * (peak + CONTEXT_BYTES) / gpu_bytes) / 100)
            raise UserError(
                f"{rule.location('gpus')} {share.gpus:g}{for_trial(trial)}: that is "
                f"{fraction * gpu_bytes / 1e9:.1f} GB of a "
                f"GPU's memory, and such a training took {peak / 1e9:.1f} GB: give it {needed:g}"
            )


def num_slots(nodes: Iterable[Node], shares: Sequence[Share]) -> int:
    """Number of trials that run at the same time.

    Trials with these shares are placed in turn, again and again, each on the first node with room.

    Args:
        shares: at least one.
    """
    free = [[node.cpus, node.gpus] for node in nodes]
    slots = 0
    while True:
        share = shares[slots % len(shares)]
        for room in free:
            if room[0] + TOLERANCE >= share.cpus and room[1] + TOLERANCE >= share.gpus:
                room[0] -= share.cpus
                room[1] -= share.gpus
                break
        else:
            return slots
        slots += 1


@dataclasses.dataclass(frozen=True, slots=True)
class Capacity:
    """The shares that trials are given, and the number of trials that one machine runs at the same time."""

    usual: Share
    """Share that most of the trials have."""
    num_slots: int
    """Number of trials that run at the same time; 0 if the machine cannot run them."""
    text: str
    """The shares in words."""
    refusal: str | None
    """Why `run` would refuse these trials on this machine; None if it would not."""


def capacity(rule: ResourceRule, trials: Sequence[PlannedTrial], node: Node) -> Capacity:
    """The capacity of one node for these trials.

    Raises:
        UserError: An expression cannot be computed, or a number is impossible.
    """
    shares = [rule.share(trial, 1.0 if node.gpus else 0.0) for trial in trials]
    counts = Counter(shares)
    texts = [str(share) if len(counts) == 1 else f"{share} ({number})" for share, number in counts.items()]
    text = ", ".join(texts) + ", the share of a GPU being measured" * (rule.is_auto and node.gpus > 0)
    refusal = None
    try:
        check_possible(rule, list(zip(trials, shares, strict=True)), [node])
    except UserError as error:
        refusal = str(error)
    return Capacity(counts.most_common(1)[0][0], num_slots([node], shares), text, refusal)
