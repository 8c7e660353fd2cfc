"""Batchscape's command line. Each command imports what it needs, so that the light ones answer at once."""

import argparse
import dataclasses
import functools
import importlib.util
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from results.figures import FIGURE_NAMES, SEARCH_FIGURE_NAMES
from results.store.store import DEFAULT_STORE
from trainable.errors import UserError, located
from trainable.wording import counted

if TYPE_CHECKING:
    from pyarrow import Table

    from results.store.store import Manifest, Store
    from search_spaces.loader import LoadedSpace
    from search_spaces.proposals import ProposalMaker
    from search_spaces.resources import ResourceRule
    from sweep.driver.tune_run import Cluster, Resources
    from sweep.runs import ExpectedTime, RunRecord
    from trainable.config import PlannedTrial
    from trainable.data.contract import ImageData

INTERRUPTED = 130
RAY_ADDRESS = "RAY_ADDRESS"
"""Environment variable that Ray's own tools read, and that `ray job submit` sets for what it runs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0 done, 1 trials failed, 2 the user's mistake, 130 interrupted."""
    arguments = build_parser().parse_args(argv)
    try:
        status: int = arguments.command(arguments)
        sys.stdout.flush()
    except UserError as error:
        print(f"batchscape: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has gone, `| head` for example
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"batchscape: {error.strerror or error}: {error.filename or 'standard output'}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return INTERRUPTED
    return status


def run_command(arguments: argparse.Namespace) -> int:
    """Make the store hold the trials of a space: plan, take off what is there, train the rest."""
    from results.store.store import busy_message, new_manifest, open_store
    from search_spaces.expansion import dataset_name, expand, parse_overrides, tie_to_data
    from sweep.plan.changes import changes_text, extended, stands_for
    from trainable.data.sources import load_dataset
    from trainable.provenance import code_identity
    from trainable.sweep_name import sweep_name

    if arguments.log is not None and importlib.util.find_spec(arguments.log) is None:
        raise UserError(f"--log {arguments.log}: that package is not installed: pip install {arguments.log}")
    loaded = load_checked_space(arguments.space)
    overrides = parse_overrides(arguments.set)
    expansion = expand(loaded, overrides, arguments.scale)
    rule = resource_rule(loaded, arguments)
    for trial in expansion.trials if expansion.search is None else expansion.search.corners:
        rule.share(trial, default_gpus=0.0)  # refuses what cannot be computed before the data set is loaded
    name = arguments.name or sweep_name(loaded.name, arguments.scale)
    store = open_store(arguments.store)
    if store.is_running(name):
        raise UserError(busy_message(name))
    store.check_writable()
    if expansion.search is not None:
        data = load_dataset(dataset_name(expansion.search.corners), arguments.data)
        manifest = new_manifest(name, [], loaded.source.text, overrides, code_identity(), arguments.scale)
        manifest = dataclasses.replace(manifest, is_search=True)
        return run_search(store, manifest, expansion.search, data, rule, arguments)
    data = load_dataset(dataset_name(expansion.trials), arguments.data)
    trials = tie_to_data(expansion.trials, data.name, data.fingerprint, len(data.train_labels), len(data.test_labels))
    for note in expansion.notes:
        print(f"note: {note}")
    manifest = new_manifest(name, trials, loaded.source.text, overrides, code_identity(), arguments.scale)
    existing = store.find_manifest(name)
    if existing is not None and stands_for(existing, manifest):
        manifest = existing
    elif existing is not None and arguments.extend:
        manifest = extended(existing, manifest)
    elif existing is not None and (changes := changes_text(existing, manifest)):
        print(changes, flush=True)
    store.check_extends(manifest)
    return run_sweep(store, manifest, data, rule, arguments)


def load_checked_space(name_or_path: str) -> "LoadedSpace":
    """A space whose `reference` names published tables that there are.

    Raises:
        UserError: as `load_space`, or no such table; with file, line and key.
    """
    from results.published.cells import table_cells
    from search_spaces.loader import load_space

    loaded = load_space(name_or_path)
    for index, table in enumerate(loaded.space.reference):
        with located(loaded.source.where(("reference", index))):
            table_cells(table)
    return loaded


def run_sweep(
    store: "Store", manifest: "Manifest", data: "ImageData", rule: "ResourceRule", arguments: argparse.Namespace
) -> int:
    """Train what the store does not hold yet, with the Parquet files kept current all the while.

    With --again what it holds is superseded first.
    """
    from results.store.holdings import holdings, holdings_text
    from sweep.estimate.dataset_size import DatasetSize
    from sweep.estimate.forecast import estimate_left
    from sweep.estimate.here import device_profile_here
    from sweep.observers.console import make_console
    from sweep.observers.live_view import SweepView
    from sweep.observers.parquet_keeper import ParquetKeeper
    from sweep.observers.run_clock import RunClock
    from sweep.runs import append_run
    from sweep.status.status import sweep_status

    run_id = uuid.uuid4().hex
    clock = RunClock(run_id)
    held = holdings(store, manifest)
    console = make_console()
    heading = f"{manifest.name}: {counted(len(manifest.trials), 'trial')} on {data.name}"
    keeper = ParquetKeeper(store, manifest)
    if arguments.again:
        store.check_free(manifest)
    elif not held.left:
        with store.driving(manifest), keeper.driven():
            print(f"{heading}, {holdings_text(held)}")
            keeper.write()
        return report_end(store, manifest)

    from sweep.driver.tune_run import StopRequest, SweepContext, connected, run_planned

    stop = StopRequest()  # takes the signals once Ray has put its own handlers in place
    planned = manifest.trials if arguments.again else held.left
    with (
        connected(resources(rule, arguments), planned, num_bytes(data), data.train_images.shape[1]) as cluster,
        store.driving(manifest, run_id),
        stop.on_signals(),
    ):
        if arguments.again:
            num_superseded = store.supersede(manifest)
            if num_superseded:
                print(f"note: {num_superseded} earlier results are kept, marked superseded")
            held = holdings(store, manifest)
        left = {trial.config.trial_key: trial.config for trial in held.left}
        shares = {trial.config.trial_key: cluster.share(trial) for trial in held.left}
        check_memory(store, cluster, held.left, data)
        num_slots = cluster.num_slots()
        end_of_run = functools.partial(clock.stop, num_trials=len(left), num_slots=num_slots)
        expected: ExpectedTime | None = None
        append_run(store, manifest.name, clock.start())
        try:
            print(f"{heading}, {holdings_text(held)}", flush=True)
            share = cluster.usual_share
            profile = device_profile_here(share.num_threads, use_gpu=share.gpus > 0, compiled=arguments.compile)
            left, expected = estimate_left(store, left, DatasetSize.of(data), profile, num_slots)
            if expected is not None:
                print(f"estimate: {expected.text}", flush=True)
            stop.raise_if_requested()
            with keeper.driven(num_slots), SweepView(console, manifest.name, left, held.done) as view:
                context = SweepContext(
                    cluster=cluster,
                    data=data,
                    trials_folder=store.ledgers,
                    sweep=manifest.name,
                    run_id=run_id,
                    stop=stop,
                    tracker=arguments.log,
                )
                run_planned(context, left, shares, (view, keeper, clock))
        except KeyboardInterrupt:
            append_run(store, manifest.name, end_of_run(interrupted=True, expected=expected))
            keeper.write()
            status = sweep_status(store, manifest)
            same = "the same command without --again" if arguments.again else "the same command"
            print(
                f"\nstopped with {status.done} of {status.planned} trials done; {same} goes on where this one ended",
                file=sys.stderr,
            )
            return INTERRUPTED
        record = end_of_run(interrupted=False, expected=expected)
        append_run(store, manifest.name, record)
        keeper.write()
    return report_end(store, manifest, record)


def resource_rule(loaded: "LoadedSpace", arguments: argparse.Namespace) -> "ResourceRule":
    """What each trial is given: the command line's word over the space's."""
    from search_spaces.resources import ResourceRule

    return ResourceRule(loaded, arguments.cpus_per_trial, arguments.gpus_per_trial)


def resources(rule: "ResourceRule", arguments: argparse.Namespace) -> "Resources":
    """What the command line says of the machine."""
    from sweep.driver.tune_run import Resources
    from trainable.execution import Execution

    return Resources(
        arguments.address or os.environ.get(RAY_ADDRESS) or None,
        rule,
        arguments.max_concurrent,
        Execution(compile=arguments.compile),
        arguments.min_nodes,
    )


def check_memory(store: "Store", cluster: "Cluster", trials: "Sequence[PlannedTrial]", data: "ImageData") -> None:
    """Refuse shares of a GPU that the store's trainings are known to need more than.

    Raises:
        UserError: a trial would run out of memory.
    """
    if not any(0 < share.gpus < 1 for share in cluster.expected):
        return
    from sweep.estimate.dataset_size import DatasetSize
    from sweep.estimate.history import peak_memory, read_speeds

    cluster.check_memory(trials, peak_memory(read_speeds(store, DatasetSize.of(data).equally_fast)))


def num_bytes(data: "ImageData") -> int:
    """Of all images."""
    return data.train_images.nbytes + data.test_images.nbytes


def run_search(
    store: "Store",
    manifest: "Manifest",
    maker: "ProposalMaker",
    data: "ImageData",
    rule: "ResourceRule",
    arguments: argparse.Namespace,
) -> int:
    """Propose and train until the search is over, then confirm what it chose; go on where an earlier run ended."""
    from results.store.search_progress import left_to_confirm, search_progress
    from search_spaces.expansion import tie_to_data
    from sweep.observers.console import make_console
    from sweep.observers.live_view import SweepView
    from sweep.observers.parquet_keeper import ParquetKeeper
    from sweep.observers.run_clock import RunClock
    from sweep.runs import append_run
    from sweep.search.opening import earlier_results_for, open_search, search_settings
    from sweep.search.search import check_goes_on
    from sweep.status.search_words import search_heading
    from trainable.config import PlannedTrial

    if arguments.again or arguments.extend:
        option = "--again" if arguments.again else "--extend"
        raise UserError(f"{option}: a search grows by a larger num_trials, and starts anew under another --name")
    run_id = uuid.uuid4().hex
    clock = RunClock(run_id)
    console = make_console()
    keeper = ParquetKeeper(store, manifest)
    settings = search_settings(manifest.name, maker, dataset=data.name, fingerprint=data.fingerprint)
    log = store.search_log(manifest.name)
    store.refresh(log)
    check_goes_on(settings, log)  # before anything is written, as is what it begins with
    if not log.exists():
        num_images = (len(data.train_labels), len(data.test_labels))
        tie_to_data(maker.corners, data.name, data.fingerprint, *num_images)  # refuses what does not fit them
    earlier = earlier_results_for(store, manifest.name, maker)
    for note in earlier.notes:
        print(f"note: {note}")
    if earlier.results:
        print(f"note: it begins with {len(earlier.results)} earlier results of {maker.search.warm_start}")
    with store.driving(manifest, run_id):
        search = open_search(store, settings, maker, data, earlier.results)
        search.try_again()
        print(search_heading(manifest.name, data.name, search.record), flush=True)
        for note in search.notes:
            print(f"note: {note}")
        confirm = left_to_confirm(store, search.confirmations()) if search.is_over else {}
        store.publish(log)
        if search.is_over and not confirm:
            store.drop_final_states(search.spent())
            with keeper.driven():
                keeper.write()
            return report_end(store, manifest)

        from sweep.driver import tune_run
        from sweep.driver.tune_run import StopRequest, SweepContext, connected

        append_run(store, manifest.name, clock.start())
        stop = StopRequest()  # takes the signals once Ray has put its own handlers in place
        with (
            connected(
                resources(rule, arguments), maker.corners, num_bytes(data), data.train_images.shape[1]
            ) as cluster,
            keeper.driven(num_slots := cluster.num_slots()),
            stop.on_signals(),
        ):
            check_memory(store, cluster, maker.corners, data)
            end_of_run = functools.partial(clock.stop, num_slots=num_slots, expected=None)
            observers = (keeper, clock)
            context = SweepContext(
                cluster=cluster,
                data=data,
                trials_folder=store.ledgers,
                sweep=manifest.name,
                run_id=run_id,
                stop=stop,
                tracker=arguments.log,
            )
            fields, metrics = [one.name for one in maker.parameters], [one.metric for one in maker.objectives]
            try:
                if not search.is_over:
                    progress = search_progress(search.record)
                    to_come = progress.begun + progress.to_come
                    with SweepView(console, manifest.name, {}, progress.ended, to_come, fields, metrics) as view:
                        watched = (view, *observers)
                        publish = functools.partial(store.publish, log)
                        tune_run.run_search(context, search, watched, publish)
                    confirm = left_to_confirm(store, search.confirmations()) if search.is_over else {}
                    store.publish(log)
                if confirm:
                    trials = counted(len(confirm), "trial")
                    print(f"{trials} to confirm the best, on all training images", flush=True)
                    variables = {one.config.trial_key: one.variables for one in search.record.confirmations}
                    shares = {
                        key: cluster.share(PlannedTrial(config, 0, variables[key])) for key, config in confirm.items()
                    }
                    with SweepView(console, manifest.name, confirm, 0, fields=fields, variables=variables) as view:
                        tune_run.run_planned(context, confirm, shares, (view, *observers))
            except KeyboardInterrupt:
                append_run(store, manifest.name, end_of_run(num_trials=clock.trials_ended, interrupted=True))
                store.publish(log)
                keeper.write()
                trials = counted(search_progress(search.record).ended, "trial")
                print(f"\nstopped after {trials}; the same command goes on from here", file=sys.stderr)
                return INTERRUPTED
            record = end_of_run(num_trials=clock.trials_ended, interrupted=False)
            append_run(store, manifest.name, record)
            store.drop_final_states(search.spent())
            keeper.write()
    return report_end(store, manifest, record)


def report_end(store: "Store", manifest: "Manifest", record: "RunRecord | None" = None) -> int:
    """Say where the results lie and what to type next."""
    from sweep.runs import run_text
    from sweep.status.status import front_lines, logs_hint, sweep_status

    status = sweep_status(store, manifest)
    if status.nothing_trained:
        print(f"nothing could be trained: {'; '.join(status.notes)}", file=sys.stderr)
        return 1
    for key, error in status.errors.items():
        print(f"failed {key}: {error}", file=sys.stderr)
    if status.errors:
        print(logs_hint(store, manifest.name, list(status.errors)))
    for note in status.notes:
        print(f"note: {note}")
    if record is not None:
        print(run_text(record))
    if status.best is not None:
        print(f"best: {status.best}")
    for line in front_lines(status.front):
        print(f"front: {line}")
    folder = store.shown(store.sweep_folder(manifest.name))
    print(f"{status.done} of {status.planned} trials done, results in {folder}")
    print(f"next: python tune_main.py table {manifest.name}{store.option}")
    return 1 if status.left or status.failed else 0


def train_command(arguments: argparse.Namespace) -> int:
    """Train one configuration in this process, without Ray."""
    from results.store.store import open_store
    from search_spaces.expansion import parse_config
    from sweep.observers.console import make_console
    from trainable.data.sources import load_dataset
    from trainable.records import Status

    config = parse_config(arguments.model, arguments.set)
    store = open_store(arguments.store)
    store.check_writable()
    data = load_dataset(config.dataset, arguments.data)
    config = config.for_dataset(data.name, data.fingerprint, len(data.train_labels), len(data.test_labels))

    from trainable.execution import Execution
    from trainable.standalone import train

    folder = store.ledgers / config.trial_key
    interrupt_on_signals()
    try:
        status = train(config, data, folder, arguments.threads, make_console(), Execution(compile=arguments.compile))
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return INTERRUPTED
    print(f"{status}: {folder}")
    return 0 if status.is_final and status is not Status.DIVERGED else 1


def spaces_command(arguments: argparse.Namespace) -> int:
    from search_spaces.listing import list_spaces, show_space

    print(list_spaces() if arguments.space is None else show_space(arguments.space, arguments.set, arguments.scale))
    return 0


def plan_command(arguments: argparse.Namespace) -> int:
    """What `run` would train and how long that takes, or what the published tables took."""
    if (arguments.space is None) != arguments.published:
        raise UserError("plan: give either a space or --published")
    if arguments.published:
        from results.published.counts import published_plan

        print(published_plan())
        return 0

    from results.store.store import open_store
    from search_spaces.expansion import expand, parse_overrides
    from sweep.plan.text import PlanRequest, plan_parts, planned_data
    from trainable.sweep_name import sweep_name

    loaded = load_checked_space(arguments.space)
    expansion = expand(loaded, parse_overrides(arguments.set), arguments.scale)
    trials = expansion.trials if expansion.search is None else expansion.search.corners
    request = PlanRequest(
        store=open_store(arguments.store),
        sweep=arguments.name or sweep_name(loaded.name, arguments.scale),
        data=planned_data(trials, arguments.data),
        rule=resource_rule(loaded, arguments),
        probe=arguments.probe,
        slots=arguments.slots,
        verbose=arguments.verbose,
    )
    for part in plan_parts(request, expansion):
        print(part, flush=True)
    return 0


def export_command(arguments: argparse.Namespace) -> int:
    """Write the Parquet files anew, or, of a search, an Optuna study."""
    from results.parquet.collect import Collector
    from results.parquet.files import EXPORTED, export_tables
    from results.store.store import open_store

    store = open_store(arguments.store)
    manifest = store.manifest(arguments.sweep)
    trials, epochs = Collector(store, manifest).tables()
    if arguments.optuna:
        return export_optuna(store, manifest.name, trials, arguments.optuna)
    if arguments.to:
        target = export_tables(trials, epochs, arguments.to)
    else:
        folder = store.sweep_folder(arguments.sweep)
        export_tables(trials, epochs, str(folder))
        store.publish(*(folder / name for name in EXPORTED))
        target = store.shown(folder)
    superseded = sum(trials["superseded"].to_pylist())
    kept = f" ({superseded} of them superseded)" if superseded else ""
    print(f"{len(trials)} trials{kept} and {len(epochs)} epochs written to {target}")
    return 0


def export_optuna(store: "Store", name: str, trials: "Table", url: str) -> int:
    """Write a search as a study into an Optuna storage; `trials` is the table of its trials."""
    from results.parquet.search_results import attributes, read_search
    from results.store.search_log import read_log

    found = read_search(trials)
    if found is None:
        raise UserError(f"export --optuna: {name!r} is no search, or has not begun: its Parquet files hold all of it")

    from sweep.search.search import export_study
    from sweep.search.study import Facts

    facts = {}
    for one in found.trials:
        row = one.trial.row
        facts[one.number] = Facts(row.start_time, row.total_seconds, attributes(found, one))
    with located("export --optuna"):
        record = read_log(store.search_log(name))
        written_to = export_study(record, name, url, facts)
    earlier = f" and {len(record.earlier)} earlier results" if record.earlier else ""
    print(f"{len(record.proposals)} proposals{earlier} written to {written_to}")
    print(f"next: optuna-dashboard {written_to}")
    return 0


def table_command(arguments: argparse.Namespace) -> int:
    from results.parquet.files import read_trials
    from results.published.tables import published_table
    from results.store.store import open_store
    from results.tables.search_table import sweep_table

    if (arguments.sweep is None) == (arguments.published is None):
        raise UserError("table: give either a sweep or --published NAME")
    if arguments.published is not None:
        if arguments.mean:
            raise UserError("table: --mean needs a sweep: published tables hold one number a configuration")
        print(published_table(arguments.published, arguments.format), end="")
        return 0
    table = read_trials(open_store(arguments.store), arguments.sweep)
    print(sweep_table(table, arguments.format, with_mean=arguments.mean), end="")
    return 0


def compare_command(arguments: argparse.Namespace) -> int:
    """Our errors beside the published ones."""
    from results.parquet.files import read_trials
    from results.parquet.trials import group_repeats, trials_from_table
    from results.statistics.compare import compare
    from results.statistics.comparison_text import render_comparison
    from results.store.store import open_store

    cells = group_repeats(trials_from_table(read_trials(open_store(arguments.store), arguments.sweep)))
    comparison = compare(
        arguments.sweep,
        cells,
        table=arguments.table,
        margin=arguments.margin,
        alpha=arguments.alpha,
        anyway=arguments.anyway,
    )
    print(render_comparison(comparison, arguments.format), end="")
    return 0


def lint_command(arguments: argparse.Namespace) -> int:
    from results.lint.rows import rows_of_cells, rows_of_published
    from results.lint.text import lint_text
    from results.parquet.files import read_trials
    from results.parquet.trials import group_repeats, trials_from_table
    from results.published.cells import LONGER_FILE, PUBLISHED, published_cells
    from results.store.store import open_store

    if arguments.sweep == PUBLISHED:
        rows = rows_of_published([*published_cells(), *published_cells(LONGER_FILE)])
    else:
        rows = rows_of_cells(
            group_repeats(trials_from_table(read_trials(open_store(arguments.store), arguments.sweep)))
        )
    print(lint_text(rows))
    return 0


def plot_command(arguments: argparse.Namespace) -> int:
    """Draw from a sweep, from the published rows, or from both together."""
    from results.figures.gallery import Results, draw
    from results.figures.style import save
    from results.parquet.files import read_epochs, read_trials
    from results.parquet.search_results import read_search
    from results.parquet.trials import epochs_from_table, group_repeats, trials_from_table
    from results.store.store import FIGURES, open_store

    sweep = arguments.sweep
    if sweep is None:
        if arguments.against:
            raise UserError(f"--against {arguments.against[0]}: against which search? name it before")
        if not arguments.published:
            raise UserError("nothing to plot: name a sweep, or add --published, or both")
        results, default = Results(published=True), Path(FIGURES)
    else:
        store = open_store(arguments.store)
        table = read_trials(store, sweep)
        results = Results(
            sweep,
            group_repeats(trials_from_table(table)),
            arguments.published,
            lambda: epochs_from_table(read_epochs(store, sweep)),
            read_search(table),
            {name: search for name in arguments.against if (search := read_search(read_trials(store, name)))},
        )
        for name in arguments.against:
            if results.search is None or name not in results.against:
                raise UserError(f"--against {name}: {sweep if results.search is None else name} is no search")
        default = store.sweep_folder(sweep) / FIGURES
    for stem, figure in draw(arguments.figure, results).items():
        for path in save(figure, Path(arguments.to) / stem if arguments.to else default / stem):
            if sweep is None or arguments.to:
                print(path)
            else:
                store.publish(path)
                print(store.shown(path))
    return 0


def report_command(arguments: argparse.Namespace) -> int:
    """All that there is to say of a sweep, in one HTML file and one Markdown file."""
    from results.report.files import write_report
    from results.store.store import open_store

    store = open_store(arguments.store)
    folder = Path(arguments.to) if arguments.to else store.sweep_folder(arguments.sweep)
    for path in write_report(store, arguments.sweep, folder):
        if not arguments.to:
            store.publish(path)
        print(path if arguments.to else store.shown(path))
    return 0


def status_command(arguments: argparse.Namespace) -> int:
    from results.store.store import open_store
    from sweep.status.status import status_json, status_page, sweep_status

    store = open_store(arguments.store)
    if arguments.watch is not None:
        return watch_status(store, arguments)
    status = sweep_status(store, store.manifest(arguments.sweep))
    print(status_json(status) if arguments.json else status_page(store, status))
    return 0


def watch_status(store: "Store", arguments: argparse.Namespace) -> int:
    """The status again and again, until the sweep is done; Ctrl-C ends it without a word."""
    from rich.console import Console

    from sweep.status.watch import default_seconds, sweep_reader, watch

    read = sweep_reader(store, arguments.sweep)
    try:
        watch(read, Console(), arguments.watch or default_seconds(arguments.store), as_json=arguments.json)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def logs_command(arguments: argparse.Namespace) -> int:
    """What the processes of a trial wrote, of one or of all that failed."""
    from results.store.store import open_store
    from sweep.status.logs import failed_trials, find_trial, trial_text

    if (arguments.trial is None) != arguments.failed:
        raise UserError("logs: give either a trial's key, or the beginning of one, or --failed with --sweep SWEEP")
    if arguments.failed and arguments.sweep is None:
        raise UserError("logs --failed: of which sweep? add --sweep SWEEP")
    store = open_store(arguments.store)
    if arguments.failed:
        names = failed_trials(store, arguments.sweep)
    else:
        names = [find_trial(store, arguments.trial, arguments.sweep)]
    print("\n\n".join(trial_text(store, name) for name in names) or f"no trial of {arguments.sweep} has failed")
    return 0


def replay_command(arguments: argparse.Namespace) -> int:
    """What a scheduler would have done on a sweep's recorded curves."""
    from results.parquet.files import read_epochs, read_trials
    from results.parquet.trials import epochs_from_table, trials_from_table
    from results.store.store import open_store
    from sweep.search.recorded_curves import sweep_curves

    store, sweep = open_store(arguments.store), arguments.sweep
    trials = trials_from_table(read_trials(store, sweep))
    recorded = sweep_curves(sweep, trials, epochs_from_table(read_epochs(store, sweep)))

    from sweep.search.replay import replay, replay_json, replay_text, scheduler_spec

    keys = ("grace_epochs", "reduction_factor", "brackets", "min_trials")
    spec = scheduler_spec({"type": arguments.scheduler, **{key: getattr(arguments, key) for key in keys}})
    result = replay(recorded.curves, spec, arguments.workers, arguments.orders)
    if arguments.json:
        print(replay_json(result, sweep, recorded.metric))
        return 0
    print(replay_text(result, sweep, recorded.objective, "points"))
    return 0


def interrupt_on_signals() -> None:
    """A SIGTERM, or the terminal that closes, stops as cleanly as Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def interrupt(signum: int, frame: object) -> NoReturn:
    """A signal's handler."""
    raise KeyboardInterrupt


class OneLineParser(argparse.ArgumentParser):
    """Refuses in one line, as every other mistake is refused."""

    def error(self, message: str) -> NoReturn:
        command = " ".join(["python", "tune_main.py", *self.prog.split()[1:], "--help"])
        self.exit(2, f"batchscape: {message} (see `{command}`)\n")


def build_parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="tune_main.py",
        description="Map how learning rate, batch size, schedule and training length decide the error "
        "of an image classifier.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=OneLineParser)

    spaces = commands.add_parser("spaces", help="list the spaces that ship, or show one with its trials")
    spaces.add_argument("space", nargs="?", help="name of a shipped space, or a YAML file")
    add_scale(spaces)
    add_set(spaces)
    spaces.set_defaults(command=spaces_command)

    plan = commands.add_parser(
        "plan", help="what `run` would train and how long it takes, or what the published tables took"
    )
    plan.add_argument("space", nargs="?", help="name of a shipped space, or a YAML file")
    plan.add_argument("--published", action="store_true", help="the published rows instead of a space")
    plan.add_argument("--verbose", action="store_true", help="a line for every trial")
    plan.add_argument("--name", type=not_empty, help="of the sweep (default: the space's)")
    add_store(plan)
    add_data(plan)
    plan.add_argument("--probe", action="store_true", help="time a few steps here where the store cannot tell")
    add_cpus(plan)
    add_gpus(plan)
    plan.add_argument(
        "--slots", type=positive_whole, nargs="+", metavar="N", help="trials at a time (default: 1, 2, 4, 8)"
    )
    add_scale(plan)
    add_set(plan)
    plan.set_defaults(command=plan_command)

    run = commands.add_parser("run", help="make the store hold the trials of a space: go on, or train")
    run.add_argument("space", help="name of a shipped space, or a YAML file")
    add_store(run)
    run.add_argument("--name", type=not_empty, help="of the sweep (default: the space's)")
    run.add_argument(
        "--extend", action="store_true", help="let the sweep stand for its old trials and this space's together"
    )
    run.add_argument(
        "--again", action="store_true", help="train anew what is done, too; the old results are kept, superseded"
    )
    add_data(run)
    run.add_argument(
        "--address",
        help="of a running Ray cluster, HOST:PORT or auto (default: $RAY_ADDRESS, else `local`, Ray on this machine)",
    )
    run.add_argument(
        "--min-nodes", type=positive_whole, default=1, metavar="N", help="of the cluster; wait until they are there"
    )
    add_cpus(run)
    add_gpus(run)
    run.add_argument(
        "--max-concurrent",
        type=positive_whole,
        metavar="N",
        help="trials at a time (default: as many as fit)",
    )
    run.add_argument("--log", choices=("mlflow", "wandb"), help="show the trials there, too (pip install it first)")
    add_compile(run)
    add_scale(run)
    add_set(run)
    run.set_defaults(command=run_command)

    train = commands.add_parser("train", help="train one configuration here, without Ray")
    train.add_argument("model", help="for example resnet_preact_20")
    add_store(train)
    add_data(train)
    train.add_argument(
        "--threads", type=positive_whole, default=os.cpu_count() or 1, metavar="N", help="default: all"
    )
    add_compile(train)
    add_set(train)
    train.set_defaults(command=train_command)

    status = commands.add_parser("status", help="trials done, running, failed, left")
    status.add_argument("--json", action="store_true", help="for programs")
    status.add_argument(
        "--watch",
        nargs="?",
        type=positive,
        const=0.0,
        metavar="SECONDS",
        help="again and again, until the sweep is done (default: 2, of a store in a bucket 15)",
    )
    status.set_defaults(command=status_command)
    logs = commands.add_parser("logs", help="what a trial's processes wrote, and why it failed")
    logs.add_argument("trial", nargs="?", type=not_empty, help="its key, or the beginning of it")
    logs.add_argument("--failed", action="store_true", help="of all that failed in the sweep")
    logs.add_argument("--sweep", type=not_empty, help="look among its trials only")
    add_store(logs)
    logs.set_defaults(command=logs_command)
    table = commands.add_parser("table", help="the sweep's table, in the form of the published ones, or one of these")
    table.add_argument("sweep", nargs="?", help="name of a sweep in the store")
    table.add_argument("--published", metavar="NAME", help="a published table, or `all`, as it was printed")
    add_store(table)
    table.add_argument("--format", choices=("markdown", "csv", "json"), default="markdown")
    table.add_argument("--mean", action="store_true", help="add mean +- std over the repeats")
    table.set_defaults(command=table_command)
    lint = commands.add_parser("lint", help="look for what is odd in the published tables or in a sweep's results")
    lint.add_argument("sweep", metavar="published|SWEEP", help="the published tables, or a sweep in the store")
    add_store(lint)
    lint.set_defaults(command=lint_command)
    compare = commands.add_parser("compare", help="the sweep beside the published tables: reproduced, or not?")
    compare.add_argument("--table", metavar="NAME", help="of the published ones; shows what the sweep lacks, too")
    compare.add_argument(
        "--margin", type=positive, default=0.5, metavar="POINTS", help="a difference that matters (default: 0.5)"
    )
    compare.add_argument(
        "--alpha",
        type=share,
        default=0.05,
        metavar="P",
        help="chance of any wrong verdict of a kind (default: 0.05)",
    )
    compare.add_argument("--format", choices=("markdown", "csv", "json"), default="markdown")
    compare.add_argument("--anyway", action="store_true", help="verdicts even on runs that were trained otherwise")
    compare.set_defaults(command=compare_command)
    plot = commands.add_parser("plot", help="draw figures (SVG and PNG) of a sweep, the published rows, or both")
    plot.add_argument("sweep", nargs="?", help="name of a sweep in the store")
    plot.add_argument("--published", action="store_true", help="the published rows, with the sweep's or alone")
    plot.add_argument(
        "--figure",
        default="all",
        metavar="NAME",
        help=f"one of {', '.join(FIGURE_NAMES)}, of a search also {', '.join(SEARCH_FIGURE_NAMES)} (default: all)",
    )
    plot.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="SWEEP",
        help="another search of the store, beside it in best_by_epochs; repeatable",
    )
    plot.add_argument(
        "--to", type=not_empty, metavar="DIR", help="default: STORE/SWEEP/figures; ./figures without a sweep"
    )
    add_store(plot)
    plot.set_defaults(command=plot_command)
    report = commands.add_parser("report", help="write report.html and report.md: everything about a sweep")
    report.add_argument("--to", type=not_empty, metavar="DIR", help="default: STORE/SWEEP")
    report.set_defaults(command=report_command)
    export = commands.add_parser(
        "export", help="write the Parquet files anew, anywhere pyarrow can write, or a search for optuna-dashboard"
    )
    target = export.add_mutually_exclusive_group()
    target.add_argument("--to", type=not_empty, metavar="DIR", help="a folder, or a URI such as s3://bucket/prefix")
    target.add_argument(
        "--optuna", type=not_empty, metavar="URL", help="of a search: as a study into this storage, sqlite:///FILE"
    )
    export.set_defaults(command=export_command)
    replay = commands.add_parser(
        "replay", help="what a scheduler would have saved on a sweep's recorded curves, and at what risk"
    )
    replay.add_argument("--scheduler", choices=("asha", "hyperband", "median"), default="asha", help="default: asha")
    for option, meaning in (
        ("--grace-epochs", "before which none is stopped (default: 1)"),
        ("--reduction-factor", "asha, hyperband: of so many trials one goes on (default: 3)"),
        ("--brackets", "asha, hyperband (default: 1, hyperband 3)"),
        ("--min-trials", "median: trials to compare with (default: 3)"),
    ):
        replay.add_argument(option, type=positive_whole, metavar="N", help=meaning)
    replay.add_argument(
        "--workers", type=positive_whole, default=1, metavar="N", help="trials at a time (default: 1)"
    )
    replay.add_argument(
        "--orders", type=positive_whole, default=200, metavar="N", help="in which trials are begun (default: 200)"
    )
    replay.add_argument("--json", action="store_true", help="for programs")
    replay.set_defaults(command=replay_command)
    for command in (status, compare, report, export, replay):
        command.add_argument("sweep", help="name of a sweep in the store")
        add_store(command)
    return parser


