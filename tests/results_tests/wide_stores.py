"""Searches at the edges: over many parameters at once, and of trials that all diverge."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results.parquet.collect import Collector
from results.parquet.files import export_tables
from results.store.local_store import LocalStore
from results.store.search_log import EndEvent, Event, ProposalEvent, ReportEvent, SearchEvent, SearchLog
from tests.results_tests.result_samples import make_end, make_epoch, make_manifest, write_trial
from tests.results_tests.searched_stores import EPOCHS, SETTINGS, error_after, searched_config
from trainable.config import TrainConfig
from trainable.records import EpochRecord, Status

WIDE = "wide"
RANGES: dict[str, dict[str, Any]] = {
    "momentum": {"kind": "float", "low": 0.8, "high": 0.98, "step": None, "log": False},
    "weight_decay": {"kind": "float", "low": 1e-5, "high": 1e-3, "step": None, "log": True},
}
"""`momentum` for batch sizes of 64 and more alone."""
CHOICES: dict[str, tuple[Any, ...]] = {
    "nesterov": (True, False),
    "augmentation": ("crop_flip", "crop", "none"),
    "schedule": ("cosine", "constant"),
    "model": ("resnet_preact_8", "resnet_preact_20"),
}


def write_wide_search(
    path: Path, choices: Mapping[str, tuple[Any, ...]] = CHOICES, num_trials: int = 24
) -> LocalStore:
    """A random search over lr, batch size, `RANGES` and the choices; all trials run to the end."""
    dice = random.Random(1)  # noqa: S311
    parameters = {
        **SETTINGS["parameters"],
        **RANGES,
        **{name: {"kind": "categorical", "choices": list(values)} for name, values in choices.items()},
    }
    proposals = []
    for _ in range(num_trials):
        base_lr, batch_size = 0.01 * 320 ** dice.random(), dice.choice((32, 64, 128))
        chosen: dict[str, Any] = {"weight_decay": 1e-5 * 100 ** dice.random()}
        if batch_size >= 64:
            chosen["momentum"] = dice.uniform(0.8, 0.98)
        chosen |= {name: dice.choice(values) for name, values in choices.items()}
        proposals.append(({"base_lr": base_lr, "batch_size": batch_size, **chosen}, chosen))
    trials = []
    for params, chosen in proposals:
        errors = [error_after(params["base_lr"], params["batch_size"], epoch) for epoch in range(1, EPOCHS + 1)]
        trials.append((params, searched_config(params["base_lr"], params["batch_size"], **chosen), errors))
    return _write(path, WIDE, parameters, trials, Status.COMPLETE)


def write_diverged_search(path: Path, name: str = "lost", num_trials: int = 5) -> LocalStore:
    """A search in which each trial diverged after one epoch."""
    trials = []
    for number in range(num_trials):
        base_lr = 2.6 + 0.1 * number
        trials.append(({"base_lr": base_lr, "batch_size": 64}, searched_config(base_lr, 64), [80.0]))
    return _write(path, name, SETTINGS["parameters"], trials, Status.DIVERGED)


def _write(
    path: Path,
    name: str,
    parameters: Mapping[str, Any],
    trials: list[tuple[dict[str, Any], TrainConfig, list[float]]],
    status: Status,
) -> LocalStore:
    store = LocalStore(path)
    settings = {
        **SETTINGS,
        "algorithm": "random",
        "num_trials": len(trials),
        "parameters": dict(parameters),
        "scheduler": {"type": "none"},
    }
    events: list[Event] = [SearchEvent(settings)]
    for number, (params, config, errors) in enumerate(trials):
        curve: list[EpochRecord] = [
            make_epoch(epoch, error + 0.5, holdout_error_percent=error, holdout_loss=error / 30)
            for epoch, error in enumerate(errors, 1)
        ]
        values = (errors[-1],) if status is Status.COMPLETE else None
        events.append(ProposalEvent(number, params, config, {"base_lr": params["base_lr"]}))
        events += [ReportEvent(number, epoch, (error,), False) for epoch, error in enumerate(errors, 1)]
        events.append(EndEvent(number, status, values))
        write_trial(store, config, curve, make_end(status, len(errors)))
    SearchLog(store.search_log(name)).append(events)
    export_tables(*Collector(store, make_manifest([], name)).tables(), str(store.sweep_folder(name)))
    return store
