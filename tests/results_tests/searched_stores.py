"""Searches as a driver leaves them: log, ledgers and the two Parquet files, with curves that a formula gives."""

import dataclasses
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results.parquet.collect import Collector
from results.parquet.files import export_tables
from results.store.local_store import LocalStore
from results.store.search_log import (
    ConfirmEvent,
    EndEvent,
    Event,
    ProposalEvent,
    ReportEvent,
    SearchEvent,
    SearchLog,
    Values,
)
from tests.results_tests.result_samples import make_config, make_end, make_epoch, make_manifest, write_trial
from trainable.config import TrainConfig
from trainable.records import EpochRecord, Status

SWEEP = "tuned"
EPOCHS = 9
RUNGS = (1, 3)
BATCH_SIZES = (32, 64, 128)
BEST_LR = 0.2
SPACE = """\
name: tuned
description: learning rate and batch size
search: {algorithm: tpe, num_trials: 24}
parameters:
  base_lr: {min: 0.01, max: 3.2, distribution: log_uniform_values}
  batch_size: {values: [32, 64, 128]}
derive: {lr: base_lr * batch_size / 128}
scheduler: {type: asha}
"""
SETTINGS: dict[str, Any] = {
    "algorithm": "tpe",
    "num_trials": 24,
    "seed": 0,
    "warm_start": None,
    "parameters": {
        "base_lr": {"kind": "float", "low": 0.01, "high": 3.2, "step": None, "log": True},
        "batch_size": {"kind": "categorical", "choices": list(BATCH_SIZES)},
    },
    "objective": [{"metric": "holdout_error_percent", "goal": "minimize"}],
    "scheduler": {"type": "asha", "grace_epochs": 1, "reduction_factor": 3, "brackets": 1},
    "confirm": {"top": 2, "repeats": 3},
    "trial": {},
}
"""Settings in the form of `sweep.search.search.SearchSettings.canonical`."""
DIVERGES_ABOVE = 2.5
"""Range of base_lr."""


def searched_config(base_lr: float, batch_size: int, **changes: object) -> TrainConfig:
    values = {"epochs": EPOCHS, "holdout": 0.1, "lr": base_lr * batch_size / 128, "batch_size": batch_size}
    return make_config(**{**values, **changes})


def error_after(base_lr: float, batch_size: int, epoch: int) -> float:
    """Percent on the held-out images: least at BEST_LR, and a little less for small batches."""
    return 8 + 6 * math.log(base_lr / BEST_LR) ** 2 + batch_size / 64 + 30 / epoch


def searched_epoch(base_lr: float, batch_size: int, epoch: int) -> EpochRecord:
    """An epoch whose test error is 0.5 points above the held-out error; large batches take less time."""
    error = error_after(base_lr, batch_size, epoch)
    return make_epoch(
        epoch,
        error + 0.5,
        holdout_error_percent=error,
        holdout_loss=error / 30,
        train_seconds=2.0 + 64 / batch_size,
    )


