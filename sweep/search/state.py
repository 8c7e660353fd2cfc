"""The state of a search: the record of its log, and the sampler and the scheduler that follow it.

The state is a function of the events alone. Applying the events of a log, in their order, to a new state therefore
rebuilds a search whose driver died.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from results.store.configurations import over_seeds
from results.store.search_log import (
    Earlier,
    EndEvent,
    Event,
    PromoteEvent,
    ProposalEvent,
    ProposalRecord,
    ReportEvent,
    SearchRecord,
    Values,
)
from sweep.search.outcomes import outcome_of
from sweep.search.sampler import Sampler
from sweep.search.settings import IsActive, SearchSettings
from trainable.config import TrainConfig
from trainable.records import Status

MAX_REPEATED = 5
"""Number of equal or impossible proposals in a row after which the next is drawn at random."""


class Scheduler(Protocol):
    """Decides after each epoch whether a trial is stopped early. Trials have numbers; see `make_scheduler`.

    Its decisions must be a function of the calls in their order, so that a search can be rebuilt.
    """

    def add(self, number: int, epochs: int) -> None:
        """Begin a trial that is to train this number of epochs."""

    def report(self, number: int, epoch: int, value: float | None, decision: bool | None = None) -> bool:
        """Return whether the trial is stopped after this epoch; never after its last one.

        Args:
            epoch: number of epochs done, each reported once.
            value: the first objective, smaller is better; None where it is not finite.
            decision: the decision that is in the log; None to take it now.
        """

    def end(self, number: int) -> None:
        """End a trial, however it ended; a second call changes nothing."""


@runtime_checkable
class PromotingScheduler(Scheduler, Protocol):
    """A scheduler that pauses trials instead of stopping them. What it pauses may be promoted: trained further."""

    def promotable(self, *, at_least_one: bool = False) -> int | None:
        """Return the paused trial that is to be trained further now, or None.

        Args:
            at_least_one: return one, the best, wherever any is paused.
        """

    def promote(self, number: int) -> None:
        """Let a paused trial go on."""


class SearchState:
    """What a search knows after a number of events."""

    def __init__(
        self, settings: SearchSettings, is_active: IsActive, scheduler: Scheduler | None, earlier: Sequence[Earlier]
    ) -> None:
        """
        Args:
            scheduler: a new one; None stops no trial.
        """
        self.record = SearchRecord()
        self.sampler = Sampler(settings, is_active, earlier)
        self._scheduler = scheduler
        self._promoting = scheduler if isinstance(scheduler, PromotingScheduler) else None
        self._metrics = settings.metrics
        self._has_population = settings.scheduler.type == "pbt"
        self._numbers: dict[str, int] = {}
        self._asked: dict[int, int] = {}
        """Number of a proposal -> its number at the sampler, which proposes configurations but not further seeds."""
        self._untold: dict[int, list[int]] = {}
        """Proposal that is trained -> itself and those equal to it, until the sampler is told how they ended."""

    @property
    def is_repeating(self) -> bool:
        """Whether the last proposals brought nothing new to train. Members of a population always differ."""
        last = [self.record.proposals[number] for number in list(self._asked)[-MAX_REPEATED:]]
        is_full = len(last) == MAX_REPEATED and not self._has_population
        return is_full and not any(proposal.is_trained for proposal in last)

    def number_of(self, trial_key: str) -> int | None:
        """Return the number of the proposal that trains this trial; None where there is none."""
        return self._numbers.get(trial_key)

    def proposal(self, trial_key: str) -> ProposalRecord:
        """Return the proposal that trains this trial."""
        return self.record.proposals[self._numbers[trial_key]]

    def lineage(self, proposal: ProposalRecord) -> list[TrainConfig]:
        """Return the trials that make one training: the proposal's ancestors, the oldest first, then its own."""
        configs = [config_of(proposal)]
        while (parent := configs[-1].parent) is not None:
            configs.append(config_of(self.proposal(parent)))
        return configs[::-1]

    def decide(self, number: int, epoch: int, values: Values, decision: bool | None = None) -> bool:
        """Return whether the scheduler stops the trial after this epoch. It sees first objectives and seeds."""
        if self.record.proposals[number].seed_of is not None:
            return False
        self.sampler.report(self._asked[number], epoch, values[0])
        return self._scheduler is not None and self._scheduler.report(number, epoch, values[0], decision)

    @property
    def pauses(self) -> bool:
        """Whether a trial that the scheduler stops is paused, and ends only with the search."""
        return self._promoting is not None

    def promotable(self, *, at_least_one: bool = False) -> int | None:
        """Return the number of the paused trial that is to be trained further now, or None."""
        return None if self._promoting is None else self._promoting.promotable(at_least_one=at_least_one)

    def apply(self, event: Event) -> None:
        """Bring record, sampler and scheduler to the state after the event. Decisions already taken are not repeated.

        Raises:
            ValueError: the event cannot follow those before it.
        """
        if isinstance(event, ProposalEvent):
            if event.seed_of is None:
                if len(self._asked) == len(self.sampler):
                    self.sampler.add(event.params, explore=self.is_repeating)
                self._asked[event.number] = len(self._asked)
                self._untold.setdefault(event.number if event.same_as is None else event.same_as, []).append(
                    event.number
                )
            if event.config is not None and event.same_as is None:
                self._numbers[event.config.trial_key] = event.number
                self.sampler.begin(event.config.epochs)
                if self._scheduler is not None and event.seed_of is None:
                    self._scheduler.add(event.number, event.config.epochs)
        self.record.apply(event)
        if isinstance(event, ReportEvent):
            self.decide(event.number, event.epoch, event.values, event.stop)
            self.show_paused(event.number)
        elif isinstance(event, PromoteEvent) and self._promoting is not None:
            self._promoting.promote(event.number)
        elif isinstance(event, ProposalEvent) and event.same_as is not None:
            self.show_paused(event.same_as)
        elif isinstance(event, EndEvent):
            self._apply_end(event)

    def show_paused(self, number: int) -> None:
        """Let the sampler know how far a trial has come when it is paused, and with it the proposals equal to it."""
        source = self.record.proposals[number]
        if self.pauses and source.was_stopped:
            curve = outcome_of(self.record, source, self._metrics).intermediate or {}
            for proposal in self.record.proposals[number:]:
                if self.record.source(proposal) is source:
                    self.sampler.pause(proposal.number, curve)

    def _apply_end(self, event: EndEvent) -> None:
        proposal = self.record.proposals[event.number]
        if event.status is Status.FAILED and proposal.config is not None:
            return  # the next run resumes it: neither sampler nor scheduler is told of an end
        if event.status is Status.STOPPED and self.pauses:
            return  # it may be promoted yet, if num_trials grows
        self._tell_ended(proposal if proposal.seed_of is None else self.record.proposals[proposal.seed_of])
        if self._scheduler is not None and proposal.is_trained and proposal.seed_of is None:
            self._scheduler.end(event.number)

    def _tell_ended(self, ended: ProposalRecord) -> None:
        """Tell the sampler how a configuration ended, and the proposals equal to it, once all of its seeds have."""
        untold = self._untold[self.record.source(ended).number]
        for number in [*untold]:
            mean = over_seeds(self.record, proposal := self.record.proposals[number])
            is_known = mean.status not in (None, Status.FAILED) or mean.config is None
            if proposal.status is not None and is_known:
                self.sampler.tell(self._asked[number], outcome_of(self.record, mean, self._metrics))
                untold.remove(number)

    def end_events(self, proposal: ProposalRecord, status: Status) -> list[EndEvent]:
        """Return the events that end a proposal, and with it the proposals that are equal to it."""
        values = None
        if status in (Status.COMPLETE, Status.STOPPED) and proposal.reports:
            values = proposal.reports[-1].values
        others = self.record.proposals
        same = [other for other in others if other.same_as == proposal.number and other.status is None]
        return [EndEvent(ended.number, status, values) for ended in (proposal, *same)]

    def missing_ends(self) -> Iterator[list[EndEvent]]:
        """Yield the ends that follow from the log, and that the last driver died before writing.

        The events must be applied before the next are asked for.
        """
        for proposal in self.record.proposals:
            if proposal.status is not None:
                continue
            source = self.record.source(proposal)
            if proposal.was_stopped and not self.pauses:
                yield self.end_events(proposal, Status.STOPPED)
            elif source.status is not None:
                yield [EndEvent(proposal.number, source.status, source.values)]
            elif proposal.config is None:
                yield [EndEvent(proposal.number, Status.FAILED, None)]


def config_of(proposal: ProposalRecord) -> TrainConfig:
    """Return the configuration of a proposal that has one."""
    if proposal.config is None:
        raise ValueError(f"proposal {proposal.number} is impossible")
    return proposal.config
