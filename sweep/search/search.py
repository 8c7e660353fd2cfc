"""A search: what to train next, when to stop it, and what to confirm at the end. It runs without Ray.

Whoever trains drives it:

    scheduler = make_scheduler(settings.scheduler, max_epochs, settings.search.seed)
    search = Search(settings, LocalJournal(log_path), make_trial, is_active, scheduler)
    while (proposal := search.next()) is not None:
        for epoch in train(proposal.trial.config):          # yields EpochRecords
            if search.report(proposal.trial.config.trial_key, epoch):
                break                                       # stopped early
        else:
            search.end(proposal.trial.config.trial_key, Status.COMPLETE)
    for trial in search.confirmations():
        ...

Every decision is an event in the log (see results.store.search_log), written before anyone acts on it. A search whose
driver died is rebuilt from its log, and gives out again the proposals that had not ended.
"""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from results.store.configurations import best, lacking_seeds, trainings
from results.store.journal import Journal
from results.store.search_log import (
    ConfirmEvent,
    Earlier,
    EndEvent,
    Event,
    OverEvent,
    Params,
    PromoteEvent,
    ProposalEvent,
    ProposalRecord,
    ReportEvent,
    RetryEvent,
    SearchEvent,
    SearchLog,
    SearchRecord,
    finite,
)
from sweep.search.population import Population
from sweep.search.sampler import IGNORE_OUTCOMES, Sampler
from sweep.search.settings import IsActive, SearchSettings, check_same_search
from sweep.search.state import Scheduler, SearchState, config_of
from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError
from trainable.records import EpochRecord, Status
from trainable.wording import counted

MAX_PROPOSALS_PER_TRIAL = 10
"""A search ends after this number of proposals for each of num_trials, however many were equal or impossible."""
CUMULATED = ("train_seconds",)
"""Metrics that add up over the epochs; the value of the others is that of the last epoch."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trial to train."""

    number: int
    trial: PlannedTrial
    ancestors: tuple[TrainConfig, ...] = ()
    """Trials from whose last state this one continues, the oldest first; only in population based training."""


