"""What each trial is given of a machine: numbers, or expressions over its configuration. It is no part of its key."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from search_spaces.expressions import Expression, operands_of
from search_spaces.loader import LoadedSpace
from search_spaces.schema import AUTO, ResourceSpec
from trainable.config import FIELD_NAMES, PlannedTrial, TrainConfig
from trainable.errors import UserError, located, nearest
from trainable.execution import Share
from trainable.gpu_share import CONTEXT_BYTES, Case, memory_fraction, share_for

DEFAULT_CPUS = 1.0
SECTION = "resources"
OPTIONS = {"cpus": "--cpus-per-trial", "gpus": "--gpus-per-trial"}
TOLERANCE = 1e-6
"""Of sums of fractions."""


class ResourceRule:
    """The `resources` of a space, under what the command line says."""

    def __init__(
        self,
        loaded: LoadedSpace | None = None,
        cpus: float | None = None,
        gpus: float | str | None = None,
    ) -> None:
        """
        Args:
            loaded: None where there is no space.
            cpus: --cpus-per-trial, in the place of the space's.
            gpus: --gpus-per-trial, likewise: a number, or AUTO.

        Raises:
            UserError: no expression, with file, line and key.
        """
        spec = (loaded.space.resources if loaded else None) or ResourceSpec()
        self._loaded = loaded
        self._from_options = {key for key, said in (("cpus", cpus), ("gpus", gpus)) if said is not None}
        self.is_said = spec != ResourceSpec() or bool(self._from_options)
        """Whether anything is."""
        self._cpus = self._rule("cpus", spec.cpus if cpus is None else cpus)
        gpus = spec.gpus if gpus is None else gpus
        self.is_auto = gpus == AUTO
        """Whether the share of a GPU is to be measured."""
        self._gpus = None if self.is_auto else self._rule("gpus", gpus)

    def share(self, trial: PlannedTrial, default_gpus: float, measured: Mapping[Case, float] | None = None) -> Share:
        """What this trial is given.

        Args:
            default_gpus: where nothing is said of GPUs.
            measured: case -> share, where it is to be measured.

        Raises:
            UserError: an expression that cannot be computed, or an impossible number, with file, line and key.
        """
        cpus = self._value("cpus", self._cpus, trial)
        if cpus is not None and cpus <= 0:
            raise UserError(f"{self.place('cpus')}: must be greater than 0, got {cpus:g}{_of(trial)}")
        gpus = self._value("gpus", self._gpus, trial)
        if gpus is not None and (gpus < 0 or (gpus > 1 and not float(gpus).is_integer())):
            what = "must be a fraction below 1 or a whole number"
            raise UserError(f"{self.place('gpus')}: {what}, got {gpus:g}{_of(trial)}")
        if gpus is None:
            gpus = share_for(case_of(trial.config), measured) if measured else default_gpus
        return Share(DEFAULT_CPUS if cpus is None else float(cpus), float(gpus))

    def place(self, key: str) -> str:
        """Where that key is said."""
        if key in self._from_options:
            return OPTIONS[key]
        path = (SECTION, key)
        is_written = self._loaded is not None and path in self._loaded.source.lines
        return self._loaded.source.where(path) if self._loaded and is_written else OPTIONS[key]

    def _rule(self, key: str, said: float | str | None) -> Expression | float | None:
        if not isinstance(said, str):
            return said
        with located(self.place(key)):
            return Expression(said)

    def _value(self, key: str, rule: Expression | float | None, trial: PlannedTrial) -> float | None:
        if not isinstance(rule, Expression):
            return rule
        fields: dict[str, Any] = {name: getattr(trial.config, name) for name in FIELD_NAMES}
        operands = operands_of({**trial.variables, **fields})
        with located(self.place(key)):
            if unknown := sorted(rule.names - operands.keys()):
                raise UserError(f"{unknown[0]!r} has no value: {nearest(unknown[0], operands)}")
            return rule.compute(operands)


def case_of(config: TrainConfig) -> Case:
    return config.model, config.batch_size, config.precision


def _of(trial: PlannedTrial) -> str:
    return f" for {trial.config.model}, batch size {trial.config.batch_size}"


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """What one machine of a cluster has for trials."""

    cpus: float
    gpus: float


Given = Sequence[tuple[PlannedTrial, Share]]
"""Trials with what each is to be given."""


def check_possible(rule: ResourceRule, given: Given, nodes: Sequence[Node]) -> None:
    """Refuse what would wait for ever.

    Raises:
        UserError: no machine has as much.
    """
    most_gpus = max((node.gpus for node in nodes), default=0.0)
    most_cpus = max((node.cpus for node in nodes), default=0.0)
    shares = {share: trial for trial, share in given}
    for share, trial in shares.items():
        who = _of(trial) if len(shares) > 1 else ""
        if share.gpus > most_gpus:
            found = f"the largest node has {most_gpus:g}" if most_gpus else "no node has one"
            raise UserError(f"{rule.place('gpus')} {share.gpus:g}{who}: {found}")
        if share.cpus > most_cpus:
            raise UserError(f"{rule.place('cpus')} {share.cpus:g}{who}: the largest node has {most_cpus:g}")
        if not any(node.cpus >= share.cpus and node.gpus >= share.gpus for node in nodes):
            raise UserError(f"{rule.place('gpus')}{who}: no node has {share}")


def check_memory(rule: ResourceRule, given: Given, peaks: Mapping[Case, int], gpu_bytes: int) -> None:
    """Refuse a share of a GPU that such a training is known to need more than.

    Args:
        peaks: case -> bytes that it took on such a GPU.
        gpu_bytes: of one GPU.

    Raises:
        UserError: it would run out of memory.
    """
    for trial, share in given:
        peak = peaks.get(case_of(trial.config), 0)
        fraction = memory_fraction(share.gpus, gpu_bytes)
        if fraction is not None and peak > fraction * gpu_bytes:
            needed = min(1.0, math.ceil(100 * (peak + CONTEXT_BYTES) / gpu_bytes) / 100)
            raise UserError(
                f"{rule.place('gpus')} {share.gpus:g}{_of(trial)}: that is {fraction * gpu_bytes / 1e9:.1f} GB of a "
                f"GPU's memory, and such a training took {peak / 1e9:.1f} GB: give it {needed:g}"
            )


def num_slots(nodes: Iterable[Node], shares: Sequence[Share]) -> int:
    """Trials that run at a time if they are begun in this order, again and again, each on the first node with room.

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
    """What trials are given, and how many of them one machine can run at a time."""

    usual: Share
    """What most of them are given."""
    num_slots: int
    """0: it cannot run them."""
    text: str


def capacity(rule: ResourceRule, trials: Sequence[PlannedTrial], node: Node) -> Capacity:
    """
    Raises:
        UserError: an expression that cannot be computed, or an impossible number.
    """
    shares = [rule.share(trial, 1.0 if node.gpus else 0.0) for trial in trials]
    counts = Counter(shares)
    texts = [str(share) if len(counts) == 1 else f"{share} ({number})" for share, number in counts.items()]
    text = ", ".join(texts) + ", the share of a GPU being measured" * (rule.is_auto and node.gpus > 0)
    return Capacity(counts.most_common(1)[0][0], num_slots([node], shares), text)
