"""Run a sweep whose trials its space lists."""

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from results.store.holdings import Holdings, holdings, holdings_text
from results.store.manifest import Manifest
from sweep.adaptive_repeats import further_repeats
from sweep.ending import report_end, report_stop
from sweep.estimate.forecast import estimate_left
from sweep.estimate.speeds import device_profile_here
from sweep.estimate.work import DatasetSize
from sweep.exit_codes import ExitCode
from sweep.kept_weights import WeightsKeeper
from sweep.observers.live_view import SweepView, make_console
from sweep.observers.parquet_writer import ParquetWriter
from sweep.observers.progress import SweepOutline
from sweep.observers.run_clock import RunClock
from sweep.preparation import PreparedRun, announce_ray
from sweep.runs import RunRecord, append_run
from sweep.trial_label import telling_fields
from trainable.config import TrainConfig
from trainable.wording import counted, say

if TYPE_CHECKING:
    from sweep.driver.tune_run import SweepContext


def run_planned_sweep(prepared: PreparedRun) -> ExitCode:
    """Train what the store does not hold yet, and keep the Parquet files current all the while.

    With `retrain` the results that the store holds are superseded first.
    """
    store, manifest, retrain = prepared.store, prepared.manifest, prepared.request.retrain
    held = holdings(store, manifest)
    heading = f"{manifest.name}: {counted(len(manifest.trials), 'trial')} on {prepared.data.name}"
    say(f"{heading}, {'all to retrain' if retrain else holdings_text(held)}", flush=True)
    if retrain:
        store.check_free(manifest.keys)
    elif not held.left:
        writer = ParquetWriter(store, manifest)
        with store.driving(manifest), writer.driven():
            writer.write()
            WeightsKeeper(store, manifest).drop()
        return report_end(store, manifest)

    announce_ray(prepared.request)
    from sweep.driver.tune_run import opened

    clock = RunClock(uuid.uuid4().hex)
    trials = manifest.trials if retrain else held.left
    with opened(prepared, trials, clock.run_id) as context, store.driving(manifest, clock.run_id):
        if retrain:
            num_superseded = store.supersede(manifest)
            if num_superseded:
                results = counted(num_superseded, "earlier result is", "earlier results are")
                say(f"note: {results} kept, marked superseded")
            held = holdings(store, manifest)
        record, manifest = _train(prepared, held, context, clock)
    return report_end(store, manifest, record, context.stop.cause)


def _train(
    prepared: PreparedRun, held: Holdings, context: "SweepContext", clock: RunClock
) -> tuple[RunRecord, Manifest]:
    """Train the trials that are left, and those that their errors ask for; record what the run took.

    Returns:
        The record, and the manifest with all trials that were decided on.
    """
    store, manifest, cluster = prepared.store, prepared.manifest, context.cluster
    num_slots, usual = cluster.num_slots(), cluster.usual_share
    left = {trial.config.trial_key: trial.config for trial in held.left}
    profile = device_profile_here(usual.num_threads, use_gpu=usual.gpus > 0, compiled=prepared.request.compile)
    expected, num_trials, interrupted = None, len(left), False
    append_run(store, manifest.name, clock.start())
    try:
        left, expected = estimate_left(store, left, DatasetSize.of(prepared.data), profile, num_slots)
        if expected is not None:
            first = f" for the first {counted(len(left), 'trial')}" if manifest.repeats else ""
            say(f"estimate: {expected}{first}, from {expected.basis}", flush=True)
        context.stop.raise_if_requested()
        _train_round(context, manifest, left, clock)
        while further := further_repeats(store, manifest):
            unfinished = {trial.config.trial_key: trial.config for trial in holdings(store, further).left}
            left = {key: config for key, config in unfinished.items() if key not in manifest.keys}
            manifest = further
            say(f"repeats: {counted(len(left), 'more trial')} to separate the best configurations", flush=True)
            num_trials, expected = num_trials + len(left), None
            store.write_manifest(manifest)
            _train_round(context, manifest, left, clock)
    except KeyboardInterrupt:
        interrupted = True
    record = clock.stop(
        num_trials=num_trials,
        num_slots=num_slots,
        interrupted=interrupted,
        expected=expected,
        stopped_by=context.stop.stopped_by if interrupted else None,
    )
    append_run(store, manifest.name, record)
    ParquetWriter(store, manifest).write()
    WeightsKeeper(store, manifest).drop()
    if interrupted:
        again = " without --again" if prepared.request.retrain else ""
        report_stop(store, manifest, context.stop.cause, f"the same command{again}")
    return record, manifest


def _train_round(
    context: "SweepContext", manifest: Manifest, left: Mapping[str, TrainConfig], clock: RunClock
) -> None:
    """Train some trials of the sweep, and keep the Parquet files current meanwhile."""
    from sweep.driver.tune_run import run_planned

    store, cluster = context.prepared.store, context.cluster
    writer, keeper = ParquetWriter(store, manifest), WeightsKeeper(store, manifest)
    trials = [trial for trial in manifest.trials if trial.config.trial_key in left]
    shares = {trial.config.trial_key: cluster.share(trial) for trial in trials}
    fields = telling_fields([trial.config for trial in manifest.trials])
    outline = SweepOutline(name=manifest.name, num_before=len(manifest.trials) - len(left), fields=fields)
    view = SweepView(make_console(), outline, left)
    with writer.driven(cluster.num_slots()), view:
        run_planned(context, left, shares, (view, writer, keeper, clock))
