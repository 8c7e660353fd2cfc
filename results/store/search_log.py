"""The log of one search, `<store>/<sweep>/search.jsonl`: one event per line, in the order in which they happened.

    search     the settings, and the first time the earlier results; again when num_trials has grown
    proposal   a configuration was chosen: to be trained, equal to an earlier one, or impossible
    report     an epoch of a proposal is over, with the values of the objectives and the scheduler's decision
    promote    a trial that was paused, or stopped at the end of the search, is trained further
    end        a proposal needs no more training
    retry      a failed proposal is trained again; its end no longer counts
    over       nothing more can be proposed, though fewer configurations were tried than asked for
    confirm    a chosen configuration is to be retrained on all training images

Only the driver of the sweep appends to it. The checksum of a line also covers the name of the sweep, so that the log
of another sweep counts as damaged; earlier versions wrote lines without it.

This module uses the standard library only.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, get_args

from results.store.journal import Journal
from results.store.search_settings import OBJECTIVE, PARAMETERS, check_settings
from trainable.config import TrainConfig
from trainable.decoding import Count, Ordinal, decode
from trainable.errors import UserError
from trainable.ledger.checksums import is_torn, sealed, stripped_lines, unsealed, verified
from trainable.ledger.filesystems import cannot_write, trouble_text
from trainable.records import Status

SEARCH_LOG = "search.jsonl"
EVENT = "event"
REPAIR = "`run` with the same space rebuilds the search up to there, and reuses what was trained"

Params = Mapping[str, Any]
"""Values of the parameters by name. A parameter whose condition does not hold is left out."""
Values = tuple[float | None, ...]
"""One value per objective; None if it is not finite."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A result from before the search."""

    params: Params
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SearchEvent:
    """The search begins, or goes on with a larger number of trials."""

    name: ClassVar[str] = "search"
    settings: Mapping[str, Any]
    """Everything that decides what is proposed and stopped, as JSON values (see results.store.search_settings)."""
    earlier: tuple[Earlier, ...] = ()
    """Results that the search starts from; only in the first event."""


@dataclass(frozen=True, slots=True)
class ProposalEvent:
    """The sampler has proposed parameters."""

    name: ClassVar[str] = "proposal"
    number: Count
    """Number of the proposal, from 0."""
    params: Params
    config: TrainConfig | None
    """Configuration of the trial; None if the parameters are impossible together, see `error`."""
    variables: Mapping[str, float | str]
    same_as: Count | None = None
    """Number of the earlier proposal with the same configuration, whose result counts; None if there is none."""
    error: str | None = None
    """Reason why the parameters are impossible."""
    seed_of: Count | None = None
    """Number of the proposal whose configuration this one trains with another seed; None for the first seed."""


@dataclass(frozen=True, slots=True)
class ReportEvent:
    """A trial has reported an epoch."""

    name: ClassVar[str] = "report"
    number: Count
    epoch: Ordinal
    values: Values
    stop: bool
    """Whether the scheduler stopped the trial after this epoch, or paused it where it promotes trials."""


@dataclass(frozen=True, slots=True)
class PromoteEvent:
    """A paused trial is trained further. Its end, if the search was over once, no longer counts."""

    name: ClassVar[str] = "promote"
    number: Count


@dataclass(frozen=True, slots=True)
class EndEvent:
    """A proposal has ended."""

    name: ClassVar[str] = "end"
    number: Count
    status: Status
    values: Values | None
    """Values of the objectives after the last epoch; None if the trial diverged or failed."""


@dataclass(frozen=True, slots=True)
class RetryEvent:
    """A failed proposal is tried again."""

    name: ClassVar[str] = "retry"
    number: Count


@dataclass(frozen=True, slots=True)
class OverEvent:
    """Nothing more can be proposed."""

    name: ClassVar[str] = "over"
    note: str
    """The reason, for people."""


@dataclass(frozen=True, slots=True)
class ConfirmEvent:
    """A configuration was chosen to be retrained on all training images."""

    name: ClassVar[str] = "confirm"
    number: Count
    """Number of the proposal that is confirmed."""
    repeat: Count
    """Number of the repeat, from 0."""
    config: TrainConfig
    variables: Mapping[str, float | str]


Event = SearchEvent | ProposalEvent | ReportEvent | PromoteEvent | EndEvent | RetryEvent | OverEvent | ConfirmEvent
_EVENTS: dict[str, type[Event]] = {kind.name: kind for kind in get_args(Event)}


