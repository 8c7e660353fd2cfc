"""Read every record of a sweep, or of a whole store, and name what is damaged. Nothing is written."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from results.parquet import checksum
from results.parquet.files import read_epochs, read_trials
from results.parquet.trials import trials_from_table
from results.store.journal import RUNS
from results.store.manifest import MANIFEST, manifest_from_json
from results.store.search_log import REPAIR, SEARCH_LOG, SearchRecord, parse_log
from results.store.search_progress import BEGIN_ANEW, LOST, has_lost_log, planned_trials, unsettled_notes
from results.store.store import Store
from results.store.sweep_files import EPOCHS_PARQUET, TRIALS_PARQUET
from sweep.recomputation import MADE_FILES, Recomputation
from sweep.runs import damaged_runs
from trainable.config import TrainConfig
from trainable.decoding import decode
from trainable.errors import UserError
from trainable.ledger.checkpoints import parse_checkpoint
from trainable.ledger.checksums import has_checksum, is_torn, unsealed
from trainable.ledger.files import (
    ATTEMPTS,
    CHECKPOINTS,
    CONFIG,
    EPOCHS,
    FINAL_STATE,
    IS_LINK,
    NO_LINK,
    RESULT,
    SUPERSEDED,
    WEIGHTS,
    NotRegularError,
    read_regular,
)
from trainable.ledger.identity import IDENTITY, parse_identity
from trainable.ledger.reading import read_trial
from trainable.ledger.safetensors import parse_weights
from trainable.records import Status, TrialFiles
from trainable.sweep_name import TRIALS
from trainable.wording import counted

RECORDS = (CONFIG, ATTEMPTS, EPOCHS, RESULT)
STATES = (*CHECKPOINTS, FINAL_STATE, WEIGHTS)
TABLES = {TRIALS_PARQUET: read_trials, EPOCHS_PARQUET: read_epochs}
DAMAGED = "is damaged"
LOST_FOLDER = "put the folder back, or `run` trains the trial again"
REMOVE = "remove it, or `run` refuses the folder"
ADVICE = {
    CONFIG: "`run` writes it again",
    ATTEMPTS: "what these processes said of themselves is lost, no result; `run` drops the lines from there on",
    RESULT: "the result is lost; `run` trains the trial again",
    FINAL_STATE: "`run` trains the trial again if another one is to continue from it",
    WEIGHTS: "no result is lost; `--repair` deletes it, and `retry` has the next `run` train the trial again",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A damaged file, or a damaged line of it."""

    path: str
    """Path relative to the store, with the line if one line is damaged; absolute if it lies elsewhere."""
    problem: str
    advice: str
    """What is lost, and what is to be done."""

    def location(self, store: Store) -> str:
        """Return where the file lies."""
        return self.path if self.path.startswith("/") else f"{store.location()}/{self.path}"


@dataclass(slots=True)
class Verification:
    """What was read, and what of it is damaged."""

    findings: list[Finding] = field(default_factory=list)
    num_trainings: int = 0
    num_files: int = 0
    num_unsealed: int = 0
    """Number of files that hold records without checksums, of earlier versions."""
    notes: list[str] = field(default_factory=list)
    """What is no damage, and left to do."""

    @property
    def damaged_trainings(self) -> set[str]:
        """Names of the folders of trainings in which something is damaged."""
        return {finding.path.split("/")[1] for finding in self.findings if finding.path.startswith(f"{TRIALS}/")}

    def text(self, store: Store) -> str:
        """Return a line for each finding, and one that sums up."""
        lines = [f"{each.location(store)} {each.problem}: {each.advice}" for each in self.findings]
        read = f"read {counted(self.num_files, 'file')} of {counted(self.num_trainings, 'training')}"
        damage = f"{len(self.findings)} damaged" if self.findings else "no damage"
        lines.append(f"{read} and their sweeps: {damage}")
        if self.num_unsealed:
            files = counted(self.num_unsealed, "file is", "files are")
            lines.append(f"{files} without checksums, of an earlier version: a changed digit goes unnoticed there")
        return "\n".join(lines + self.notes)


def verify(store: Store, sweep: str | None = None, copy: Path | None = None) -> Verification:
    """Read all records of a sweep and its trials, or of the whole store.

    Of a sweep, compare the files that are made from the ledgers with what the ledgers give now.

    Args:
        copy: a folder with files of the sweep that were exported, to be compared, too.

    Raises:
        UserError: there is no such sweep, or no such file in the folder.
    """
    verifier = _Verifier(store)
    if sweep is None:
        return verifier.verify(None)
    made = [verifier.made_files(sweep)] + ([] if copy is None else [_copied_files(copy)])
    found = verifier.verify(sweep)
    verifier.recompute(sweep, made)
    return found


def _copied_files(folder: Path) -> dict[str, bytes]:
    """Return the content of exported files by their absolute paths.

    Raises:
        UserError: there are none.
    """
    paths = [folder.absolute() / file for file in MADE_FILES]
    try:
        contents = {str(path): read_regular(path) for path in paths if path.exists()}
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}") from None
    if not contents:
        raise UserError(f"{folder} holds none of {', '.join(MADE_FILES)}: `export` and `report` write them with --to")
    return contents


