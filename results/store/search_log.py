"""The record of one search, `<store>/<sweep>/search.jsonl`: an event a line, in the order in which they happened.

    search     what is searched, and the first time what was known before; again where num_trials has grown
    proposal   a configuration was chosen: to be trained, equal to an earlier one, or impossible
    report     an epoch of a proposal is over, with the objective's values and the scheduler's decision
    end        a proposal needs no more training
    retry      what has failed is trained again, or answered from what is: its end counts no more
    over       nothing more can be proposed, though fewer were tried than asked for; why
    confirm    a chosen configuration is to be trained once more, on all of the training images

Appended only, by the one driver of the sweep. Standard library only: the driver writes it, `results` reads it.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from results.store.journal import Journal
from results.store.pareto import pareto_front
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.records import Status

SEARCH_LOG = "search.jsonl"
EVENT = "event"

Params = Mapping[str, Any]
"""Name of a parameter -> its value; a parameter whose condition does not hold is left out."""
Values = tuple[float | None, ...]
"""One an objective; None where it is not finite."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A result that was known before the search began."""

    params: Params
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SearchEvent:
    name: ClassVar[str] = "search"
    settings: Mapping[str, Any]
    """Plain JSON: everything that decides what is proposed and stopped."""
    earlier: tuple[Earlier, ...] = ()


