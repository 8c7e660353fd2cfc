"""Compare the Parquet files, data card and report of a sweep with what its trials' ledgers give now."""

import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from results.parquet.collect import Collector
from results.parquet.files import CARD, SCHEMAS, checked_table, parquet_table, stamped_card
from results.parquet.schema import METADATA_PREFIX
from results.parquet.stamp import Stamp, code_hash, fingerprint, read_stamp
from results.report.failure_logs import failure_logs
from results.report.files import HTML, MARKDOWN, report_texts
from results.store.manifest import Manifest
from results.store.search_progress import planned_trials, search_record
from results.store.store import Store
from results.store.sweep_files import EPOCHS_PARQUET, TRIALS_PARQUET
from sweep.runs import ended_runs
from trainable.errors import UserError
from trainable.ledger.files import SUPERSEDED
from trainable.ledger.reading import read_summary
from trainable.records import SCHEMA_VERSION, TrialRow
from trainable.wording import counted, printable_line, shortened

MADE_FILES = (TRIALS_PARQUET, EPOCHS_PARQUET, CARD, MARKDOWN, HTML)
"""The files of a sweep that are made from the ledgers of its trials."""
MAX_DIFFERENCES = 20
"""Largest number of differences that are named of one file."""
WIDTH = 60
"""Largest number of characters of a value that is shown."""
WRITE_TABLES = "`run` and `export` write it again"
WRITE_REPORT = "`report` writes it again"
REMEDY = {MARKDOWN: WRITE_REPORT, HTML: WRITE_REPORT}
STATE_COLUMNS = frozenset(TrialRow.__dataclass_fields__) - {
    *("sweep", "trial_key", "generation", "repeat", "variables", "purpose", "proposal")
}
"""Columns of `trials` that change while a trial goes on."""
_TOKEN = re.compile(r"<[^<>]*>|[^\s<>|]+")
_TRIAL = re.compile(r"trial-([0-9a-f]{16})")
_HEADER = re.compile(r"<th\b[^>]*>(.*?)</th>")

Row = dict[str, Any]
Training = tuple[str, int]
"""Trial key and training number."""


@dataclass(slots=True)
class Comparison:
    """What was found in files that are made from ledgers."""

    findings: list[tuple[str, str, str]] = field(default_factory=list)
    """File, problem, and what is to be done."""
    notes: list[str] = field(default_factory=list)
    """What is no damage, each to follow the name of the folder."""


