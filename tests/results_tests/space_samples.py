"""Sweeps that are not batch size x lr, as figures and tables get them: a grid with repeats, a search over six fields
with words, and a population. Their errors follow formulae, so that a test can say what is on a figure."""

import math
from collections.abc import Sequence
from typing import Any

from results.figures.figure_data import Results
from results.parquet.search_results import Objective, Parameter, SearchResults, SearchTrial
from results.parquet.trials import Trial, group_repeats
from results.store.search_settings import SCHEDULER_TYPE, Scalar
from tests.results_tests.result_samples import make_config, make_epoch, make_trial
from trainable.config import TrainConfig
from trainable.records import Purpose, Status

RATES = (0.1, 0.05, 0.2)
DECAYS = (1e-3, 1e-5, 1e-4)
"""In an order that is neither that of numbers nor that of texts."""
SEEDS = (0, 1)


def grid_error(lr: float, decay: float, seed: int) -> float:
    """Percent: 8, 9 or 10 by the weight decay, 0.25 less for twice the lr, and 0.5 more for seed 1."""
    return 13 + math.log10(decay) - 0.25 * math.log2(lr / 0.05) + 0.5 * seed


def grid() -> Results:
    """lr x weight decay, two seeds: lr 0.2 diverged with 1e-3 in both, with 1e-4 in one; one cell is not finished."""
    trials = []
    for lr in RATES:
        for decay in DECAYS:
            for seed in SEEDS:
                config = make_config(lr=lr, weight_decay=decay, seed=seed, epochs=20)
                diverged = lr == 0.2 and (decay == 1e-3 or (decay == 1e-4 and seed == 1))
                if (lr, decay) == (0.05, 1e-5):
                    trials.append(make_trial(config, None, status=Status.INCOMPLETE.value, epochs_done=3))
                elif diverged:
                    trials.append(make_trial(config, None, status=Status.DIVERGED.value, epochs_done=2))
                else:
                    trials.append(make_trial(config, grid_error(lr, decay, seed), total_seconds=600.0 + seed))
    return of_trials("decays", trials)


CHOICES: dict[str, tuple[Any, ...]] = {
    "optimizer": ("sgd", "muon", "adamw"),
    "schedule": ("linear", "cosine"),
    "batch_size": (256, 64, 128),
    "ghost_batch_size": (None, 64, 16),
    "nesterov": (True, False),
}
"""What the search chooses from; lr is a range."""
BEST_OPTIMIZER = {"sgd": 0.0, "muon": 2.0, "adamw": 6.0}
NUM_PROPOSALS = 24


def six_fields() -> Results:
    """A search over five fields with words and the range of lr: every eighth proposal diverged, one of 24 failed."""
    parameters = (
        Parameter("lr", 0.001, 0.1, log=True),
        *(Parameter(name, choices=values) for name, values in CHOICES.items()),
    )
    proposals = []
    for number in range(NUM_PROPOSALS):
        params: dict[str, Scalar] = {"lr": 0.001 * 100 ** (number * 7 % NUM_PROPOSALS / (NUM_PROPOSALS - 1))}
        for step, (name, values) in enumerate(CHOICES.items(), start=1):
            params[name] = values[(number // step + number) % len(values)]
        if params["optimizer"] == "adamw":
            params["nesterov"] = False
        config = make_config(epochs=9, holdout=0.1, **params)
        status = {1: Status.FAILED, 7: Status.DIVERGED, 15: Status.DIVERGED}.get(number, Status.COMPLETE)
        error = 10 + BEST_OPTIMIZER[str(params["optimizer"])] + (params["schedule"] == "linear") + number / 100
        proposals.append(_proposal(number, config, params, error if status is Status.COMPLETE else None, status))
    return of_search("six", "random", "none", parameters, proposals)


def population() -> Results:
    """Three generations of two members, which train two epochs each; the second of the last one diverged."""
    parameters = (Parameter("lr", 0.01, 1.0, log=True), Parameter("momentum", 0.8, 0.98))
    members: list[tuple[float, float, int | None, float | None]] = [
        (0.4, 0.9, None, 20.0),
        (0.1, 0.8, None, 10.0),
        (0.12, 0.96, 1, 6.0),
        (0.1, 0.8, 1, 3.0),
        (0.08, 0.91, 2, 4.0),
        (0.8, 0.98, 3, None),
    ]
    proposals: list[SearchTrial] = []
    for number, (lr, momentum, parent, error) in enumerate(members):
        key = None if parent is None else proposals[parent].trial.config.trial_key
        fields = {"lr": lr, "momentum": momentum, "parent": key, "schedule": "constant"}
        config = make_config(epochs=2, holdout=0.1, seed=number, **fields)
        status = Status.DIVERGED if error is None else Status.COMPLETE
        proposals.append(_proposal(number, config, {"lr": lr, "momentum": momentum}, error, status))
    return of_search("bred", "random", "pbt", parameters, proposals)


def _proposal(
    number: int, config: TrainConfig, params: dict[str, Scalar], error: float | None, status: Status
) -> SearchTrial:
    known: dict[str, Any] = {} if error is None else {"objective_values": (error,), "holdout_error_percent": error}
    epochs = config.epochs if error is not None else 1
    test_error = None if error is None else error + 0.5
    fields = {"proposal": number, "status": status.value, "epochs_done": epochs, "purpose": Purpose.SEARCH, **known}
    return SearchTrial(number, make_trial(config, test_error, **fields), params)


def of_search(
    name: str, algorithm: str, scheduler: str, parameters: Sequence[Parameter], proposals: list[SearchTrial]
) -> Results:
    """The results of a search by the error on the held-out images, without confirmations."""
    objective = (Objective("holdout_error_percent"),)
    settings = {SCHEDULER_TYPE: scheduler}
    search = SearchResults(algorithm, len(proposals), 0, settings, objective, tuple(parameters), None, proposals, {})
    return of_trials(name, [proposed.trial for proposed in proposals], search)


def of_trials(name: str, trials: Sequence[Trial], search: SearchResults | None = None) -> Results:
    """The results of trials, whose errors fell to the last one in all epochs."""

    def epochs_of(trial: Trial) -> list[Any]:
        row, last = trial.row, trial.row.test_error_percent or 60.0
        return [
            make_epoch(epoch, last + 10 * (row.epochs_done / epoch - 1), holdout_error_percent=last)
            for epoch in range(1, row.epochs_done + 1)
        ]

    records = {trial.row.trial_key: epochs_of(trial) for trial in trials}
    return Results(name, group_repeats(trials), epochs=lambda: records, search=search)