@dataclass(slots=True)
class ProposalRecord:
    """All that the log says about one proposal."""

    number: int
    params: Params
    config: TrainConfig | None
    variables: Mapping[str, float | str]
    same_as: int | None
    error: str | None
    reports: list[ReportEvent] = field(default_factory=list)
    """Reports in the order of their epochs, from 1; empty if the proposal is equal to an earlier one."""
    status: Status | None = None
    """None until the proposal has ended."""
    values: Values | None = None
    seed_of: int | None = None
    was_stopped: bool = False
    """Whether the scheduler stopped or paused the trial, and has not promoted it since."""

    @property
    def is_trained(self) -> bool:
        """Whether the proposal is trained: it is possible, and not equal to an earlier one."""
        return self.config is not None and self.same_as is None

    @property
    def is_paused(self) -> bool:
        """Whether the trial waits for a promotion."""
        return self.was_stopped and self.status is None


@dataclass(slots=True)
class SearchRecord:
    """All that the log says about a search."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the search; empty if the log is."""
    earlier: tuple[Earlier, ...] = ()
    proposals: list[ProposalRecord] = field(default_factory=list)
    further_seeds: dict[int, list[int]] = field(default_factory=dict)
    """Number of a proposal -> the proposals that train its configuration with the next seeds."""
    confirmations: list[ConfirmEvent] = field(default_factory=list)
    over: str | None = None
    """Reason why nothing more is proposed; None if the search is not over or has tried as many as asked for."""
    damage: str | None = None
    """The damaged line before which this record ends, and why it is damaged; None if there is none."""

    def apply(self, event: Event) -> None:
        """Add an event.

        Raises:
            ValueError: the event cannot follow those before it.
        """
        match event:
            case SearchEvent():
                self.earlier = self.earlier if self.settings else event.earlier
                self.settings = event.settings
                self.over = None
            case ProposalEvent():
                _check(event.number == len(self.proposals), "a proposal is missing")
                same_as = event.same_as
                _check(same_as is None or same_as < event.number, "a proposal is equal to a later one")
                unknown = event.params.keys() - self.settings.get(PARAMETERS, event.params).keys()
                _check(not unknown, f"unknown parameters {', '.join(sorted(unknown))}")
                added = ProposalRecord(
                    event.number, event.params, event.config, event.variables, same_as, event.error
                )
                self.proposals.append(added)
                if (first := event.seed_of) is not None:
                    _check(first < event.number, "a further seed of a later proposal")
                    added.seed_of = first
                    self.further_seeds.setdefault(first, []).append(event.number)
            case ReportEvent():
                proposal = self._running(event.number)
                _check(not proposal.was_stopped, "an epoch of a stopped trial")
                _check(event.epoch == len(proposal.reports) + 1, "an epoch is missing")
                self._check_values(event.values)
                proposal.reports.append(event)
                proposal.was_stopped = event.stop
            case PromoteEvent():
                _check(event.number < len(self.proposals), "an unknown proposal")
                proposal = self.proposals[event.number]
                is_stopped = proposal.was_stopped and proposal.status in (None, Status.STOPPED)
                _check(is_stopped, "a promotion of a trial that is not paused")
                proposal.was_stopped = False
                for known in self.proposals:
                    if self.source(known) is proposal:
                        known.status = known.values = None
            case EndEvent():
                proposal = self._running(event.number)
                self._check_values(event.values)
                proposal.status, proposal.values = event.status, event.values
            case RetryEvent():
                _check(event.number < len(self.proposals), "an unknown proposal")
                proposal = self.proposals[event.number]
                _check(proposal.status is Status.FAILED, "a retry of a proposal that has not failed")
                proposal.status = self.over = None
            case OverEvent():
                self.over = event.note
            case ConfirmEvent():
                _check(event.number < len(self.proposals), "a confirmation of an unknown proposal")
                self.confirmations.append(event)

    def source(self, proposal: ProposalRecord) -> ProposalRecord:
        """Return the proposal whose training counts for this one: itself, or the earlier one that it is equal to."""
        return proposal if proposal.same_as is None else self.proposals[proposal.same_as]

    def _check_values(self, values: Values | None) -> None:
        objectives = self.settings.get(OBJECTIVE, values)
        _check(values is None or len(values) == len(objectives or ()), "not one value per objective")

    def _running(self, number: int) -> ProposalRecord:
        _check(number < len(self.proposals), "an unknown proposal")
        proposal = self.proposals[number]
        _check(proposal.status is None, "a proposal that has ended")
        return proposal


