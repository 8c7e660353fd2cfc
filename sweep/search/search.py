"""A search: what to train next, when to stop it, and what to make of the end, free of Ray.

Every decision is an event of the log (see results.store.search_log). A search whose driver died is rebuilt by feeding
the events to a new study and a new scheduler in their order; proposals that had not ended are given out again.
"""

import collections
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from results.store.search_log import (
    ConfirmEvent,
    Earlier,
    EndEvent,
    Event,
    OverEvent,
    Params,
    ProposalEvent,
    ProposalRecord,
    Report,
    ReportEvent,
    RetryEvent,
    SearchEvent,
    SearchLog,
    SearchRecord,
    Values,
    best,
    finite,
    read_log,
)
from results.store.search_settings import (
    CHOICES,
    CONFIRM,
    HIGH,
    KIND,
    LOG,
    LOW,
    METRIC,
    NUM_TRIALS,
    OBJECTIVE,
    PARAMETERS,
    SCHEDULER,
    SCHEDULER_TYPE,
    STEP,
    TRIAL,
    WHEN,
)
from search_spaces.parameters import SearchParameter
from search_spaces.schema import SCHEDULER_KEYS, ConfirmSpec, ObjectiveSpec, SchedulerSpec, SearchSpec
from sweep.search.population import Population
from sweep.search.study import WITHOUT_HISTORY, Active, Facts, Study, export_storage, outcome
from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError
from trainable.records import EpochRecord, Status
from trainable.wording import counted

MAX_PROPOSALS_A_TRIAL = 10
"""A search ends at so many proposals for each of num_trials, however many were equal or impossible."""
MAX_REPEATED = 5
"""Equal or impossible proposals one after the other before the next is drawn at random."""
CUMULATED = ("train_seconds",)
"""Metrics that add up over the epochs; the others are those of the last epoch."""


class Steering(Protocol):
    """A scheduler: decides after each epoch whether a trial is worth going on with (see sweep.search.steering)."""

    def add(self, number: int, epochs: int) -> None:
        """A trial of so many epochs begins."""

    def report(self, number: int, epoch: int, value: float | None) -> bool:
        """True where the trial is to be stopped after this epoch, which is not its last."""

    def end(self, number: int) -> None:
        """The trial is over."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What is searched and how, as the space declares it."""

    name: str
    """Of the sweep."""
    num_trials: int
    """Different configurations to train."""
    search: SearchSpec
    parameters: Sequence[SearchParameter]
    objectives: Sequence[ObjectiveSpec]
    scheduler: SchedulerSpec
    confirm: ConfirmSpec | None = None
    trial: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Plain JSON: what else makes a trial of the parameters, as defaults, derive, overrides, scale, data set."""

    def canonical(self) -> dict[str, Any]:
        """Plain JSON: equal for equal searches."""
        values = {
            **self.search.model_dump(),
            NUM_TRIALS: self.num_trials,
            PARAMETERS: {one.name: _plain(one) for one in self.parameters},
            OBJECTIVE: [one.model_dump() for one in self.objectives],
            SCHEDULER: self.scheduler.model_dump(include={SCHEDULER_TYPE, *SCHEDULER_KEYS[self.scheduler.type]}),
            CONFIRM: None if self.confirm is None else self.confirm.model_dump(),
            TRIAL: dict(self.trial),
        }
        return dict(json.loads(json.dumps(values, allow_nan=False)))


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trial to train."""

    number: int
    trial: PlannedTrial
    ancestors: tuple[TrainConfig, ...] = ()
    """Whose trainings it goes on from, the first first: only in population based training."""


