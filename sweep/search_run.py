"""Run a search: open it, let it propose trials until it is over, then confirm what it chose."""

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from results.store.configurations import num_seeds
from results.store.search_log import Earlier, SearchEvent, read_log
from results.store.search_progress import left_to_confirm, search_progress, stopped_keys
from search_spaces.expansion import tie_to_data
from search_spaces.proposals import ProposalMaker
from sweep.ending import report_end, report_stop
from sweep.exit_codes import ExitCode
from sweep.kept_weights import WeightsKeeper
from sweep.observers.live_view import SweepView, make_console
from sweep.observers.parquet_writer import ParquetWriter
from sweep.observers.progress import SweepOutline
from sweep.observers.run_clock import RunClock
from sweep.preparation import PreparedRun, announce_ray
from sweep.request import StopCause
from sweep.runs import RunRecord, append_run
from sweep.search.opening import earlier_results_for, open_search, search_settings
from sweep.search.search import Search
from sweep.search.settings import SearchSettings, check_resumable
from sweep.status.search_words import search_heading
from trainable.config import PlannedTrial, TrainConfig
from trainable.ledger.files import FINAL_STATE
from trainable.wording import counted, say

if TYPE_CHECKING:
    from sweep.driver.tune_run import SweepContext


def run_search_sweep(prepared: PreparedRun, maker: ProposalMaker) -> ExitCode:
    """Propose and train until the search is over, then confirm what it chose; resume where an earlier run ended."""
    clock = RunClock(uuid.uuid4().hex)
    settings, earlier = _prepare(prepared, maker)
    with prepared.store.driving(prepared.manifest, clock.run_id):
        _print_heading(prepared, settings)
        search = open_search(prepared.store, settings, maker, prepared.data, earlier)
        run = _SearchRun(prepared, maker, search, clock)
        record = run.run()
    return report_end(prepared.store, prepared.manifest, record, run.cause)


def _prepare(prepared: PreparedRun, maker: ProposalMaker) -> tuple[SearchSettings, list[Earlier]]:
    """Refuse what the search cannot do before anything is written."""
    store, manifest, data = prepared.store, prepared.manifest, prepared.data
    settings = search_settings(manifest.name, maker, dataset=data.name, fingerprint=data.fingerprint)
    log = store.search_log(manifest.name)
    check_resumable(settings, log)
    if not log.read():
        tie_to_data(maker.corners, *data.identity)  # refuses what does not fit them
    earlier = earlier_results_for(store, manifest.name, maker)
    if earlier.results:
        begins = counted(len(earlier.results), "earlier result")
        say(f"note: the search begins with {begins} of {maker.search.warm_start}")
    for note in earlier.notes:
        say(f"note: {note}")
    return settings, earlier.results


def _print_heading(prepared: PreparedRun, settings: SearchSettings) -> None:
    """Say what is to come from the log alone: to open the search takes seconds, since it imports its scheduler."""
    record = read_log(prepared.store.search_log(prepared.manifest.name))
    if record.settings != settings.canonical():
        record.apply(SearchEvent(settings.canonical()))
    say(search_heading(prepared.manifest.name, prepared.data.name, record), flush=True)


class _SearchRun:
    """One driver's run of an opened search."""

    def __init__(self, prepared: PreparedRun, maker: ProposalMaker, search: Search, clock: RunClock) -> None:
        self._prepared = prepared
        self._maker = maker
        self._search = search
        self._clock = clock
        self._store, self._sweep = prepared.store, prepared.manifest.name
        self._writer = ParquetWriter(prepared.store, prepared.manifest)
        self._keeper = WeightsKeeper(prepared.store, prepared.manifest, lambda: search.record)
        self.cause: StopCause | None = None
        """Why the run was stopped, if it was."""

    def run(self) -> RunRecord | None:
        """Say what is to come, and do it; return what the run took, or None where nothing was left to do."""
        self._search.try_again()
        proposed = [record.config for record in self._search.record.proposals if record.config is not None]
        self._store.drop_checkpoints([config.trial_key for config in proposed])
        for note in self._search.notes:
            say(f"note: {note}")
        if self._search.is_over and not self._left_to_confirm():
            self._store.drop_files(FINAL_STATE, self._search.unneeded_states())
            with self._writer.driven():
                self._writer.write()
                self._keeper.drop()
            return None

        announce_ray(self._prepared.request)
        from sweep.driver.tune_run import opened

        append_run(self._store, self._sweep, self._clock.start())
        with opened(self._prepared, self._maker.corners, self._clock.run_id) as context:
            return self._train(context)

    def _train(self, context: "SweepContext") -> RunRecord:
        num_slots = context.cluster.num_slots()
        interrupted = False
        try:
            with self._writer.driven(num_slots):
                if not self._search.is_over:
                    self._propose(context)
                if confirm := self._left_to_confirm():
                    self._confirm(context, confirm)
        except KeyboardInterrupt:
            interrupted, self.cause = True, context.stop.cause
        num_trials = self._clock.trials_ended
        record = self._clock.stop(
            num_trials=num_trials,
            num_slots=num_slots,
            interrupted=interrupted,
            expected=None,
            stopped_by=context.stop.stopped_by if interrupted else None,
        )
        append_run(self._store, self._sweep, record)
        if interrupted:
            self._search.flush()
        else:
            self._store.drop_files(FINAL_STATE, self._search.unneeded_states())
        self._writer.write()
        self._keeper.drop()
        if interrupted:
            report_stop(self._store, self._prepared.manifest, self.cause)
        return record

    def _propose(self, context: "SweepContext") -> None:
        """Train what the search proposes until it is over."""
        from sweep.driver.tune_run import run_search

        progress, has_seeds = search_progress(self._search.record), num_seeds(self._search.record) > 1
        outline = SweepOutline(
            name=self._sweep,
            num_before=progress.ended,
            num_proposed=progress.begun + progress.to_come,
            fields=[parameter.name for parameter in self._maker.parameters] + ["seed"] * has_seeds,
            metrics=[objective.metric for objective in self._maker.objectives],
            stopped_before=stopped_keys(self._search.record),
        )
        with SweepView(make_console(), outline, {}) as view:
            run_search(context, self._search, (view, self._writer, self._keeper, self._clock))

    def _left_to_confirm(self) -> dict[str, TrainConfig]:
        """Choose the best, once the search is over; return those that are not trained on all images yet."""
        return left_to_confirm(self._store, self._search.confirmations()) if self._search.is_over else {}

    def _confirm(self, context: "SweepContext", configs: Mapping[str, TrainConfig]) -> None:
        """Train the chosen configurations on all training images."""
        from sweep.driver.tune_run import run_planned

        say(f"{counted(len(configs), 'trial')} to confirm the best, on all training images", flush=True)
        chosen = {record.config.trial_key: record.variables for record in self._search.record.confirmations}
        shares = {key: context.cluster.share(PlannedTrial(config, 0, chosen[key])) for key, config in configs.items()}
        outline = SweepOutline(name=self._sweep, fields=[parameter.name for parameter in self._maker.parameters])
        with SweepView(make_console(), outline, configs, chosen) as view:
            run_planned(context, configs, shares, (view, self._writer, self._keeper, self._clock))