class _Verifier:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._files = store.files()
        self._names = store.trial_names()
        self._found = Verification()
        self._is_unsettled = False
        """Whether the log of the search lacks results, which the tables may hold."""

    def verify(self, sweep: str | None) -> Verification:
        store = self._store
        if sweep is not None and f"{sweep}/{MANIFEST}" not in self._files:
            store.manifest(sweep)  # raises an error that names the nearest one
        self._read(IDENTITY, ADVICE[CONFIG], lambda content: [] if parse_identity(content) else [DAMAGED])
        sweeps = store.sweeps() if sweep is None else [sweep]
        keys = {key for name in sweeps for key in self._verify_sweep(name)}
        names = self._names
        if sweep is None:
            self._verify_manifests(sweeps)
        else:
            names = [name for name in names if name.partition(SUPERSEDED)[0] in keys]
        states = {name: self._damaged_states(name) for name in names}  # before the epochs that belong to them
        store.trainings({name.partition(SUPERSEDED)[0] for name in names})
        for name in names:
            self._verify_training(name, states[name])
        return self._found

    def made_files(self, sweep: str) -> dict[str, bytes]:
        """Return the content of those files of a sweep that are made from ledgers, by their paths in the store."""
        paths = [f"{sweep}/{file}" for file in MADE_FILES]
        return {path: content for path in paths if path in self._files and (content := self._content(path))}

    def recompute(self, sweep: str, made: Sequence[dict[str, bytes]]) -> None:
        """Compare files that are made from ledgers, after `verify`, which names what makes that impossible."""
        if self._is_unsettled:
            return
        damaged = self._found.damaged_trainings
        with contextlib.suppress(UserError, OSError):
            recomputation = Recomputation(self._store, self._store.manifest(sweep), damaged)
            known = {finding.path for finding in self._found.findings}
            for contents in made:
                folder = next(iter(contents), "").rpartition("/")[0]
                self._found.num_files += sum(not path.endswith(".parquet") for path in contents)
                compared = recomputation.compare({path.rpartition("/")[2]: text for path, text in contents.items()})
                for file, problem, advice in compared.findings:
                    if f"{folder}/{file}" not in known:
                        self._add(f"{folder}/{file}", problem, advice)
                self._found.notes += [f"{folder}{note}" for note in compared.notes]

    def _verify_manifests(self, sweeps: Sequence[str]) -> None:
        """Name the folders that hold what only a sweep has, but no manifest."""
        folders = {path.partition("/")[0] for path in self._files if path.partition("/")[2] in (RUNS, *TABLES)}
        for name in sorted(folders.difference(sweeps)):
            self._add(f"{name}/{MANIFEST}", "is missing", "run the sweep again (its trials are kept)")

    def _verify_sweep(self, name: str) -> Iterator[str]:
        """Verify the files of a sweep, and yield the keys of its trials."""
        store, path = self._store, f"{name}/{MANIFEST}"
        trials = []
        tables = {}
        record = SearchRecord()
        if self._content(path) is not None:
            self._count(path)
        log = store.search_log(name)
        if f"{name}/{SEARCH_LOG}" in self._files:
            self._count(f"{name}/{SEARCH_LOG}")
            _, record, _ = parse_log(log)
            if record.damage is not None:
                line = record.damage.removeprefix(f"{log.location}:").partition(" ")[0]
                self._add(f"{name}/{SEARCH_LOG}:{line}", DAMAGED, REPAIR)
        try:
            manifest = manifest_from_json(self._content(path) or b"", name, path)
            trials = planned_trials(manifest, record)
            if has_lost_log(store, manifest, record):
                self._add(f"{name}/{SEARCH_LOG}", LOST, BEGIN_ANEW)
            if not store.is_running(name):
                with contextlib.suppress(OSError):  # a training that cannot be read is named below
                    unsettled = unsettled_notes(store, record)
                    self._found.notes += [f"{name}: {note}" for note in unsettled]
                    self._is_unsettled = bool(unsettled)
        except UserError as error:
            problem, _, advice = str(error).removeprefix(f"{path} ").partition(": ")
            self._add(path, problem, advice)
        self._count(f"{name}/{RUNS}")
        try:
            for number in damaged_runs(store, name):
                self._add(f"{name}/{RUNS}:{number}", DAMAGED, "`run` leaves it out of its estimates")
        except NotRegularError as error:
            self._add(f"{name}/{RUNS}", f"is {error.strerror}", REMOVE)
        for file, read in TABLES.items():
            if f"{name}/{file}" in self._files:
                self._count(f"{name}/{file}")
                try:
                    tables[file] = read(store, name)
                except UserError as error:
                    problem, _, _ = str(error).removeprefix(f"{store.location(name, file)} ").partition(": ")
                    self._add(f"{name}/{file}", problem, "`run` and `export` write it again")
        keys = [trial.config.trial_key for trial in trials]
        if TRIALS_PARQUET in tables:
            self._verify_folders(keys, tables[TRIALS_PARQUET])
        yield from keys

    def _verify_folders(self, keys: Sequence[str], table: pa.Table) -> None:
        """Name the trials that have no folder, although the sweep's table holds their results."""
        rows = {trial.row.trial_key: trial.row for trial in trials_from_table(table)}
        for key in keys:
            if key not in rows or not Status(rows[key].status).is_final:
                continue
            if key not in self._names and f"{key}{SUPERSEDED}{rows[key].generation}" not in self._names:
                self._add(f"{TRIALS}/{key}", f"is missing or no folder, but was {rows[key].status}", LOST_FOLDER)

    def _damaged_states(self, name: str) -> list[str]:
        """Return the names of those checkpoints, final states and weights of a training that are damaged."""
        key = self._trial_in(name) or name.partition(SUPERSEDED)[0]
        damaged = []
        for state in STATES:
            path = f"{TRIALS}/{name}/{state}"
            if path in self._files and (content := self._content(path)) is not None:
                self._count(path)
                damaged += [state] if _is_damaged(state, content, key) else []
        return damaged

    def _verify_training(self, name: str, damaged_states: list[str]) -> None:
        folder = f"{TRIALS}/{name}"
        present = [file for file in RECORDS if f"{folder}/{file}" in self._files]
        for file in present:
            self._count(f"{folder}/{file}")
        self._found.num_trainings += 1
        if (self._store.trials_folder / name).is_symlink():
            self._add(folder, IS_LINK, NO_LINK)
            return
        try:
            training = read_trial(self._store.trials_folder / name)
        except OSError as error:
            self._add(folder, f"cannot be read ({error.strerror})", "mend the disk or the permissions")
            return
        if not training.config and not training.damage and present:
            self._add(f"{folder}/{CONFIG}", "is missing", ADVICE[CONFIG])
        if training.epochs and not training.attempts and not training.damage:
            self._add(f"{folder}/{ATTEMPTS}", "is missing or empty", ADVICE[ATTEMPTS].partition(";")[0])
        for place in [*training.damage, *damaged_states]:
            problem, advice = self._judged(name, place, training)
            if SUPERSEDED in name:
                advice = "kept as it is: a newer training counts"
            self._add(f"{folder}/{place}", problem, advice)

    def _judged(self, name: str, place: str, training: TrialFiles) -> tuple[str, str]:
        """Return what is wrong with a file of a training, and what is to be done."""
        file, _, line = place.partition(":")
        path = self._store.trials_folder / name / file
        if path.exists() and not path.is_file():
            return "is not a regular file", REMOVE
        if file == EPOCHS:
            kept = counted(len(training.epochs), "epoch is", "epochs are")
            return DAMAGED if line else "ends too early", f"{kept} kept; `run` trains the others again"
        if file in CHECKPOINTS:
            return f"{DAMAGED} or of another trial", "`run` deletes it, and resumes from what is left"
        if file == CONFIG and (key := self._trial_in(name)):
            return f"is of the trial {key}", "give the folder that name, or `run` trains its trial again"
        return DAMAGED, ADVICE[file]

    def _trial_in(self, name: str) -> str | None:
        """Return the key of the trial whose configuration lies in a folder; None if it cannot be read."""
        try:
            return decode(TrainConfig, unsealed(self._content(f"{TRIALS}/{name}/{CONFIG}") or b"")).trial_key
        except ValueError:
            return None

    def _read(self, path: str, advice: str, check: Callable[[bytes], list[str]]) -> None:
        if path in self._files and (content := self._content(path)) is not None:
            self._count(path)
            for problem in check(content):
                self._add(path, problem, advice)

    def _content(self, path: str) -> bytes | None:
        try:
            return self._store.read_path(path)
        except OSError:
            return b""

    def _count(self, path: str) -> None:
        """Count a file, if it is there, and whether it has checksums."""
        if path not in self._files or not (content := self._content(path)):
            return
        self._found.num_files += 1
        if path.endswith(".parquet"):
            is_sealed = checksum.has_checksum(content)
        elif path.endswith(".jsonl"):
            *lines, end = content.split(b"\n")
            is_sealed = all(has_checksum(line) for line in [*lines, *([] if is_torn(end) else [end])])
        else:
            record = content if path.endswith(".json") else content.partition(b"\n")[0]
            is_sealed = path.endswith(WEIGHTS) or has_checksum(record)
        self._found.num_unsealed += not is_sealed

    def _add(self, path: str, problem: str, advice: str) -> None:
        self._found.findings.append(Finding(path, problem, advice))


def _is_damaged(file: str, content: bytes, key: str) -> bool:
    """Return whether this is not the content of a checkpoint, a final state or the weights of the trial."""
    if file != WEIGHTS:
        return parse_checkpoint(content, key) is None
    try:
        parse_weights(content, key)
    except ValueError:
        return True
    return False