class Recomputation:
    """The tables and texts of a sweep, made from the ledgers of its trials. Nothing is written."""

    def __init__(self, store: Store, manifest: Manifest, damaged: Collection[str] = ()) -> None:
        """Read the ledgers.

        Args:
            damaged: names of the folders of trainings whose records are damaged, and are compared with nothing.

        Raises:
            UserError: the log of the search is damaged or lost.
        """
        self._store, self._sweep = store, manifest.name
        ended, self._is_at_rest = ended_runs(store, manifest.name)
        self.trials, self.epochs = Collector(store, manifest).tables()
        keys = [trial.config.trial_key for trial in planned_trials(manifest, search_record(store, manifest))]
        self._settled: set[Training] = set()
        """Trainings that a run of this sweep ended, which wrote the tables afterwards."""
        self._begun: set[Training] = set()
        self._damaged: set[Training] = set()
        self._newest: dict[str, int] = {}
        for key, folders in store.trainings(keys).items():
            self._newest[key] = max(folders)
            for number, folder in folders.items():
                name = folder.name.partition(SUPERSEDED)[0]
                for attempt in read_summary(folder).attempts[-1:]:
                    self._begun.add((key, number))
                    self._settled |= {(key, number)} if attempt.run_id in ended else set()
                if folder.name in damaged or name in damaged:
                    self._damaged.add((key, number))

    @functools.cached_property
    def texts(self) -> dict[str, str]:
        """The content of the report's two files."""
        return report_texts(self.trials, self.epochs, self._sweep, failure_logs(self._store, self.trials))

    @functools.cached_property
    def data(self) -> str:
        """Fingerprint of both tables."""
        return fingerprint(self.trials, self.epochs)

    def compare(self, contents: Mapping[str, bytes]) -> Comparison:
        """Compare files, those of MADE_FILES that are there, with the ledgers."""
        compared = Comparison()
        behind: set[Training] = set()
        tables: list[tuple[str, pa.Table, list[str]]] = []
        for file in SCHEMAS:
            if file in contents:
                try:
                    table = checked_table(contents[file], file, file, "", self._sweep)
                    tables.append((file, table, parquet_table(contents[file]).column_names))
                except UserError:
                    compared.findings.append((file, "is damaged", WRITE_TABLES))
        versions = {_schema_version(table) for _, table, _ in tables}
        is_old = len(versions) == 1 and str(SCHEMA_VERSION) not in versions
        for file, table, columns in tables:
            made = self.trials if file == TRIALS_PARQUET else self.epochs
            differences = list(self._differences(table.select(made.column_names), made, columns, behind))
            if self._is_at_rest and not behind and not self._damaged and not is_old:
                differences += _metadata_differences(table, made)
            _add(compared, file, differences)
        if behind:
            have = counted(len(behind), "training has", "trainings have")
            compared.notes.append(
                f": {have} gone on since the Parquet files were written: `run` and `export` write them again"
            )
        for file in (CARD, MARKDOWN, HTML):
            if file in contents:
                self._compare_text(compared, file, contents[file])
        return compared

    # Tables.

    def _differences(
        self, found: pa.Table, made: pa.Table, columns: Collection[str], behind: set[Training]
    ) -> Iterator[str]:
        """Yield what differs in a table; add the trainings to `behind` that have gone on since it was written.

        Args:
            columns: names of the columns that the file has; those of later versions are missing.
        """
        if not found.equals(made):
            for ours, theirs in _aligned(found.to_pylist(), made.to_pylist()):
                yield from self._row_differences(ours, theirs, columns, behind)

    def _row_differences(
        self, found: Row | None, made: Row | None, columns: Collection[str], behind: set[Training]
    ) -> Iterator[str]:
        row = made or found or {}
        training = (row["trial_key"], row["generation"])
        if training in self._damaged or found == made:
            return
        if found is None:
            if training in self._settled:
                yield f"lacks the row {_row_name(row)}"
            else:
                behind.add(training)
        elif made is None:
            newest = self._newest.get(training[0], 0)
            if newest < training[1] or training in self._settled:
                yield f"differs in row {_row_name(row)}: the ledgers hold no such row"
            elif training in self._begun:
                behind.add(training)  # trained again from an earlier checkpoint
        else:
            left_out: Collection[str] = ()
            if training not in self._settled and _has_gone_on(found, made):
                behind.add(training)
                left_out = STATE_COLUMNS if "epoch" not in row else [*found]
            if self._is_newly_superseded(training):
                left_out = {*left_out, "superseded"}
            for name in columns:
                if name in made and name not in left_out and found[name] != made[name]:
                    yield (
                        f"differs in row {_row_name(made)}, column {name}: "
                        f"holds {_shown(found[name])}, recomputed {_shown(made[name])}"
                    )

    def _is_newly_superseded(self, training: Training) -> bool:
        newest = (training[0], self._newest[training[0]])
        return training != newest and newest not in self._settled

    # Texts.

    def _compare_text(self, compared: Comparison, file: str, content: bytes) -> None:
        """Compare a data card or one form of the report, line by line if this code made it from the same data."""
        stamp = read_stamp(content)
        if stamp is not None and stamp.is_intact and stamp.code == code_hash() and stamp.data != self.data:
            compared.notes.append(f"/{file} was made from other data than the ledgers hold now: {_remedy(file)}")
            return
        text = self.texts[file] if file in REMEDY else stamped_card(self.trials, self.epochs)
        made = text.encode()
        fresh = Stamp(made[: made.rstrip().rfind(b"\n") + 1], code_hash(), self.data, is_intact=True)
        if content == made or (stamp is not None and stamp.is_intact and stamp.body == fresh.body):
            return
        if stamp is None and content.count(b"\n") != made.count(b"\n"):
            why = "has no checksum, as an earlier version wrote it, and was not compared"
            compared.notes.append(f"/{file} {why}: {_remedy(file)}")
        elif stamp is not None and stamp.is_intact and stamp.code != fresh.code:
            why = "was made by another version of the program or its packages, or on another processor"
            compared.notes.append(f"/{file} {why}, and was not compared: {_remedy(file)}")
        elif stamp is None or (stamp.code, stamp.data) == (fresh.code, fresh.data):
            _add(compared, file, list(_line_differences(content, made)))
        else:
            differences = list(_line_differences(stamp.body, fresh.body)) if stamp.data == fresh.data else []
            is_named = 0 < len(differences) < MAX_DIFFERENCES  # else most are those of the other version
            _add(compared, file, differences if is_named else ["was changed after it was made"])


