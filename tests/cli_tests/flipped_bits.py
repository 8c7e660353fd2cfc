"""A small store, and what the commands say of it after one bit of one of its files has changed."""

import contextlib
import dataclasses
import io
import os
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

import tune_main
from results.parquet.collect import Collector
from results.parquet.files import write_tables
from results.store.journal import RUNS
from results.store.local_store import LocalStore
from results.store.manifest import MANIFEST
from results.store.search_log import (
    SEARCH_LOG,
    ConfirmEvent,
    Earlier,
    EndEvent,
    Event,
    OverEvent,
    ProposalEvent,
    ReportEvent,
    RetryEvent,
    SearchEvent,
    SearchLog,
    parse_log,
)
from search_spaces.expansion import Expansion, expand
from search_spaces.loader import load_space
from search_spaces.resources import ResourceRule
from sweep.driver.capacity import capacity, this_machine
from sweep.runs import (
    ExpectedTime,
    RunRecord,
    RunStart,
    append_run,
    damaged_runs_text,
    last_run_text,
    read_runs,
)
from sweep.search.opening import search_settings
from tests.results_tests.result_samples import START, make_attempt, make_end, make_epoch, make_manifest
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger.identity import read_identity
from trainable.ledger.ledger import Ledger
from trainable.ledger.reading import read_trial
from trainable.ledger.trial_log import log_name
from trainable.provenance import processor_name
from trainable.records import EpochRecord, Status, TrialEnd
from trainable.sweep_name import TRIALS