def add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        default=DEFAULT_STORE,
        type=not_empty,
        metavar="DIR",
        help="a folder, or s3://bucket/prefix (default: runs/)",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="CIFAR-10 as published, or train-*.parquet and test-*.parquet",
    )


def add_cpus(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cpus-per-trial", type=positive, metavar="N", help="also threads (default: the space's resources, else 1)"
    )


def add_gpus(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gpus-per-trial",
        type=gpu_share,
        metavar="N",
        help="a fraction or whole ones, or `auto`: measure (default: the space's resources, else 1 where there are)",
    )


def add_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", metavar="NAME", help="of the space's scales, for example smoke")


def add_compile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile the model (GPU; pays in long trainings)"
    )


def add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="over the file, repeatable: any training field",
    )


def not_empty(text: str) -> str:
    """An argparse type.

    Raises:
        argparse.ArgumentTypeError: nothing was given.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def positive(text: str) -> float:
    """An argparse type.

    Raises:
        argparse.ArgumentTypeError: not a finite number above 0.
    """
    value = not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be greater than 0")
    return value


def not_negative(text: str) -> float:
    """An argparse type.

    Raises:
        argparse.ArgumentTypeError: not a finite number of at least 0.
    """
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, got {text}")
    return value


def gpu_share(text: str) -> float | str:
    """An argparse type: a fraction of one GPU, whole GPUs, or `auto`.

    Raises:
        argparse.ArgumentTypeError: something else, for example 1.5.
    """
    if text == "auto":
        return text
    value = not_negative(text)
    if value > 1 and not value.is_integer():
        raise argparse.ArgumentTypeError(f"must be a fraction below 1 or a whole number, got {text}")
    return value


def share(text: str) -> float:
    """An argparse type.

    Raises:
        argparse.ArgumentTypeError: not a number between 0 and 1, both left out.
    """
    value = positive(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"must be below 1, got {text}")
    return value


def positive_whole(text: str) -> int:
    """An argparse type.

    Raises:
        argparse.ArgumentTypeError: not a whole number above 0.
    """
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