def _add(compared: Comparison, file: str, found: Sequence[str]) -> None:
    """Add the first differences, and the number of the others."""
    shown = found if len(found) <= MAX_DIFFERENCES else found[: MAX_DIFFERENCES - 1]
    compared.findings += [(file, problem, _remedy(file)) for problem in shown]
    if len(shown) < len(found):
        more = counted(len(found) - len(shown), "more place", "more places")
        compared.findings.append((file, f"differs in {more}", _remedy(file)))


def _remedy(file: str) -> str:
    return REMEDY.get(file, "`export` writes it again" if file == CARD else WRITE_TABLES)


def _aligned(found: Sequence[Row], made: Sequence[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    """Yield the rows that belong together: by position if at most one names another row, else by name."""
    names, theirs = [_row_key(row) for row in found], [_row_key(row) for row in made]
    if len(found) == len(made) and sum(name != other for name, other in zip(names, theirs, strict=True)) <= 1:
        yield from zip(found, made, strict=True)
        return
    by_name = dict(zip(names, found, strict=True))
    yield from ((by_name.pop(name, None), row) for name, row in zip(theirs, made, strict=True))
    yield from ((row, None) for row in by_name.values())


def _row_key(row: Row) -> tuple[str, int, int]:
    return row["trial_key"], row["generation"], row.get("epoch", 0)


def _row_name(row: Row) -> str:
    training = f" (training {row['generation']})" if row["generation"] > 1 or row["superseded"] else ""
    epoch = f" epoch {row['epoch']}" if "epoch" in row else ""
    return f"{row['trial_key']}{training}{epoch}"


def _has_gone_on(found: Row, made: Row) -> bool:
    """Return whether a row tells of an earlier state of its training, or an epoch was trained again since."""
    if "epoch" in found:
        return bool(found["attempt"] < made["attempt"] and found["train_seconds"] != made["train_seconds"])
    return bool(
        found["attempts"] < made["attempts"]
        or found["epochs_done"] < made["epochs_done"]
        or (found["end_time"] is None and found["stopped_epoch"] is None and found["status"] != made["status"])
    )


def _schema_version(table: pa.Table) -> str:
    metadata: dict[bytes, bytes] = table.schema.metadata or {}
    return metadata.get(f"{METADATA_PREFIX}schema_version".encode(), b"").decode(errors="replace")


def _metadata_differences(found: pa.Table, made: pa.Table) -> Iterator[str]:
    ours, theirs = (
        {name.decode(): value.decode(errors="replace") for name, value in (table.schema.metadata or {}).items()}
        for table in (found, made)
    )
    for name in sorted({*ours, *theirs}):
        held, expected = ours.get(name), theirs.get(name)
        if held != expected:
            short = name.removeprefix(METADATA_PREFIX)
            yield f"differs in its metadata {short}: holds {_shown(held)}, recomputed {_shown(expected)}"


def _shown(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return shortened(printable_line(text), WIDTH) if text else "''"


def _line_differences(found: bytes, made: bytes) -> Iterator[str]:
    """Yield the lines that differ, with the trial and the column if it is a row of a table."""
    ours, theirs = (content.decode(errors="replace").split("\n") for content in (found, made))
    if len(ours) != len(theirs):
        yield f"differs in its number of lines: holds {len(ours) - 1}, recomputed {len(theirs) - 1}"
    header: list[str] = []
    for number, (line, other) in enumerate(zip(ours, theirs, strict=False), start=1):
        if "<thead>" in other:
            header = _HEADER.findall(other)
        elif other.startswith("|"):
            header = header or [cell.strip() for cell in other.strip("|").split("|")]
        elif not other.startswith(("<t", "</t")):
            header = []
        if line != other:
            yield _line_difference(number, line, other, header)
            if len(ours) != len(theirs):
                return  # what follows is shifted


def _line_difference(number: int, line: str, other: str, header: Sequence[str]) -> str:
    ours, theirs = list(_TOKEN.finditer(line)), list(_TOKEN.finditer(other))
    pairs = ((a, b) for a, b in zip(ours, theirs, strict=False) if a[0] != b[0])
    found, made = next(pairs, (None, None))
    key = _TRIAL.search(other) or re.search(r"\b([0-9a-f]{16})\b", other)
    row = f" (trial {key[1]})" if key else ""
    column = ""
    if made is not None:
        before = other[: made.start()]
        position = before.count("<td") - 1 if "<td" in other else before.replace("\\|", "").count("|") - 1
        if 0 <= position < len(header):
            column = f", column {header[position]}"
    held, expected = (part[0] if part else text for part, text in ((found, line), (made, other)))
    return f"differs in line {number}{row}{column}: holds {_shown(held)}, recomputed {_shown(expected)}"
