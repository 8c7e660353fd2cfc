"""Which trials a sweep should have next, and a space that trains them beside the finished ones."""

import dataclasses
import re
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.insight.advice import SETTLED_OCTAVES, Advice, Proposal, advise
from results.insight.findings import Insight, findings
from results.insight.groups import WITHIN_GROUP, groups_of_trials
from results.parquet.trials import Trial
from results.store.manifest import Manifest
from results.store.store import Store
from results.tables.layout import Column, format_seconds, plain_table
from search_spaces.expressions import Expression
from search_spaces.resources import SECTION
from search_spaces.schema import AUTO
from sweep.written_space import own_files_comment, space_content
from trainable.config import FIELD_NAMES, SHARED_HOLDOUT, TrainConfig, is_field
from trainable.data.sizes import NUM_IMAGES
from trainable.errors import UserError
from trainable.limited_yaml import dump_yaml, load_limited
from trainable.records import Status
from trainable.wording import command, counted, format_value, printable_line

FINAL = (Status.COMPLETE, Status.DIVERGED)
SUFFIX = "-advised"
MAX_STEM = 80
"""Letters of the sweep's name that the new one keeps, since a name has at most 100."""
LITTLE_GAIN = 0.1
"""Points of error; an expected gain below it is called little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the trials may take: a time, or a number of them. The other is None."""

    seconds: float | None = None
    num_trials: int | None = None


@dataclass(frozen=True, slots=True)
class SweepAdvice:
    """Advice for trials of a sweep that differ in batch size, learning rate and seed only."""

    manifest: Manifest
    store_option: str
    """The option --store, with a blank before it; empty for the default."""
    name: str
    """Name of the sweep that the advised space makes."""
    settings: str
    """What distinguishes these trials from the sweep's others."""
    finished: Sequence[TrainConfig]
    advice: Advice
    seconds: Mapping[int, float]
    """Time of one trial by batch size."""
    num_groups: int = 1
    """Number of such groups in the sweep; this one leaves most open."""

    @property
    def new(self) -> list[TrainConfig]:
        """Configurations of the proposed trials."""
        seed = min(config.seed for config in self.finished)
        return [
            dataclasses.replace(self.finished[0], batch_size=each.batch_size, lr=each.lr, seed=seed)
            for each in self.advice.proposals
        ]

    def run_command(self, file: str) -> str:
        """Return the command that trains the space in this file, on the images of the sweep."""
        folder = self.manifest.data or ("" if self.finished[0].dataset in NUM_IMAGES else "DIR")
        data = f" --data {shlex.quote(folder)}" if folder else ""
        label = f" --label {shlex.quote(self.manifest.label)}" if self.manifest.label else ""
        return command("run", shlex.quote(file)) + data + label + self.store_option


def sweep_advice(store: Store, manifest: Manifest, trials: Sequence[Trial], budget: Budget) -> SweepAdvice:
    """Advise on a sweep; of several groups of trials with other settings, on the one with most left open.

    Raises:
        UserError: nothing can be told, or the budget pays for no trial.
    """
    found = [
        _group_advice(store, manifest, insight, trials, budget)
        for insight in findings(groups_of_trials(trials, scale=manifest.scale or "")).insights
        if insight.group.runs
    ]
    if not found:
        raise UserError(f"advise {manifest.name}: no trial has finished yet")
    best = max(found, key=lambda each: len(each.advice.open_sizes))
    if best.finished[0].recipe_version == SHARED_HOLDOUT:  # only its search can hold out those images
        raise UserError(f"advise {manifest.name}: a search over train_subset cannot be extended by single trials")
    if best.advice.open_sizes and not best.advice.proposals:
        least = format_seconds(min(best.seconds[size] for size in best.advice.open_sizes))
        raise UserError(f"--budget: one trial takes {least} or more: give at least that, or a number of trials")
    return dataclasses.replace(best, num_groups=len(found))


def _group_advice(
    store: Store, manifest: Manifest, insight: Insight, trials: Sequence[Trial], budget: Budget
) -> SweepAdvice:
    first = insight.group.config
    same = [name for name in FIELD_NAMES if name not in WITHIN_GROUP]
    members = [
        trial
        for trial in trials
        if trial.status in FINAL and all(getattr(trial.config, name) == getattr(first, name) for name in same)
    ]
    seconds = _seconds(members)
    costs, limit = (seconds, budget.seconds) if budget.num_trials is None else (None, budget.num_trials)
    advice = advise(insight.best, costs or dict.fromkeys(seconds, 1.0), limit or 0.0)
    name = advised_name(manifest.name, store.sweeps())
    return SweepAdvice(
        manifest, store.option, name, insight.label, [trial.config for trial in members], advice, seconds
    )