@dataclass(frozen=True, slots=True)
class ProposalEvent:
    name: ClassVar[str] = "proposal"
    number: int
    """Counts from 0."""
    params: Params
    config: TrainConfig | None
    """None where the parameters make no possible one; `error` says why."""
    variables: Mapping[str, float | str]
    same_as: int | None = None
    """The earlier proposal with this very configuration, whose result is this one's."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ReportEvent:
    name: ClassVar[str] = "report"
    number: int
    epoch: int
    values: Values
    stop: bool


@dataclass(frozen=True, slots=True)
class EndEvent:
    name: ClassVar[str] = "end"
    number: int
    status: Status
    values: Values | None
    """Of the last epoch; None where it diverged or failed."""


@dataclass(frozen=True, slots=True)
class RetryEvent:
    name: ClassVar[str] = "retry"
    number: int


@dataclass(frozen=True, slots=True)
class OverEvent:
    name: ClassVar[str] = "over"
    note: str
    """For people."""


@dataclass(frozen=True, slots=True)
class ConfirmEvent:
    name: ClassVar[str] = "confirm"
    number: int
    """Of the proposal that is confirmed."""
    repeat: int
    config: TrainConfig
    variables: Mapping[str, float | str]


Event = SearchEvent | ProposalEvent | ReportEvent | EndEvent | RetryEvent | OverEvent | ConfirmEvent
_EVENTS: dict[str, type[Event]] = {
    kind.name: kind
    for kind in (SearchEvent, ProposalEvent, ReportEvent, EndEvent, RetryEvent, OverEvent, ConfirmEvent)
}
_DURABLE = (SearchEvent, ProposalEvent, EndEvent, RetryEvent, OverEvent, ConfirmEvent)


@dataclass(frozen=True, slots=True)
class Report:
    """What a proposal had reached after an epoch."""

    epoch: int
    values: Values
    stop: bool
    """Whether the scheduler ended it here."""


@dataclass(slots=True)
class ProposalRecord:
    """All that the log says of one proposal."""

    number: int
    params: Params
    config: TrainConfig | None
    variables: Mapping[str, float | str]
    same_as: int | None
    error: str | None
    reports: list[Report] = field(default_factory=list)
    """By epoch, the first is 1; empty where the proposal is the same as another."""
    status: Status | None = None
    """None while it has not ended."""
    values: Values | None = None

    @property
    def is_trained(self) -> bool:
        """Whether it is a training of its own: possible, and not the same as another."""
        return self.config is not None and self.same_as is None


@dataclass(slots=True)
class SearchRecord:
    """A search as far as its log tells."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Empty where the log is."""
    earlier: tuple[Earlier, ...] = ()
    proposals: list[ProposalRecord] = field(default_factory=list)
    confirmations: list[ConfirmEvent] = field(default_factory=list)
    over: str | None = None
    """Why no more is proposed, where that is not because as many were tried as asked for."""

    def apply(self, event: Event) -> None:
        """
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
                _check(same_as is None or same_as < event.number, "a proposal is the same as a later one")
                self.proposals.append(
                    ProposalRecord(event.number, event.params, event.config, event.variables, same_as, event.error)
                )
            case ReportEvent():
                proposal = self._running(event.number)
                _check(event.epoch == len(proposal.reports) + 1, "an epoch is missing")
                proposal.reports.append(Report(event.epoch, event.values, event.stop))
            case EndEvent():
                proposal = self._running(event.number)
                proposal.status, proposal.values = event.status, event.values
            case RetryEvent():
                _check(event.number < len(self.proposals), "something that was not proposed")
                proposal = self.proposals[event.number]
                _check(proposal.status is Status.FAILED, "a retry of what has not failed")
                proposal.status = self.over = None
            case OverEvent():
                self.over = event.note
            case ConfirmEvent():
                _check(event.number < len(self.proposals), "what is confirmed was not proposed")
                self.confirmations.append(event)

    def source(self, proposal: ProposalRecord) -> ProposalRecord:
        """Whose training answers it: its own, or that of the one with the same configuration."""
        return proposal if proposal.same_as is None else self.proposals[proposal.same_as]

    def _running(self, number: int) -> ProposalRecord:
        _check(number < len(self.proposals), "something that was not proposed")
        proposal = self.proposals[number]
        _check(proposal.status is None, "something that has ended")
        return proposal


def best(record: SearchRecord) -> list[ProposalRecord]:
    """What was trained to the end, best first; of several objectives only the Pareto front, by the first of them.

    Of a population the members of its last generation, with which trainings end.
    """
    generations: dict[str | None, int] = {None: 0}
    complete: list[tuple[int, tuple[float, ...], ProposalRecord]] = []
    for one in record.proposals:
        if one.config is None or not one.is_trained:
            continue
        generation = generations[one.config.trial_key] = generations.get(one.config.parent, 0) + 1
        if one.status is Status.COMPLETE and (values := all_finite(one.values)) is not None:
            complete.append((generation, values, one))
    last = max((generation for generation, _, _ in complete), default=0)
    scored = [(values, one) for generation, values, one in complete if generation == last]
    scored.sort(key=lambda pair: (pair[0], pair[1].number))
    if scored and len(scored[0][0]) == 1:
        return [one for _, one in scored]
    return [proposal for _, proposal in pareto_front(scored, lambda pair: pair[0])]


def all_finite(values: Values | None) -> tuple[float, ...] | None:
    """The values; None where one is missing."""
    finite = tuple(value for value in values or () if value is not None)
    return finite if values and len(finite) == len(values) else None


def read_log(journal: Journal) -> SearchRecord:
    """Return what the log holds, also while it is being written; an empty record if there is no log.

    Raises:
        UserError: a line, not the last, is damaged.
    """
    return _read(journal)[1]


def _read(journal: Journal) -> tuple[list[Event], SearchRecord, int]:
    """Return the events in their order, their record, and their number of bytes without a torn last line."""
    lines = journal.read().split(b"\n")
    lines.pop()  # empty, or torn
    events: list[Event] = []
    record = SearchRecord()
    num_bytes = 0
    for index, line in enumerate(lines):
        try:
            event = _parse(line)
            _check(bool(index) or isinstance(event, SearchEvent), "the settings are missing")
            record.apply(event)
        except (ValueError, TypeError, KeyError, UserError) as error:
            if index == len(lines) - 1:
                break
            raise UserError(
                f"{journal.location}:{index + 1} is damaged ({error}): start the search anew under another --name, "
                "with the old one's results as its warm_start"
            ) from None
        events.append(event)
        num_bytes += len(line) + 1
    return events, record, num_bytes


class SearchLog:
    """The writing side, for the only driver of the sweep."""

    def __init__(self, journal: Journal) -> None:
        """Open the log, and cut off a torn last line.

        Raises:
            UserError: a line, not the last, is damaged.
        """
        self.events, _, num_bytes = _read(journal)
        """What the log held when it was opened."""
        self._journal = journal
        journal.truncate(num_bytes)

    def append(self, events: Sequence[Event]) -> None:
        """Append all events or none. They are in the store when this returns, unless they are reports only.

        Raises:
            UserError: the disk is full, or the store can no longer be written.
        """
        lines = b"".join(_dump(event) for event in events)
        try:
            self._journal.append(lines, durable=any(isinstance(event, _DURABLE) for event in events))
        except OSError as error:
            raise UserError(
                f"cannot write to {self._journal.location}: {error.strerror}; "
                "what was trained is kept: fix this and run the same command again"
            ) from None

    def flush(self) -> None:
        """Write reports that are not in the store yet.

        Raises:
            RemoteError: the store does not answer, or refuses.
        """
        self._journal.flush()


def finite(value: float | None) -> float | None:
    """The value, or None where it is not finite."""
    return value if value is not None and math.isfinite(value) else None


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)


def _dump(event: Event) -> bytes:
    values: dict[str, Any] = {EVENT: event.name}
    for spec in dataclasses.fields(event):
        value = getattr(event, spec.name)
        match value:
            case TrainConfig():
                value = value.to_dict()
            case tuple() if spec.name == "earlier":
                value = [dataclasses.asdict(one) for one in value]
        values[spec.name] = value
    return json.dumps(values, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _parse(line: bytes) -> Event:
    values = json.loads(line)
    kind = _EVENTS[values.pop(EVENT)]
    if values.get("config") is not None:
        values["config"] = TrainConfig.from_dict(values["config"])
    if values.get("values") is not None:
        values["values"] = tuple(values["values"])
    if "status" in values:
        values["status"] = Status(values["status"])
    if "earlier" in values:
        values["earlier"] = tuple(Earlier(one["params"], tuple(one["values"])) for one in values["earlier"])
    return kind(**values)