def all_finite(values: Values | None) -> tuple[float, ...] | None:
    """Return the values; None if there are none or one is not finite."""
    finite = tuple(value for value in values or () if value is not None)
    return finite if values and len(finite) == len(values) else None


def read_log(journal: Journal, *, up_to_damage: bool = False) -> SearchRecord:
    """Return what the log holds, also while it is being written; an empty record if there is no log.

    Args:
        up_to_damage: read a damaged log up to its first damaged line, as `run` does, which then repairs the log.

    Raises:
        UserError: a line is damaged.
    """
    _, record, _ = parse_log(journal)
    if record.damage is not None and not up_to_damage:
        raise UserError(f"{record.damage}: {REPAIR}")
    return record


def parse_log(journal: Journal) -> tuple[list[Event], SearchRecord, int]:
    """Return the events before the first damaged line, their record, and their number of bytes.

    A last line without a line end is torn: a writer was killed, and its event never happened.
    """
    lines = journal.read().split(b"\n")
    if is_torn(lines[-1]):
        lines.pop()
    events: list[Event] = []
    record = SearchRecord()
    owner, num_bytes = "", 0
    stripped = stripped_lines(lines)
    for index, line in enumerate(lines):
        try:
            _check(index + 1 not in stripped, "its checksum is missing")
            owner = owner or _owner(journal, line)
            event = _parse(line, owner)
            _check(bool(index) or isinstance(event, SearchEvent), "the settings are missing")
            record.apply(event)
        except ValueError as error:
            record.damage = f"{journal.location}:{index + 1} is damaged ({error})"
            break
        events.append(event)
        num_bytes += len(line) + 1
    return events, record, num_bytes


class SearchLog:
    """The writing side, for the only driver of the sweep."""

    def __init__(self, journal: Journal) -> None:
        """Open the log, and cut off a torn last line.

        Raises:
            UserError: a line is damaged.
        """
        self.events, record, num_bytes = parse_log(journal)
        """What the log held when it was opened."""
        if record.damage is not None:
            raise UserError(f"{record.damage}: {REPAIR}")
        self._journal = journal
        journal.truncate(num_bytes)

    def append(self, events: Sequence[Event]) -> None:
        """Append all events or none. They are in the store when this returns, unless they are reports only.

        Raises:
            RunEndedError: the disk is full, or the store can no longer be written.
        """
        lines = b"".join(_dump(event, self._journal.owner) for event in events)
        try:
            self._journal.append(lines, durable=not all(isinstance(event, ReportEvent) for event in events))
        except OSError as error:
            raise cannot_write(self._journal.location, trouble_text(error, Path(self._journal.location))) from None

    def flush(self) -> None:
        """Write reports that are not in the store yet.

        Raises:
            RemoteError: the store does not answer, or refuses.
        """
        self._journal.flush()


def finite(value: float | None) -> float | None:
    """Return the value; None if it is not finite."""
    return value if value is not None and math.isfinite(value) else None


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)


def _owner(journal: Journal, line: bytes) -> str:
    """Return the name of the sweep if the checksum of the line covers it, as that of all lines after it; else ''."""
    try:
        verified(line)
    except ValueError:
        return Path(journal.location).parent.name
    return ""


def _dump(event: Event, owner: str) -> bytes:
    values: dict[str, Any] = {EVENT: event.name}
    for spec in dataclasses.fields(event):
        value = getattr(event, spec.name)
        if spec.name == "seed_of" and value is None:
            continue  # as earlier versions wrote it
        match value:
            case TrainConfig():
                value = value.to_dict()
            case tuple() if spec.name == "earlier":
                value = [dataclasses.asdict(result) for result in value]
        values[spec.name] = value
    return sealed(values, owner)


def _parse(line: bytes, owner: str) -> Event:
    """
    Raises:
        ValueError: the line is no event.
    """
    values = unsealed(line, owner)
    if not isinstance(values, dict) or values.get(EVENT) not in _EVENTS:
        raise ValueError("no event")
    event = decode(_EVENTS[values.pop(EVENT)], values)
    if isinstance(event, SearchEvent):
        check_settings(event.settings)
    return event