PLANNED, SEARCHED = "planned", "searched"
SPACES = {
    PLANNED: """\
name: planned
description: a few learning rates
defaults: {dataset: digits, model: resnet_preact_8, epochs: 2, test_subset: 100, precision: fp32}
rows: [{lr: 0.1}, {lr: 0.2}, {lr: 0.4}]
""",
    SEARCHED: """\
name: searched
description: learning rate and batch size
defaults: {dataset: digits, model: resnet_preact_8, epochs: 2, holdout: 0.1, test_subset: 100, precision: fp32}
search: {algorithm: random, num_trials: 4}
objective: {metric: holdout_error_percent, goal: minimize}
parameters:
  lr: {min: 0.01, max: 1.0, distribution: log_uniform_values}
  batch_size: {values: [32, 64]}
scheduler: {type: asha, grace_epochs: 1}
confirm: {top: 1, repeats: 1}
""",
}
DATA = ("digits", "0123456789abcdef", 1437, 360)
"""Name, fingerprint, and numbers of images."""
Answer = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class SmallStore:
    """A sweep and a search as a driver leaves them, and the spaces beside them."""

    store: LocalStore
    folder: Path

    @property
    def texts(self) -> list[Path]:
        """Every file of text that a reader parses."""
        files = sorted(path for path in self.store.path.rglob("*") if path.suffix in (".json", ".jsonl", ".txt"))
        return [path for path in files if path.stat().st_size]

    @property
    def tables(self) -> list[Path]:
        """The Parquet files."""
        return sorted(self.store.path.rglob("*.parquet"))

    def commands(self, path: Path) -> list[tuple[str, ...]]:
        """Return the commands that read this file, without `report`, which takes long."""
        name, target = path.parent.name, str(self.folder / "exported")
        if path.suffix == ".parquet":
            return [("table", name), ("best", name), ("list",)]
        if path.suffix == ".txt":
            return [("logs", name)]
        sweep = PLANNED if path.parent == self.store.path else name  # the store's own file is of no sweep
        also: list[tuple[str, ...]] = [("list",)]
        if path.parent.parent.name == TRIALS:
            sweep = PLANNED if name in self.store.manifest(PLANNED).keys else SEARCHED
            also.append(("logs", name))
        space = str(self.folder / f"{SEARCHED if path.name == SEARCH_LOG else PLANNED}.yaml")
        return [
            ("plan", space, "--slots", "1"),
            *also,
            ("status", sweep),
            ("status", sweep, "--json"),
            ("export", sweep, "--to", target),
        ]

    def expansion(self, sweep: str) -> Expansion:
        """Expand the space of a sweep."""
        return expand(load_space(str(self.folder / f"{sweep}.yaml")), {}, None)

    def num_threads(self, sweep: str) -> int:
        """Return the number of threads of each trial on this machine."""
        expansion, loaded = self.expansion(sweep), load_space(str(self.folder / f"{sweep}.yaml"))
        trials = expansion.trials if expansion.search is None else expansion.search.corners
        return capacity(ResourceRule(loaded, None, None), trials, this_machine()).usual.num_threads

    def answer(self, arguments: Sequence[str]) -> tuple[int, str, str]:
        """Run a command in this process; return its status and what it printed."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = tune_main.main([*arguments, "--store", str(self.store.path)])
        return status, out.getvalue(), err.getvalue()


def small_store(folder: Path) -> SmallStore:
    """Write the store: trials of every status, a search that stopped, retried and confirmed some."""
    store = LocalStore(folder / "store")
    for name, text in SPACES.items():
        (folder / f"{name}.yaml").write_text(text)
    small = SmallStore(store, folder)
    _write_sweep(small)
    _write_search(small)
    return small


def flips(path: Path, every: int) -> Iterator[tuple[int, int]]:
    """Yield position and bit: one bit, drawn with a fixed seed, of one of every so many bytes."""
    dice = random.Random(path.name)  # noqa: S311
    for position in range(dice.randrange(every), path.stat().st_size, every):
        yield position, dice.randrange(8)


@contextlib.contextmanager
def flipped(path: Path, position: int, bit: int) -> Iterator[None]:
    """Change one bit of the file for a while."""
    content = path.read_bytes()
    changed = bytearray(content)
    changed[position] ^= 1 << bit
    _replace(path, bytes(changed))
    try:
        yield
    finally:
        _replace(path, content)


def _replace(path: Path, content: bytes) -> None:
    """Write the content of a file, but keep its times."""
    times = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def full_answer(small: SmallStore, command: Sequence[str]) -> Answer:
    """Run a command; return its status, what it printed and exported, without times, and its errors."""
    status, out, err = small.answer(command)
    tables = sorted((small.folder / "exported").glob("*.parquet")) if "--to" in command and status == 0 else []
    exported = [str(pq.ParquetFile(path).read().to_pylist()) for path in tables]
    return status, "\n".join([re.sub(r"\d+ \w+ ago|  +", "", out), *exported]), err


def complaint(small: SmallStore, path: Path, command: Sequence[str], before: Answer | None) -> str | None:
    """Return what is wrong with the answer: it is the same as before, or it names the file.

    Args:
        before: the answer before the change; None if another answer need not name the file.
    """
    try:
        now = full_answer(small, command)
    except Exception as error:
        return f"{' '.join(command)}: {type(error).__name__}: {error}"
    status, out, err = now
    is_told = path.name in out + err or before is None
    if now == before or (is_told and (status == 0 or (status == 2 and err.count("\n") == 1 and path.name in err))):
        return None
    return f"{' '.join(command)}: status {status}: {err or out}"


def as_read(small: SmallStore, path: Path) -> tuple[object, bool]:
    """Return what readers make of a file, and whether they say that it is damaged."""
    store, sweep = small.store, path.parent.name
    if path.parent.parent.name == TRIALS:
        files = read_trial(path.parent)
        return files, any(name.startswith(path.name) for name in files.damage)
    if path.name == SEARCH_LOG:
        events, record, _ = parse_log(store.search_log(sweep))
        return events, record.damage is not None
    if path.name == RUNS:
        history = read_runs(store, sweep), last_run_text(store, sweep, None)
        return history, damaged_runs_text(store, sweep) is not None
    if path.name == MANIFEST:
        with contextlib.suppress(UserError):
            return store.manifest(sweep), False
        return None, True
    return (found := read_identity(store.path)), found is None


def _train(
    small: SmallStore, config: TrainConfig, sweep: str, epochs: Sequence[EpochRecord], end: TrialEnd | None
) -> None:
    """Leave what one process leaves; its speed counts on this machine."""
    attempt = make_attempt(
        device=processor_name(), num_threads=small.num_threads(sweep), sweep=sweep, gpus=0.0, node="127.0.0.1"
    )
    with Ledger(small.store.trial_folder(config.trial_key), config.to_dict()) as ledger:
        ledger.begin(attempt)
        (ledger.folder / log_name(1)).write_text("it trains\n")
        for record in epochs:
            ledger.append(record)
        if end is not None:
            ledger.finish(end)


def _write_sweep(small: SmallStore) -> None:
    store = small.store
    configs = [trial.config.for_dataset(*DATA) for trial in small.expansion(PLANNED).trials]
    manifest = make_manifest(configs, PLANNED, space=SPACES[PLANNED])
    bits = "f" * 26
    ends = [
        make_end(Status.COMPLETE, 2, peak_memory_bytes=2**20, test_correct_bits=bits),
        make_end(Status.FAILED, 1, error="RuntimeError: it failed"),
        None,
    ]
    with store.driving(manifest):
        append_run(store, PLANNED, RunStart("run", START))
        for config, end in zip(configs, ends, strict=True):
            done = end.epochs_done if end else 1
            _train(small, config, PLANNED, [make_epoch(epoch, 20.0 - epoch) for epoch in range(1, done + 1)], end)
        expected = ExpectedTime(10.0, 8.0, 12.0, 0.9, "4 trials")
        append_run(store, PLANNED, RunRecord("run", START, 2, 4, 3, 5, 11.5, 3.25, 0.5, False, expected))
        append_run(store, PLANNED, RunRecord("run2", START, 2, 4, 3, 5, 11.5, 3.5, 0.25, False, None))
        append_run(store, PLANNED, RunStart("run3", START))
        write_tables(*Collector(store, manifest).tables(), store, PLANNED)


def _write_search(small: SmallStore) -> None:
    """Write a search: one proposal is stopped, one fails and is tried again, one is equal to an earlier one."""
    store, maker = small.store, small.expansion(SEARCHED).search
    assert maker is not None
    settings = search_settings(SEARCHED, maker, dataset=DATA[0], fingerprint=DATA[1])
    manifest = make_manifest([], SEARCHED, space=SPACES[SEARCHED], is_search=True)
    params = [{"lr": 0.05 * (number + 1), "batch_size": 32} for number in range(2)]
    stopped, trained = (maker.trial(each).config.for_dataset(*DATA) for each in params)
    confirming = dataclasses.replace(trained, holdout=0.0)
    epochs = [make_epoch(epoch, 20.0, holdout_loss=1.0, holdout_error_percent=19.0) for epoch in (1, 2)]
    end = make_end(Status.COMPLETE, 2, test_correct_bits="0" * 26)
    _train(small, stopped, SEARCHED, epochs[:1], None)
    _train(small, trained, SEARCHED, epochs, end)
    _train(small, confirming, SEARCHED, epochs, end)
    events: list[Event] = [
        SearchEvent(settings.canonical(), (Earlier({"lr": 0.3, "batch_size": 64}, (25.0,)),)),
        ProposalEvent(0, params[0], stopped, {}),
        ProposalEvent(1, params[1], trained, {}),
        EndEvent(1, Status.FAILED, None),
        ReportEvent(0, 1, (19.0,), True),
        EndEvent(0, Status.STOPPED, (19.0,)),
        RetryEvent(1),
        ReportEvent(1, 1, (19.0,), False),
        ReportEvent(1, 2, (19.0,), False),
        EndEvent(1, Status.COMPLETE, (19.0,)),
        ProposalEvent(2, params[1], trained, {}, same_as=1),
        EndEvent(2, Status.COMPLETE, (19.0,)),
        ProposalEvent(3, {"lr": 1.0, "batch_size": 64}, None, {}, error="too large"),
        EndEvent(3, Status.FAILED, None),
        OverEvent("nothing is left"),
        ConfirmEvent(1, 0, confirming, {}),
    ]
    with store.driving(manifest):
        append_run(store, SEARCHED, RunStart("run", START))
        SearchLog(store.search_log(SEARCHED)).append(events)
        append_run(store, SEARCHED, RunRecord("run", START, 2, 4, 3, 5, 11.5, None, None, True, None))
        write_tables(*Collector(store, manifest).tables(), store, SEARCHED)
