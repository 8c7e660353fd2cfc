"""A search as a study in an Optuna storage, for optuna-dashboard."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import optuna
import pyarrow as pa
from optuna.exceptions import DuplicatedStudyError, OptunaError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, create_trial

from results.parquet.search_results import attributes, read_search
from results.store.configurations import over_seeds
from results.store.search_log import Params, ProposalRecord, SearchRecord, read_log
from results.store.search_settings import METRIC, OBJECTIVE, WARM_START
from results.store.store import Store
from sweep.search.optuna_samplers import distributions_of, quiet
from sweep.search.outcomes import outcome_of, usable_result
from sweep.search.settings import IsActive, logged_parameters
from trainable.errors import UserError, located
from trainable.wording import counted, printable_line

EXAMPLE_URL = "sqlite:///search.db"


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """What the study shows of a training, beside what the log of the search says."""

    start: datetime
    """Start time, with its time zone."""
    seconds: float
    """Seconds of training and evaluation; pauses between two runs are left out."""
    attributes: Mapping[str, Any]
    """User attributes of the trial, as plain JSON values."""


def export_search(store: Store, sweep: str, trials: pa.Table, url: str) -> str:
    """Write a search of the store as a study into an Optuna storage, and return what to tell the user.

    Args:
        trials: the `trials` table of the sweep.

    Raises:
        UserError: the sweep is no search, or the storage cannot be written or holds this study already.
    """
    found = read_search(trials)
    if found is None:
        raise UserError(
            f"export --optuna: {sweep!r} is no search, or has not begun: its Parquet files hold all of it"
        )
    facts = {
        searched.number: TrainingFacts(
            searched.trial.row.start_time, searched.trial.row.total_seconds, attributes(found, searched)
        )
        for searched in found.trials
    }
    with located("export --optuna"):
        record = read_log(store.search_log(sweep))
        written_to = export_study(record, sweep, url, facts)
    earlier = f" and {counted(len(record.earlier), 'earlier result')}" if record.earlier else ""
    proposals = counted(len(record.proposals), "proposal")
    return f"{proposals}{earlier} written to {written_to}\nnext: optuna-dashboard {written_to}"


def export_study(record: SearchRecord, name: str, url: str, facts: Mapping[int, TrainingFacts]) -> str:
    """Add a search as a study to an Optuna storage: the whole study, or nothing.

    The results that the search started from come after its proposals, so that proposals keep their numbers.

    Args:
        url: URL of a database, in SQLAlchemy's form: sqlite:///FILE, where FILE need not exist.
        facts: number of a proposal -> what is known of its training.

    Returns:
        The URL without its password.

    Raises:
        UserError: the URL is wrong, nothing can be written there, or it holds a study of this name.
    """
    metrics = [objective[METRIC] for objective in record.settings[OBJECTIVE]]
    directions = [StudyDirection.MINIMIZE] * len(metrics)
    with quiet(), _storage(url) as (storage, shown_url):
        try:
            study = optuna.create_study(storage=storage, study_name=name, directions=directions)
        except DuplicatedStudyError:
            raise UserError(f"{shown_url} already holds a study {name!r}: give another file or database") from None
        try:
            study.set_metric_names(metrics)
            study.add_trials(_trials(record, metrics, facts))
        except BaseException:
            optuna.delete_study(study_name=name, storage=storage)
            raise
    return shown_url


@contextlib.contextmanager
def _storage(url: str) -> Iterator[tuple[RDBStorage, str]]:
    """Open a storage; yield it with its URL, without the password.

    Raises:
        UserError: the storage cannot be opened, or what is done inside fails.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        parsed = make_url(url)
        is_memory = parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:")
    except (ArgumentError, ValueError):
        raise UserError(f"this is no URL of a database: write one such as {EXAMPLE_URL}") from None
    shown_url = parsed.render_as_string(hide_password=True)
    if is_memory:
        raise UserError(f"{shown_url} names no file: write a URL such as {EXAMPLE_URL}")
    try:
        storage = RDBStorage(url)
    except (SQLAlchemyError, OptunaError, ImportError, RuntimeError, ValueError) as error:
        raise UserError(f"cannot open {shown_url}: {_reason(error)}") from None
    try:
        yield storage, shown_url
    except (SQLAlchemyError, OptunaError) as error:
        raise UserError(f"cannot write to {shown_url}: {_reason(error)}") from None
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _reason(error: BaseException) -> str:
    """Return the first line of the database's own message, else of the error's."""
    cause = error.__cause__ or error
    text = str(getattr(cause, "orig", None) or cause)
    return (text.strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _trials(
    record: SearchRecord, metrics: Sequence[str], facts: Mapping[int, TrainingFacts]
) -> Iterator[FrozenTrial]:
    """Yield every proposal as a trial of Optuna's, as it ended over its seeds, then the earlier results.

    A proposal without a training of its own has the start time of the proposal before it.
    """
    parameters = logged_parameters(record.settings)
    distributions = distributions_of(parameters)
    start = min((known.start for known in facts.values()), default=datetime.now(UTC))
    for proposal in record.proposals:
        if proposal.seed_of is not None:
            continue
        outcome = outcome_of(record, over_seeds(record, proposal), metrics)
        known = facts.get(proposal.number, TrainingFacts(start, 0.0, {}))
        start = known.start
        trial = create_trial(
            state=outcome.state,
            params=dict(proposal.params),
            distributions={name: distributions[name] for name in proposal.params},
            values=outcome.values,
            intermediate_values=dict(outcome.intermediate or {}),
            user_attrs=_attributes(proposal, known.attributes),
        )
        trial.datetime_start = _local(start)
        if trial.state.is_finished():
            trial.datetime_complete = _local(start + timedelta(seconds=known.seconds))
        yield trial
    for earlier in record.earlier:
        used = usable_result(earlier, parameters, _has_value(earlier.params), len(metrics))
        if used is None:
            continue
        trial = create_trial(
            params=dict(used.params),
            distributions={name: distributions[name] for name in used.params},
            values=list(used.values),
            user_attrs={WARM_START: record.settings[WARM_START]},
        )
        trial.datetime_start = trial.datetime_complete = _local(start)
        yield trial


def _attributes(proposal: ProposalRecord, known: Mapping[str, Any]) -> dict[str, Any]:
    shown = {
        "trial_key": None if proposal.config is None else proposal.config.trial_key,
        "status": None if proposal.status is None else str(proposal.status),
        "same_as": proposal.same_as,
        "error": proposal.error,
        **known,
    }
    return {
        key: printable_line(value) if isinstance(value, str) else value
        for key, value in shown.items()
        if value is not None
    }


def _has_value(params: Params) -> IsActive:
    """Return a rule by which the parameters with a value are active."""
    return lambda _, name: name in params


def _local(time: datetime) -> datetime:
    """Return a time as Optuna holds it: in this machine's time zone, without naming the zone."""
    return time.astimezone().replace(tzinfo=None)