class Search:
    """A search under one driver. Trials are named by their keys."""

    def __init__(
        self,
        settings: SearchSettings,
        log: Journal,
        make_trial: Callable[[Params], PlannedTrial],
        is_active: IsActive,
        scheduler: Scheduler | None = None,
        earlier: Sequence[Earlier] = (),
    ) -> None:
        """Begin a search, or rebuild the one in the log.

        Args:
            log: the log; it need not exist.
            make_trial: makes a trial of parameters, or raises a UserError where they are impossible together.
            is_active: whether a parameter is proposed, given the values of those before it.
            scheduler: a new scheduler; None stops no trial.
            earlier: results to start from; ignored where the search has begun.

        Raises:
            UserError: the log is damaged, or belongs to a search with other settings.
        """
        self.settings = settings
        self.notes: list[str] = []
        """What a user should know about how the search begins, one line each."""
        self._make_trial = make_trial
        self._abandoned: set[int] = set()
        self._population: Population | None = None
        if settings.scheduler.type == "pbt":
            self._population = Population(settings.scheduler, settings.parameters, is_active, settings.search.seed)
        self._log = SearchLog(log)
        now = SearchEvent(settings.canonical(), tuple(earlier))
        begun = [event for event in self._log.events if isinstance(event, SearchEvent)] or [now]
        check_same_search(settings.name, begun[-1].settings, now.settings)
        self._state = SearchState(settings, is_active, scheduler, begun[0].earlier)
        for event in self._log.events:
            self._state.apply(event)
        if self.record.settings != now.settings:
            self._write([now if not self._log.events else dataclasses.replace(now, earlier=())])
        self._note_earlier_results()
        for ends in self._state.missing_ends():
            self._write(ends)
        self._pending = collections.deque(self._running())
        self._log_early_end()

    @property
    def record(self) -> SearchRecord:
        """All that the log says."""
        return self._state.record

    @property
    def sampler(self) -> Sampler:
        """The sampler, as it was told so far."""
        return self._state.sampler

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to propose or to resume in this run."""
        is_training = any(number not in self._abandoned for number in self._running())
        return not is_training and (bool(self._abandoned) or (self._has_proposed_all() and not self._paused()))

    def next(self) -> Proposal | None:
        """Return the next trial to train; first those that an earlier driver left unfinished, then promoted ones.

        Returns:
            None where there are no more trials (`is_over`), or where others have to end first (a generation of a
            population).
        """
        if self._pending:
            return self._proposal(self._pending.popleft())
        if not self._abandoned and (promoted := self._state.promotable()) is not None:
            return self._promote(promoted)
        while not self._abandoned and not self._has_proposed_all() and not self._is_waiting():
            number = self._propose()
            if self.record.proposals[number].is_trained:
                return self._proposal(number)
        self._log_early_end()
        if not self._abandoned and not self._running() and (paused := self._paused()):
            has_one = any(_comes_to_its_end(proposal, paused) for proposal in self.record.proposals)
            if not has_one and (promoted := self._state.promotable(at_least_one=True)) is not None:
                return self._promote(promoted)
            self._write([end for proposal in paused for end in self._state.end_events(proposal, Status.STOPPED)])
        return None

    def report(self, trial_key: str, epoch: EpochRecord) -> bool:
        """Report an epoch of a trial. An epoch that is known already gets the same answer again.

        Returns:
            Whether the trial is stopped after this epoch. A stopped trial has ended, or is paused: `next` may return
            it again.
        """
        proposal = self._state.proposal(trial_key)
        reports = proposal.reports
        if epoch.epoch <= len(reports):
            return epoch.epoch == len(reports) and proposal.was_stopped
        if proposal.was_stopped or proposal.status is not None:
            return proposal.was_stopped
        metrics = self.settings.metrics
        values = tuple(_value(metric, epoch, reports, index) for index, metric in enumerate(metrics))
        stop = self._state.decide(proposal.number, epoch.epoch, values)
        event = ReportEvent(proposal.number, epoch.epoch, values, stop)
        self._log.append([event])
        self.record.apply(event)  # the scheduler has seen it
        if stop and not self._state.pauses:
            self._write(self._state.end_events(proposal, Status.STOPPED))
        self._state.show_paused(proposal.number)
        return stop

    def end(self, trial_key: str, status: Status) -> None:
        """End a trial. A trial that was stopped, is paused or had ended before stays as it is, unless it diverged."""
        proposal = self._state.proposal(trial_key)
        if proposal.status is None and (not proposal.was_stopped or status is Status.DIVERGED):
            self._write(self._state.end_events(proposal, status))

    def paused(self) -> list[PlannedTrial]:
        """Return the trials that wait for a promotion."""
        return [self._proposal(proposal.number).trial for proposal in self._paused()]

    def is_paused(self, trial_key: str) -> bool:
        """Return whether the trial waits for a promotion."""
        return self._state.proposal(trial_key).is_paused

    def abandon(self, trial_key: str) -> None:
        """Give up a trial for this run, and propose nothing more. The next run resumes the trial."""
        self._abandoned.add(self._state.proposal(trial_key).number)

    def flush(self) -> None:
        """Write the reports that the store does not hold yet.

        Raises:
            RemoteError: the store does not answer, or refuses.
        """
        self._log.flush()

    def try_again(self) -> None:
        """Give out failed trials once more, as each run of a sweep does.

        In a population only those of the latest generation: the others were replaced.
        """
        proposals = self.record.proposals
        latest = proposals[0 if self._population is None else self._population.latest_generation(proposals) :]
        failed = [proposal for proposal in latest if proposal.status is Status.FAILED and proposal.config is not None]
        if failed:
            self._write([RetryEvent(proposal.number) for proposal in failed])
            again = [proposal.number for proposal in failed if proposal.is_trained]
            self._pending = collections.deque(sorted([*self._pending, *again]))

    def best(self, num: int) -> list[ProposalRecord]:
        """Return at most `num` of the proposals that were trained to the end, best first."""
        return best(self.record)[:num]

    def confirmations(self) -> list[PlannedTrial]:
        """Return the best configurations, to be trained on all training images with several seeds.

        With two objectives these are configurations of the Pareto front, in its order.
        """
        planned: list[PlannedTrial] = []
        confirm = self.settings.confirm
        if confirm is None or self._abandoned:
            return planned
        for proposal in self.best(confirm.top):
            first = config_of(proposal)
            for repeat in range(confirm.repeats):
                config = dataclasses.replace(first.without_holdout(), seed=first.seed + repeat)
                event = ConfirmEvent(proposal.number, repeat, config, proposal.variables)
                if event not in self.record.confirmations:
                    self._write([event])
                planned.append(PlannedTrial(config, repeat, proposal.variables))
        return planned

    def unneeded_states(self) -> list[str]:
        """Return the keys of the trials from whose last state no trial will continue; none before the search is over.

        The latest generation is kept, since more generations may be asked for later.
        """
        if self._population is None or not self.is_over or self._abandoned:
            return []
        proposals = self.record.proposals
        start = self._population.latest_generation(proposals)
        needed = {
            proposal.config.parent
            for proposal in proposals[start:]
            if proposal.config and proposal.status is Status.FAILED
        }
        keys = [proposal.config.trial_key for proposal in proposals[:start] if proposal.config is not None]
        return [key for key in keys if key not in needed]

    def _running(self) -> list[int]:
        """Return the numbers of the trials that are trained, or that the last driver left unfinished."""
        return [
            proposal.number
            for proposal in self.record.proposals
            if proposal.is_trained and proposal.status is None and not proposal.is_paused
        ]

    def _paused(self) -> list[ProposalRecord]:
        """Return the trials that wait for a promotion."""
        return [proposal for proposal in self.record.proposals if proposal.is_paused]

    def _is_waiting(self) -> bool:
        """Return whether a generation has to end first."""
        return self._population is not None and self._population.is_waiting(self.record.proposals)

    def _has_proposed_all(self) -> bool:
        return lacking_seeds(self.record) is None and (self._has_enough() or self._early_end() is not None)

    def _has_enough(self) -> bool:
        proposals, wanted = self.record.proposals, self.settings.num_trials
        if self._population is not None:
            return len(proposals) >= wanted
        return self._num_different() >= wanted

    def _num_different(self) -> int:
        """Return the number of different configurations so far."""
        return sum(proposal.is_trained and proposal.seed_of is None for proposal in self.record.proposals)

    def _early_end(self) -> str | None:
        """Return why nothing more can be proposed, though fewer trials were tried than asked for; else None."""
        proposals, wanted = self.record.proposals, self.settings.num_trials
        if self._population is not None:
            has_died_out = self._population.has_died_out(proposals)
            generation = len(proposals) // self._population.size
            return f"no member of generation {generation} came to its end" if has_died_out else None
        different = counted(self._num_different(), "different configuration")
        if self.sampler.is_exhausted:
            return f"the space holds {different}, all were proposed: {wanted} asked for"
        if (num_asked := len(self.sampler)) >= MAX_PROPOSALS_PER_TRIAL * wanted:
            return f"{counted(num_asked, 'proposal')} gave {different}, {wanted} asked for"
        return None

    def _log_early_end(self) -> None:
        """Write once that nothing more will be proposed, and why."""
        if self.record.over is not None or self._pending or self._abandoned or self._has_enough():
            return
        if (note := self._early_end()) is not None and lacking_seeds(self.record) is None:
            self._write([OverEvent(note)])

    def _note_earlier_results(self) -> None:
        given, used = len(self.record.earlier), self.sampler.num_earlier
        algorithm = self.settings.search.algorithm
        if given and algorithm in IGNORE_OUTCOMES:
            self.notes.append(f"search.algorithm {algorithm} learns nothing from search.warm_start")
        elif used < given:
            self.notes.append(f"{used} of {given} earlier results lie inside the space and are used")

    def _propose(self) -> int:
        """Draw and log one more proposal, and its end where it needs no training. Return its number."""
        number = len(self.record.proposals)
        if (first := lacking_seeds(self.record)) is not None:
            config = config_of(first)
            config = dataclasses.replace(config, seed=config.seed + len(trainings(self.record, first)))
            self._write([ProposalEvent(number, first.params, config, first.variables, seed_of=first.number)])
            return number
        parent: str | None = None
        if self._population is not None and number >= self._population.size:
            params, parent = self._population.next_member(self.record.proposals)
        else:
            params = self.sampler.ask(explore=self._state.is_repeating)
        try:
            trial = self._make_trial(params)
            if self._population is not None:
                config = dataclasses.replace(trial.config, seed=trial.config.seed + number, parent=parent)
                trial = dataclasses.replace(trial, config=config)
        except UserError as error:
            impossible = ProposalEvent(number, params, None, {}, error=str(error))
            self._write([impossible, EndEvent(number, Status.FAILED, None)])
            return number
        same_as = self._state.number_of(trial.config.trial_key)
        events: list[Event] = [ProposalEvent(number, params, trial.config, trial.variables, same_as)]
        if same_as is not None and (source := self.record.proposals[same_as]).status is not None:
            events.append(EndEvent(number, source.status, source.values))
        self._write(events)
        return number

    def _promote(self, number: int) -> Proposal:
        self._write([PromoteEvent(number)])
        return self._proposal(number)

    def _proposal(self, number: int) -> Proposal:
        proposal = self.record.proposals[number]
        *ancestors, config = self._state.lineage(proposal)
        return Proposal(number, PlannedTrial(config, 0, proposal.variables), tuple(ancestors))

    def _write(self, events: Sequence[Event]) -> None:
        self._log.append(events)
        for event in events:
            self._state.apply(event)


def _comes_to_its_end(proposal: ProposalRecord, paused: Sequence[ProposalRecord]) -> bool:
    """Return whether a trial was trained to its end, or failed on its way there, which the next run resumes."""
    is_ahead = len(proposal.reports) >= max(len(other.reports) for other in paused)
    return proposal.status is Status.COMPLETE or (proposal.status is Status.FAILED and is_ahead)


def _value(metric: str, epoch: EpochRecord, before: Sequence[ReportEvent], index: int) -> float | None:
    """Return the value of an objective after an epoch."""
    if metric == "holdout_error_percent" and epoch.holdout_loss is None:
        return None  # the loss was not finite: the trial has diverged
    value = finite(getattr(epoch, metric))
    if metric not in CUMULATED or not before:
        return value
    earlier = before[-1].values[index]
    return None if value is None or earlier is None else earlier + value