class Search:
    """One driver's hold on a search. A trial is named by its key."""

    def __init__(
        self,
        settings: SearchSettings,
        log_path: Path,
        make_trial: Callable[[Params], PlannedTrial],
        active: Active,
        steering: Steering | None = None,
        earlier: Sequence[Earlier] = (),
    ) -> None:
        """Begin a search, or go on with the one that the log holds.

        Args:
            make_trial: the configuration of some parameters; a UserError where there is no such configuration.
            active: whether a parameter is proposed, given those before it.
            steering: in the state in which it was at the beginning of the search.
            earlier: results to start from; where the search has begun those that it began with count.

        Raises:
            UserError: the log is damaged, or holds a search with other settings.
        """
        self.settings = settings
        self.notes: list[str] = []
        """What a person should be told of how the search begins, one line each; how it ends the record tells."""
        self.record = SearchRecord()
        self._make_trial = make_trial
        self._steering = steering
        self._metrics = [one.metric for one in settings.objectives]
        self._numbers: dict[str, int] = {}
        self._abandoned: set[int] = set()
        self._population: Population | None = None
        if settings.scheduler.type == "pbt":
            self._population = Population(settings.scheduler, settings.parameters, active, settings.search.seed)
        self._log = SearchLog(log_path)
        now = SearchEvent(settings.canonical(), tuple(earlier))
        begun = [event for event in self._log.events if isinstance(event, SearchEvent)] or [now]
        _check_same(settings.name, begun[-1].settings, now.settings)
        self._study = Study(
            settings.parameters,
            active,
            settings.search.algorithm,
            settings.search.seed,
            len(settings.objectives),
            settings.name,
            begun[0].earlier,
        )
        for event in self._log.events:
            self._feed(event)
        if self.record.settings != now.settings:
            self._write([now if not self._log.events else dataclasses.replace(now, earlier=())])
        self._tell_of_earlier()
        self._mend()
        trained = [one for one in self.record.proposals if one.is_trained and one.status is None]
        self._pending = collections.deque(one.number for one in trained)
        self._note_the_end()

    def try_again(self) -> None:
        """Give out what has failed once more: as a sweep without a search does, at the beginning of each run.

        Of a population only its latest generation: the others have gone on without those that failed.
        """
        proposals = self.record.proposals
        latest = proposals[0 if self._population is None else self._population.generation(proposals) :]
        failed = [one for one in latest if one.status is Status.FAILED and one.config is not None]
        if failed:
            self._write([RetryEvent(one.number) for one in failed])
            again = [one.number for one in failed if one.is_trained]
            self._pending = collections.deque(sorted([*self._pending, *again]))

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to propose or to go on with, in this run."""
        trained = [one for one in self.record.proposals if one.is_trained]
        has_ended = all(one.status is not None or one.number in self._abandoned for one in trained)
        return has_ended and (bool(self._abandoned) or self._has_proposed_all())

    def next(self) -> Proposal | None:
        """The next trial to train, those first that an earlier driver left.

        None where there are no more; or, while not `is_over`, none before others have ended.
        """
        if self._pending:
            return self._proposal(self._pending.popleft())
        while not self._abandoned and not self._has_proposed_all() and not self._is_waiting():
            number = self._propose()
            if self.record.proposals[number].is_trained:
                return self._proposal(number)
        self._note_the_end()
        return None

    def report(self, trial_key: str, epoch: EpochRecord) -> bool:
        """Whether the trial is to be stopped after this epoch. An epoch that is known is answered as it was."""
        proposal = self._of(trial_key)
        reports = proposal.reports
        if epoch.epoch <= len(reports):
            return reports[epoch.epoch - 1].stop
        if proposal.status is not None:
            return proposal.status is Status.STOPPED
        values = tuple(_value(metric, epoch, reports, index) for index, metric in enumerate(self._metrics))
        stop = self._steer(proposal.number, epoch.epoch, values)
        event = ReportEvent(proposal.number, epoch.epoch, values, stop)
        self._log.append([event])
        self.record.apply(event)
        if stop:
            self._end(proposal, Status.STOPPED)
        return stop

    def end(self, trial_key: str, status: Status) -> None:
        """The trial has ended. One that was stopped, or had ended before, stays as it is."""
        proposal = self._of(trial_key)
        if proposal.status is None:
            self._end(proposal, status)

    def abandon(self, trial_key: str) -> None:
        """Nobody can tell what comes of the trial: propose nothing more. The next run goes on with it."""
        self._abandoned.add(self._of(trial_key).number)

    def confirmations(self) -> list[PlannedTrial]:
        """The best configurations, to be trained on all of the training images with several seeds.

        Of two objectives those that no other is better than in both, from one end of the front to the other.
        """
        planned: list[PlannedTrial] = []
        confirm = self.settings.confirm
        if confirm is None or self._abandoned:
            return planned
        for proposal in self.best(confirm.top):
            first = _config(proposal)
            for repeat in range(confirm.repeats):
                config = dataclasses.replace(first, holdout=0.0, seed=first.seed + repeat)
                event = ConfirmEvent(proposal.number, repeat, config, proposal.variables)
                if event not in self.record.confirmations:
                    self._write([event])
                planned.append(PlannedTrial(config, repeat, proposal.variables))
        return planned

    def best(self, num: int) -> list[ProposalRecord]:
        """The best that were trained to the end, at most `num`, best first."""
        return best(self.record)[:num]

    def spent(self) -> list[str]:
        """Keys of the trials from whose last state nobody goes on any more; none before the search is over.

        More generations may be asked for later: those of the latest one are kept.
        """
        if self._population is None or not self.is_over or self._abandoned:
            return []
        proposals = self.record.proposals
        start = self._population.generation(proposals)
        needed = {one.config.parent for one in proposals[start:] if one.config and one.status is Status.FAILED}
        keys = [one.config.trial_key for one in proposals[:start] if one.config is not None]
        return [key for key in keys if key not in needed]

    def _is_waiting(self) -> bool:
        """Whether a generation has to come to its end."""
        return self._population is not None and self._population.is_waiting(self.record.proposals)

    def _has_proposed_all(self) -> bool:
        return self._has_enough() or self._early_end() is not None

    def _has_enough(self) -> bool:
        proposals, wanted = self.record.proposals, self.settings.num_trials
        if self._population is not None:
            return len(proposals) >= wanted
        return sum(one.is_trained for one in proposals) >= wanted

    def _early_end(self) -> str | None:
        """Why there is nothing more to propose, though fewer were tried than asked for; None where there is."""
        proposals, wanted = self.record.proposals, self.settings.num_trials
        if self._population is not None:
            has_died_out = self._population.has_died_out(proposals)
            generation = len(proposals) // self._population.size
            return f"no member of generation {generation} came to its end" if has_died_out else None
        trained = sum(one.is_trained for one in proposals)
        different = counted(trained, "different configuration")
        if self._study.is_exhausted:
            return f"the space holds {different}, all were proposed: {wanted} asked for"
        if len(proposals) >= MAX_PROPOSALS_A_TRIAL * wanted:
            return f"{counted(len(proposals), 'proposal')} gave {different}, {wanted} asked for"
        return None

    def _note_the_end(self) -> None:
        """Once: that no more will be proposed, and why."""
        if self.record.over is not None or self._pending or self._abandoned or self._has_enough():
            return
        if (note := self._early_end()) is not None:
            self._write([OverEvent(note)])

    def _tell_of_earlier(self) -> None:
        given, used = len(self.record.earlier), self._study.num_earlier
        algorithm = self.settings.search.algorithm
        if given and algorithm in WITHOUT_HISTORY:
            self.notes.append(f"search.algorithm {algorithm} learns nothing from search.warm_start")
        elif used < given:
            self.notes.append(f"{used} of {given} earlier results lie inside the space and are used")

    def _propose(self) -> int:
        """Ask for one more; what needs no training is answered at once."""
        number = len(self.record.proposals)
        parent: str | None = None
        if self._population is not None and number >= self._population.size:
            params, parent = self._population.member(self.record.proposals)
        else:
            params = self._study.ask(self._is_repeating())
        try:
            trial = self._make_trial(params)
            if self._population is not None:
                config = dataclasses.replace(trial.config, seed=trial.config.seed + number, parent=parent)
                trial = dataclasses.replace(trial, config=config)
        except UserError as error:
            impossible = ProposalEvent(number, params, None, {}, error=str(error))
            self._write([impossible, EndEvent(number, Status.FAILED, None)])
            return number
        same_as = self._numbers.get(trial.config.trial_key)
        events: list[Event] = [ProposalEvent(number, params, trial.config, trial.variables, same_as)]
        if same_as is not None and (source := self.record.proposals[same_as]).status is not None:
            events.append(EndEvent(number, source.status, source.values))
        self._write(events)
        return number

    def _is_repeating(self) -> bool:
        if self._population is not None:
            return False  # no two members have the same seed
        last = self.record.proposals[-MAX_REPEATED:]
        return len(last) == MAX_REPEATED and not any(one.is_trained for one in last)

    def _end(self, proposal: ProposalRecord, status: Status) -> None:
        """End it, and all that are the same."""
        values = None
        if status in (Status.COMPLETE, Status.STOPPED) and proposal.reports:
            values = proposal.reports[-1].values
        same = [one for one in self.record.proposals if one.same_as == proposal.number and one.status is None]
        self._write([EndEvent(one.number, status, values) for one in (proposal, *same)])

    def _mend(self) -> None:
        """Write what the last driver had decided and could not write any more."""
        for proposal in self.record.proposals:
            if proposal.status is not None:
                continue
            source = self.record.source(proposal)
            if source.reports and source.reports[-1].stop and source is proposal:
                self._end(proposal, Status.STOPPED)
            elif source.status is not None:
                self._write([EndEvent(proposal.number, source.status, source.values)])
            elif proposal.config is None:
                self._write([EndEvent(proposal.number, Status.FAILED, None)])

    def _write(self, events: Sequence[Event]) -> None:
        self._log.append(events)
        for event in events:
            self._feed(event)

    def _feed(self, event: Event) -> None:
        """Bring record, study and scheduler to the state after the event; what they know they are not told again."""
        if isinstance(event, ProposalEvent):
            if event.number == len(self._study):
                self._study.add(event.params, self._is_repeating())
            if event.config is not None and event.same_as is None:
                self._numbers[event.config.trial_key] = event.number
                if self._steering is not None:
                    self._steering.add(event.number, event.config.epochs)
        self.record.apply(event)
        if isinstance(event, ReportEvent):
            self._steer(event.number, event.epoch, event.values)
        elif isinstance(event, EndEvent):
            proposal = self.record.proposals[event.number]
            if event.status is Status.FAILED and proposal.config is not None:
                return  # the next run goes on with it: neither study nor scheduler is told of an end
            self._study.tell(event.number, outcome(self.record, proposal, self._metrics))
            if self._steering is not None and proposal.is_trained:
                self._steering.end(event.number)

    def _steer(self, number: int, epoch: int, values: Values) -> bool:
        """What the scheduler decides; it sees the first objective."""
        return self._steering is not None and self._steering.report(number, epoch, values[0])

    def _of(self, trial_key: str) -> ProposalRecord:
        return self.record.proposals[self._numbers[trial_key]]

    def _proposal(self, number: int) -> Proposal:
        proposal = self.record.proposals[number]
        *ancestors, config = [_config(self.record.proposals[one]) for one in self._lineage(proposal)]
        return Proposal(number, PlannedTrial(config, 0, proposal.variables), tuple(ancestors))

    def _lineage(self, proposal: ProposalRecord) -> list[int]:
        """Numbers of the proposals that make one training, the first first, this one last."""
        numbers = [proposal.number]
        while (parent := _config(self.record.proposals[numbers[-1]]).parent) is not None:
            numbers.append(self._numbers[parent])
        return numbers[::-1]


def check_goes_on(settings: SearchSettings, log_path: Path) -> None:
    """
    Raises:
        UserError: the log is damaged, or holds a search with other settings.
    """
    begun = read_log(log_path).settings
    if begun:
        _check_same(settings.name, begun, settings.canonical())


def export_study(record: SearchRecord, name: str, url: str, facts: Mapping[int, Facts]) -> str:
    """Add the search of this name to an Optuna storage; its URL without the password.

    Args:
        facts: number of a proposal -> what is known of its training.

    Raises:
        UserError: as `export_storage`.
    """
    parameters = [_parameter(key, values) for key, values in record.settings[PARAMETERS].items()]
    metrics = [one[METRIC] for one in record.settings[OBJECTIVE]]
    return export_storage(record, parameters, metrics, name, url, facts)


def _config(proposal: ProposalRecord) -> TrainConfig:
    if proposal.config is None:
        raise ValueError(f"proposal {proposal.number} is impossible")
    return proposal.config


def _value(metric: str, epoch: EpochRecord, before: Sequence[Report], index: int) -> float | None:
    value = finite(getattr(epoch, metric))
    if metric not in CUMULATED or not before:
        return value
    earlier = before[-1].values[index]
    return None if value is None or earlier is None else earlier + value


def _plain(one: SearchParameter) -> dict[str, Any]:
    """Plain JSON, without what does not apply."""
    values: dict[str, Any] = {KIND: one.kind}
    if one.choices is not None:
        values[CHOICES] = list(one.choices)
    else:
        values |= {LOW: one.low, HIGH: one.high, STEP: one.step, LOG: one.log}
    return values | ({} if one.when is None else {WHEN: one.when.text})


def _parameter(name: str, values: Mapping[str, Any]) -> SearchParameter:
    """What `_plain` was made of, without its condition."""
    known = {key: value for key, value in values.items() if key != WHEN}
    if CHOICES in known:
        known[CHOICES] = tuple(known[CHOICES])
    return SearchParameter(name, **known)


def _check_same(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """The number of trials may grow, and what is confirmed may change: neither decides what was proposed.

    Raises:
        UserError: the search in the log is another one.
    """
    if now[NUM_TRIALS] < was[NUM_TRIALS]:
        raise UserError(
            f"search {name} was begun with num_trials {was[NUM_TRIALS]}, which may grow: {now[NUM_TRIALS]} is fewer; "
            "give another --name for a smaller search"
        )
    free = {NUM_TRIALS: None, CONFIRM: None}
    if {**was, **free} != {**now, **free}:
        raise UserError(
            f"search {name} was begun with other settings: {_difference('', {**was, **free}, {**now, **free})}; put "
            f"that back, or give another --name (with warm_start: {name} it begins with these results)"
        )


def _difference(path: str, was: Any, now: Any) -> str:  # noqa: ANN401
    """The first place at which two JSON values differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        key = next(key for key in [*now, *was] if key not in was or key not in now or was[key] != now[key])
        inner = f"{path}.{key}" if path else key
        if key in was and key in now:
            return _difference(inner, was[key], now[key])
        return f"{inner} is {'new' if key in now else 'gone'}"
    return f"{path} was {was!r} and is {now!r} now"