def write_search(
    path: Path, *, num_trials: int = 24, confirm: bool = True, two_objectives: bool = False, name: str = SWEEP
) -> LocalStore:
    """Proposals drawn at random, stopped at RUNGS unless among the best third so far, and the best two confirmed.

    One more proposal is the same as the first, one is impossible and the last is under way.
    """
    store = LocalStore(path)
    dice = random.Random(0)  # noqa: S311
    settings = {**SETTINGS, "num_trials": num_trials}
    if two_objectives:
        metrics = ("holdout_error_percent", "train_seconds")
        settings["objective"] = [{"metric": metric, "goal": "minimize"} for metric in metrics]
        settings["scheduler"] = {"type": "none"}
    events: list[Event] = [SearchEvent(settings)]
    at_rung: dict[int, list[float]] = {rung: [] for rung in RUNGS}
    complete: list[tuple[float, int, float, int]] = []
    for number in range(num_trials):
        base_lr, batch_size = 0.01 * 320 ** dice.random(), dice.choice(BATCH_SIZES)
        params = {"base_lr": base_lr, "batch_size": batch_size}
        config = searched_config(base_lr, batch_size)
        events.append(ProposalEvent(number, params, config, {"base_lr": base_lr}))
        curve = [searched_epoch(base_lr, batch_size, epoch) for epoch in range(1, EPOCHS + 1)]
        if base_lr > DIVERGES_ABOVE:
            events += [_report(number, curve[:1], two=two_objectives), EndEvent(number, Status.DIVERGED, None)]
            write_trial(store, config, curve[:2], make_end(Status.DIVERGED, 2))
            continue
        for epoch in range(1, EPOCHS + 1):
            stop = False
            if epoch in RUNGS and not two_objectives:
                seen = at_rung[epoch]
                seen.append(error_after(base_lr, batch_size, epoch))
                stop = seen[-1] > sorted(seen)[len(seen) // 3]
            report = _report(number, curve[:epoch], two=two_objectives, stop=stop)
            events.append(report)
            if stop:
                break
        events.append(EndEvent(number, Status.STOPPED if stop else Status.COMPLETE, report.values))
        end = None if stop else make_end(Status.COMPLETE, EPOCHS)
        write_trial(store, config, curve[:epoch], end)
        if not stop:
            complete.append((error_after(base_lr, batch_size, EPOCHS), number, base_lr, batch_size))
    events += _odd_proposals(events, num_trials)
    write_trial(store, searched_config(0.1, 32), [searched_epoch(0.1, 32, 1)])
    if confirm:
        complete.sort()
        if two_objectives:  # only the Pareto front: the best of each batch size, if smaller ones are worse
            complete = [
                trial for i, trial in enumerate(complete) if all(trial[3] > other[3] for other in complete[:i])
            ]
        events += _confirm(store, complete[:2])
    SearchLog(store.search_log(name)).append(events)
    tables = Collector(store, make_manifest([], name, space=SPACE)).tables()
    export_tables(*tables, str(store.sweep_folder(name)))
    return store


def _odd_proposals(events: Sequence[Event], number: int) -> list[Event]:
    """A proposal that is equal to the first, an impossible one and one under way, numbered from `number`."""
    first = next(event for event in events if isinstance(event, ProposalEvent))
    ended = next(event for event in events if isinstance(event, EndEvent))
    return [
        dataclasses.replace(first, number=number, same_as=0),
        dataclasses.replace(ended, number=number),
        ProposalEvent(number + 1, {"base_lr": 1.0, "batch_size": 99999}, None, {}, error="too large"),
        EndEvent(number + 1, Status.FAILED, None),
        ProposalEvent(number + 2, {"base_lr": 0.1, "batch_size": 32}, searched_config(0.1, 32), {"base_lr": 0.1}),
    ]


BRED = "bred"
GENERATION_EPOCHS = 2
MEMBERS = (
    (0.4, 0.9, None, 20.0),
    (0.1, 0.8, None, 10.0),
    (0.12, 0.96, 1, 6.0),
    (0.1, 0.8, 1, 3.0),
    (0.1, 0.8, 3, 5.0),
    (0.08, 0.91, 2, 4.0),
)
"""Proposal: base_lr, momentum, its parent's number and its error on the held-out images (percent)."""


def write_population(
    path: Path, members: Sequence[tuple[float, float, int | None, float]] = MEMBERS, *, lr_name: str = "base_lr"
) -> LocalStore:
    """Population based training: generations of two members, which train `GENERATION_EPOCHS` epochs each."""
    store = LocalStore(path)
    settings = {
        **SETTINGS,
        "algorithm": "random",
        "num_trials": len(members),
        "parameters": {
            lr_name: SETTINGS["parameters"]["base_lr"],
            "momentum": {"kind": "float", "low": 0.8, "high": 0.98, "step": None, "log": False},
        },
        "scheduler": {"type": "pbt", "population": 2},
        "confirm": None,
    }
    events: list[Event] = [SearchEvent(settings)]
    configs: list[TrainConfig] = []
    for number, (base_lr, momentum, parent, error) in enumerate(members):
        changes = {"momentum": momentum, "epochs": GENERATION_EPOCHS, "seed": number, "schedule": "constant"}
        if parent is not None:
            changes["parent"] = configs[parent].trial_key
        configs.append(searched_config(base_lr, 64, **changes))
        curve = [
            make_epoch(epoch, error + 1, holdout_error_percent=error, holdout_loss=1.0)
            for epoch in range(1, GENERATION_EPOCHS + 1)
        ]
        params = {lr_name: base_lr, "momentum": momentum}
        events += [
            ProposalEvent(number, params, configs[-1], {lr_name: base_lr}),
            *(_report(number, curve[:epoch], two=False) for epoch in range(1, GENERATION_EPOCHS + 1)),
            EndEvent(number, Status.COMPLETE, (error,)),
        ]
        write_trial(store, configs[-1], curve, make_end(Status.COMPLETE, GENERATION_EPOCHS))
    SearchLog(store.search_log(BRED)).append(events)
    export_tables(*Collector(store, make_manifest([], BRED, space=SPACE)).tables(), str(store.sweep_folder(BRED)))
    return store


def _report(number: int, curve: Sequence[EpochRecord], *, two: bool, stop: bool = False) -> ReportEvent:
    values: Values = (curve[-1].holdout_error_percent,)
    if two:
        values = (*values, sum(record.train_seconds for record in curve))
    return ReportEvent(number, len(curve), values, stop)


def _confirm(store: LocalStore, chosen: Sequence[tuple[float, int, float, int]]) -> list[Event]:
    """Three seeds each; test error 8, 9 and 10 % for the best, 7, 8 and 9 % for the second."""
    events: list[Event] = []
    for rank, (_, number, base_lr, batch_size) in enumerate(chosen):
        for seed in range(3):
            config = searched_config(base_lr, batch_size, holdout=0.0, seed=seed)
            events.append(ConfirmEvent(number, seed, config, {"base_lr": base_lr}))
            records = [make_epoch(epoch, 8.0 - rank + seed) for epoch in range(1, EPOCHS + 1)]
            write_trial(store, config, records, make_end(Status.COMPLETE, EPOCHS))
    return events