def _seconds(trials: Sequence[Trial]) -> dict[int, float]:
    """Return the median time of a trial by batch size; where all diverged, the median of the others."""
    complete = [trial for trial in trials if trial.status is Status.COMPLETE] or trials
    times = {
        size: [trial.row.total_seconds for trial in complete if trial.config.batch_size == size]
        for size in {trial.config.batch_size for trial in trials}
    }
    everything = [trial.row.total_seconds for trial in complete]
    return {size: statistics.median(members or everything) for size, members in times.items()}


def advice_text(found: SweepAdvice, file: str) -> str:
    """Show the trials, what each tells and costs, and how to train them."""
    advice, sizes = found.advice, counted(len(found.advice.open_sizes), "batch size")
    heading = f"{found.manifest.name} ({found.settings}), {counted(len(found.finished), 'finished trial')}"
    if found.num_groups > 1:
        heading += f" (of {found.num_groups} groups of equal other settings, the one that leaves most open)"
    if not advice.proposals:
        known = f"known to {SETTLED_OCTAVES:g} octaves, a factor of {2**SETTLED_OCTAVES:.2g}"
        return f"{heading}: nothing is open: the best rate at every batch size is {known}\n{_gain_text(advice)}"
    factor = f"factor of {2**SETTLED_OCTAVES:.2g}"
    seconds = sum(found.seconds[proposal.batch_size] for proposal in advice.proposals)
    trials = counted(len(advice.proposals), "trial")
    return "\n".join(
        [
            f"{heading}: at {sizes} the best rate is known less exactly than to a {factor}",
            plain_table(_columns(found)).rstrip(),
            f"in all: {trials}, {format_seconds(seconds)} one after the other",
            _gain_text(advice),
            f"next: {found.run_command(file)} trains them, and reuses what is finished",
        ]
    )


def _columns(found: SweepAdvice) -> list[Column]:
    proposals = found.advice.proposals
    return [
        Column("batch size", "right", [str(each.batch_size) for each in proposals]),
        Column("lr", "right", [format_value(each.lr) for each in proposals]),
        Column("tells", "left", [each.settles for each in proposals]),
        Column("at stake, points", "right", [_stake(found.advice, each) for each in proposals]),
        Column("time", "right", [format_seconds(found.seconds[each.batch_size]) for each in proposals]),
    ]


def _stake(advice: Advice, proposal: Proposal) -> str:
    gain = advice.gains.get(proposal.batch_size)
    return "unknown" if gain is None else f"{gain.points:.2f} (up to {gain.most:.2f})"


def _gain_text(advice: Advice) -> str:
    if not advice.gains:
        return "What is at stake cannot be told: no batch size has three rates that were better than chance."
    size, gain = max(advice.gains.items(), key=lambda item: item[1].points)
    text = (
        "At stake is by how much the error would fall if the best rate were known exactly: "
        f"{gain.points:.2f} points are expected at batch size {size}{', less elsewhere' * (len(advice.gains) > 1)}."
    )
    little = " That is little: the trials tell how the rate depends on the batch size, but hardly lower the error."
    return text + (little if gain.points < LITTLE_GAIN else "")


def advised_yaml(found: SweepAdvice, file: str) -> str:
    """Return a space of the finished trials and the new ones."""
    sweep, configs = found.manifest.name, [*found.finished, *found.new]
    space = space_content(found.name, f"{sweep}, and the trials that advise proposes.", configs)
    if rule := _resources(found.manifest):
        space["resources"] = rule
    if found.manifest.keep_weights != "best":
        space["keep_weights"] = found.manifest.keep_weights
    run, new = printable_line(found.run_command(file)), counted(len(found.new), "new trial")
    head = f"# Run: {run}\n# Trains {new}, the last rows; the other rows are trials of {sweep}.\n"
    return head + own_files_comment(configs) + dump_yaml(space)


def _resources(manifest: Manifest) -> dict[str, Any]:
    """Return the `resources` of the sweep's space, unless they depend on names that rows lack."""
    content = load_limited(manifest.space)
    rule = content.get(SECTION, {}) if isinstance(content, dict) else {}
    texts = [text for text in rule.values() if isinstance(text, str) and text != AUTO]
    return rule if all(map(is_field, (name for text in texts for name in Expression(text).names))) else {}


def advised_name(sweep: str, taken: Sequence[str]) -> str:
    """Return a name that no sweep of the store has: `quickstart-advised`, then `quickstart-advised-2`."""
    stem = re.sub(rf"{SUFFIX}(-\d+)?$", "", sweep)[:MAX_STEM] + SUFFIX
    names = [stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)
