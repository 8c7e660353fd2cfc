"""What samplers are told of every end of a proposal, and that it keeps them away from what diverges."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from results.store.search_log import (
    ConfirmEvent,
    Earlier,
    EndEvent,
    Event,
    Params,
    ProposalEvent,
    ReportEvent,
    SearchEvent,
)
from search_spaces.parameters import SearchParameter
from search_spaces.schema import Algorithm, ObjectiveSpec, SchedulerSpec
from sweep.search.optuna_samplers import Draw, make_sampler
from sweep.search.outcomes import WORST, Outcome
from sweep.search.sampler import IGNORE_OUTCOMES, Sampler
from sweep.search.scheduler import make_scheduler
from sweep.search.state import SearchState
from tests.sweep_tests.driven_searches import (
    ERROR,
    NUMBERS,
    SECONDS,
    active_among,
    make_trial,
    settings,
)
from trainable.records import Status

DOCS = Path(__file__).parents[2] / "docs" / "search.md"
LOSS = ERROR.model_copy(update={"metric": "holdout_loss"})
ASHA = SchedulerSpec(type="asha", grace_epochs=1, reduction_factor=3)
PROMOTION = SchedulerSpec(type="promotion", grace_epochs=1, reduction_factor=3)
GRID = tuple(
    SearchParameter(name, "categorical", choices=choices)
    for name, choices in (("lr", (0.05, 0.1)), ("weight_decay", (0.0, 0.01)))
)
PARAMS = {"lr": 0.1, "weight_decay": 0.01}
CONFIG = make_trial(PARAMS).config
EARLIER = [{"lr": 0.05, "weight_decay": 0.0}] * 10
"""Trials that `gp` and `tpe` draw at random; their values are 1, 2, ... 10, and that of the proposal is 7."""
WIDE_LR = SearchParameter("lr", "float", 0.001, 10.0, log=True)
MOMENTUM = SearchParameter("momentum", "float", 0.8, 0.98)


def told_table() -> list[tuple[str, Algorithm, str]]:
    """Return the cells of the table in the docs: row, algorithm, text."""
    lines = DOCS.read_text().split("### What a sampler is told\n")[1].split("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    header, _, *body = rows
    algorithms: list[Any] = [name.strip("`") for name in header[1:]]
    return [
        (row[0].split(":")[0], name, cell) for row in body for name, cell in zip(algorithms, row[1:], strict=True)
    ]


TABLE = told_table()


def proposed(number: int = 0, same_as: int | None = None) -> ProposalEvent:
    return ProposalEvent(number, PARAMS, CONFIG, {}, same_as)


def events_of(row: str, num_objectives: int) -> list[Event]:
    values = (7.0,) * num_objectives
    report, stopped = (ReportEvent(0, 1, values, stop) for stop in (False, True))
    complete: list[Event] = [proposed(), report, EndEvent(0, Status.COMPLETE, values)]
    ways: dict[str, list[Event]] = {
        "complete": [*complete],
        "complete, last value not finite": [
            proposed(),
            report,
            EndEvent(0, Status.COMPLETE, (None,) * num_objectives),
        ],
        "diverged": [proposed(), report, EndEvent(0, Status.DIVERGED, None)],
        "impossible": [ProposalEvent(0, PARAMS, None, {}, error="no"), EndEvent(0, Status.FAILED, None)],
        "stopped early": [proposed(), stopped, EndEvent(0, Status.STOPPED, values)],
        "paused": [proposed(), stopped],
        "running": [proposed(), report],
        "failed, until a run trains it again": [proposed(), report, EndEvent(0, Status.FAILED, None)],
        "repeated": [*complete, proposed(1, 0), EndEvent(1, Status.COMPLETE, values)],
        "confirmed": [*complete, ConfirmEvent(0, 0, CONFIG, {})],
        "warm start": [],
    }
    return ways[row]


def state_after(algorithm: Algorithm, row: str, num_objectives: int, events: Sequence[Event]) -> SearchState:
    space = GRID if algorithm == "grid" else NUMBERS
    wanted = settings(algorithm, space, objectives=(ERROR, SECONDS)[:num_objectives])
    scheduler = None
    if row in ("paused", "stopped early"):
        spec = PROMOTION if row == "paused" else ASHA
        wanted, scheduler = dataclasses.replace(wanted, scheduler=spec), make_scheduler(spec, CONFIG.epochs, 0)
    earlier = [Earlier(params, (index + 1.0,) * num_objectives) for index, params in enumerate(EARLIER)]
    state = SearchState(wanted, active_among(space), scheduler, earlier)
    for event in (SearchEvent(wanted.canonical(), tuple(earlier)), *events):
        state.apply(event)
    return state


def with_reports(draw: Draw) -> list[FrozenTrial]:
    """Return the trials of the study; running ones with what they have reported, which `mfgp` sees."""
    trials = draw.study.get_trials()
    for number, reported in draw.progress.running.items():
        trials[number].intermediate_values = dict(reported)
    return trials


def meaning(trial: FrozenTrial | None, algorithm: Algorithm, expected: float) -> str:
    """Return the word of the table for what a sampler sees of a trial."""
    if trial is None or (algorithm == "cmaes" and trial.state is not TrialState.COMPLETE):
        return "skipped"
    if trial.state is not TrialState.COMPLETE:
        is_curve = (trial.state is TrialState.PRUNED or algorithm == "mfgp") and trial.intermediate_values == {1: 7.0}
        return "curve" if is_curve else "running" if trial.state is TrialState.RUNNING else "worst"
    words = {expected: "value"}
    if algorithm == "gp":
        words |= {14.5: "worst", 5.5: "median"}
    [value] = {*trial.values}
    return words.get(value, "worst" if algorithm == "cmaes" and value > 1e300 else f"{value}")


def test_the_table_speaks_of_every_algorithm_and_every_status() -> None:
    rows, algorithms, _ = zip(*TABLE, strict=True)
    assert {*algorithms} == {*get_args(Algorithm)}
    named = {Status.COMPLETE, Status.DIVERGED, Status.STOPPED, Status.FAILED}
    assert all(any(row.startswith(status.lower()) for row in rows) for status in named)


@pytest.mark.parametrize("num_objectives", [1, 2])
@pytest.mark.parametrize(("row", "algorithm", "cell"), TABLE)
def test_a_sampler_is_told_what_the_docs_say(
    row: str, algorithm: Algorithm, cell: str, num_objectives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = events_of(row, num_objectives)
    if cell == "-" or (
        num_objectives == 2 and (algorithm in ("cmaes", "mfgp") or row in ("paused", "stopped early"))
    ):
        return  # refused where the space is read
    state = state_after(algorithm, row, num_objectives, events)
    seen: list[list[FrozenTrial]] = []
    if algorithm == "gp":

        def learn(_: object, study: optuna.Study, *__: object) -> dict[str, Any]:
            seen.append(study.get_trials())
            return {}

        monkeypatch.setattr(optuna.samplers.GPSampler, "sample_relative", learn)
    elif cell != "nothing":

        def make(_: Algorithm, draw: Draw) -> BaseSampler:
            seen.append(with_reports(draw))
            return make_sampler("random", draw)

        monkeypatch.setattr("sweep.search.sampler.make_sampler", make)
    following = state.sampler.ask()
    if cell == "nothing":
        assert algorithm in IGNORE_OUTCOMES
        silent = [event for event in events if isinstance(event, ProposalEvent)]
        assert following == state_after(algorithm, row, num_objectives, silent).sampler.ask()
        return
    [trials] = seen
    params, expected = (EARLIER[0], 1.0) if row == "warm start" else (PARAMS, 7.0)
    found = [trial for trial in trials if trial.params == params]
    found = found[:1] if row == "warm start" else found[-1:]
    assert meaning(found[0] if found else None, algorithm, expected) == cell


def share_of_last_quarter(flags: Sequence[bool]) -> float:
    last = flags[-len(flags) // 4 :]
    return sum(last) / len(last)


def sampler_for(algorithm: Algorithm, parameters: Sequence[SearchParameter], seed: int, objectives: Any) -> Sampler:  # noqa: ANN401
    return Sampler(settings(algorithm, parameters, 500, seed, objectives), active_among(parameters))


@pytest.mark.parametrize("one_in", [1, 25])
def test_tpe_leaves_what_diverges_or_is_impossible(one_in: int) -> None:
    """All of lr > 1 diverges; of the others each, or one in 25, is trained to its end."""
    shares = []
    for seed in range(2):
        sampler = sampler_for("tpe", (WIDE_LR,), seed, (ERROR,))
        noise = np.random.default_rng(seed).standard_normal(100)
        diverged = []
        for number in range(100):
            lr = sampler.ask()["lr"]
            diverged.append(lr > 1)
            error = 10 + 20 * abs(math.log10(lr / 0.1)) + noise[number]
            if lr > 1:
                sampler.tell(number, WORST)
            elif (number - sum(diverged)) % one_in == 0:
                sampler.tell(number, Outcome(TrialState.COMPLETE, (error,), {1: error + 30}))
            else:
                sampler.tell(number, Outcome(TrialState.PRUNED, None, {1: error + 30}))
        shares.append(share_of_last_quarter(diverged))
    assert sum(shares) / len(shares) < 0.05


def known_edge(algorithm: Algorithm, objectives: Sequence[ObjectiveSpec], seed: int, num_known: int = 24) -> Sampler:
    """Return a sampler that knows of trials over the whole space."""
    sampler = sampler_for(algorithm, (WIDE_LR, MOMENTUM), seed, objectives)
    points = np.random.default_rng(seed).random((num_known, 2))
    for number, (x, y) in enumerate(points.tolist()):
        params = {"lr": 10 ** (4 * x - 3), "momentum": 0.8 + 0.18 * y}
        sampler.add(params)
        sampler.tell(number, beside_the_edge(params, len(objectives)))
    return sampler


def beside_the_edge(params: Params, num_objectives: int) -> Outcome:
    """Return the outcome of a training that is best at lr 0.3 and diverges above 0.5."""
    if params["lr"] > 0.5:
        return WORST
    loss = 0.3 + math.log10(params["lr"] / 0.3) ** 2 / 2 + 10 * (params["momentum"] - 0.9) ** 2
    return Outcome(TrialState.COMPLETE, (loss, 10 + 100 * (params["momentum"] - 0.85) ** 2)[:num_objectives])


@pytest.mark.parametrize("objectives", [(LOSS,), (ERROR, SECONDS)])
def test_gp_leaves_what_diverges(objectives: Sequence[ObjectiveSpec]) -> None:
    sampler = known_edge("gp", objectives, 0)
    diverged = []
    for number in range(24, 27):
        params = sampler.ask()
        sampler.tell(number, outcome := beside_the_edge(params, len(objectives)))
        diverged.append(outcome == WORST)
    assert sum(diverged) == 0


def test_trials_that_gp_proposes_at_the_same_time_lie_apart() -> None:
    sampler = known_edge("gp", (LOSS,), 0)
    asked = [sampler.ask() for _ in range(6)]
    points = np.array([[math.log10(params["lr"]) / 4, params["momentum"] / 0.18] for params in asked])
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + 9 * np.eye(len(points))
    assert np.median(distances.min(axis=1)) > 0.08


def test_one_huge_value_does_not_hide_the_others_from_gp() -> None:
    proposals = []
    for huge in (1e3, 1e12):
        sampler = known_edge("gp", (LOSS,), 0, 16)
        sampler.add({"lr": 0.001, "momentum": 0.8})
        sampler.tell(16, Outcome(TrialState.COMPLETE, (huge,)))
        proposals.append(sampler.ask())
    assert proposals[0] == proposals[1]


@pytest.mark.parametrize("algorithm", ["gp", "cmaes"])
def test_after_diverged_trials_the_same_is_proposed_at_every_cut(algorithm: Algorithm) -> None:
    """Two trials run at the same time; a sampler that is rebuilt at any point proposes the same."""
    whole = known_edge(algorithm, (LOSS,), 0, 12)
    proposals = [whole.ask()]
    for _ in range(2):
        proposals.append(whole.ask())
        whole.tell(10 + len(proposals), beside_the_edge(proposals[-2], 1))
    for cut in range(1, len(proposals)):
        rebuilt = known_edge(algorithm, (LOSS,), 0, 12)
        for number, params in enumerate(proposals[:cut]):
            rebuilt.add(params)
            if number:
                rebuilt.tell(11 + number, beside_the_edge(proposals[number - 1], 1))
        assert rebuilt.ask() == proposals[cut]


def test_cmaes_keeps_its_state_while_a_trial_is_paused() -> None:
    sampler = Sampler(settings("cmaes", NUMBERS), active_among(NUMBERS))
    for _ in range(2):
        sampler.ask()
    sampler.tell(0, Outcome(TrialState.COMPLETE, (10.0,)))
    sampler.pause(1, {1: 5.0})
    sampler.ask()
    assert sampler.study.get_trials()[2].system_attrs["cma:generation"] == 0
