"""The table of faults in faults.md: each row is what a test saw, and a test that sees something else fails.

`make faults-table` rewrites the rows.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from tests.conftest import ROOT

TABLE = ROOT / "tests" / "integration_tests" / "faults.md"
WRITE = "BATCHSCAPE_WRITE_FAULTS"
FAULTS = (
    "Ctrl-C",
    "Slurm's warning before the end (SIGUSR1)",
    "the driver is killed",
    "`status` after the driver was killed",
    "the power is cut",
    "the driver, Ray and all workers are killed, again and again",
    "a search is killed, its driver, Ray and all workers, again and again",
    "one worker is killed",
    "a worker is killed again and again (out of memory)",
    "the process of several trials of a GPU is killed",
    "a worker stands still",
    "torch cannot allocate memory",
    "a trial raises",
    "a trial diverges",
    "the disk is full",
    "a checkpoint of a finished trial cannot be deleted",
    "the temporary folder is full",
    "the store is read-only",
    "the store goes away during a run",
    "another user's folder, or a pipe, among the temporary files",
    "a second driver on one sweep",
    "a process that is no driver holds a sweep's lock",
    "a driver stands still, and another takes its sweep in a bucket over",
    "Ray's control service (GCS) is killed",
    "Ray's raylet is killed",
    "--address auto finds a dead cluster",
    "a cluster's token is missing or wrong",
    "another sweep's name in a sweep.json",
    "a corrupt sweep.json",
    "a corrupt Parquet file",
    "a changed cell in a Parquet file",
    "a corrupt result.json",
    "a corrupt config.json",
    "a corrupt attempts.jsonl",
    "a torn last line in epochs.jsonl",
    "a damaged line within epochs.jsonl",
    "a changed digit in epochs.jsonl",
    "altered weights",
    "two trials' folders are swapped",
    "the newest checkpoint is truncated",
    "the newest checkpoint is altered",
    "both checkpoints are damaged",
    "a checkpoint that holds code",
    "an image that is neither PNG nor JPEG",
    "an image of 196 megapixels",
    "a label far above the others",
    "a part of a data set is missing",
    "two configurations of a data set in one folder",
    "labels in steps of 1000",
    "other images in a folder called cifar10",
    "the first images of a data set that is sorted by class",
    "a row with only the path of its image",
    "a Parquet file without rows",
    "one broken image in a folder of images",
    "a test image of a class that no training image has",
    "a class without test images",
    "training images of a single class",
    "test images that are training images, too",
    "one image in two classes",
    "two files whose labels are in different columns",
    "an error that commands a terminal",
    "a pipe among a trial's files",
    "a symbolic link among a trial's files",
    "a trial's folder that is a symbolic link",
    "a symbolic link among a sweep's files",
    "the clock was set back between two attempts",
    "other code and library versions between two attempts",
)
HEAD = """\
# What happens when something goes wrong

Seen by the tests in this folder, and written by them (`make faults-table`); a test fails where a row no longer holds.
`STORE`, `KEY` and `N` stand for a path, a trial's key and a number.

| fault | what the user sees | exit status | what becomes of the data |
|:------|:-------------------|------------:|:-------------------------|
"""
ROUTINE = re.compile(
    r"\S+: \d+ trials on .*|\[\d+/\d+\] .*: test error .*|\d+ of \d+ trials done, results in .*|next: .*|"
    r"best: .*|estimate: .*|starting Ray \.\.\.|took .*|\s*"
)
"""Lines of a run in which nothing goes wrong."""


def user_sees(output: str, about: str = "") -> list[str]:
    """The lines of an output that a run in which nothing goes wrong does not print, made comparable.

    Args:
        about: a text that the lines must hold.
    """
    lines = [line for line in output.splitlines() if about in line and not ROUTINE.fullmatch(line)]
    return [_comparable(line) for line in lines]


def _comparable(line: str) -> str:
    line = re.sub(r", \d+ epochs? in .*", "", line)  # and how long it took
    line = re.sub(r"(?<![\w/])/\S*store\b", "STORE", line)
    line = re.sub(r"(file system|temporary folder) /[^\s:)]+", r"\1 FOLDER", line)
    line = re.sub(r"(moved?) for \w+", r"\1 for TIME", line)
    line = re.sub(r"\(\S+, process \d+\)", "(HOST, process N)", line)
    line = re.sub(r"\d+\.\d MB", "N MB", line)
    line = re.sub(r"\b[0-9a-f]{16}\b", "KEY", line)
    line = re.sub(r"\b\d+\.\d+\.\d+\.\d+:\d+\b", "HOST:PORT", line)
    line = re.sub(r"\[\d+/\d+\]", "[N/N]", line)
    line = re.sub(r"\blr=[\d.e+]+", "lr=N", line)
    line = re.sub(r"^batch_size=\d+", "batch_size=N", line)  # which trial's worker is killed is not planned
    line = re.sub(r"at epoch \d+", "at epoch N", line)
    line = re.sub(r"with \d+ of \d+ trials", "with N of N trials", line)
    return re.sub(r"\d{5,}", "N", line)


def row(fault: str, seen: Iterable[str], exit_status: int | None, data: str) -> str:
    """A line of the table."""
    words = "<br>".join(f"`` {line.strip()} ``".replace("|", "\\|") for line in seen) or "nothing"
    return f"| {fault} | {words} | {'-' if exit_status is None else exit_status} | {data} |\n"


def committed_rows(path: Path = TABLE) -> dict[str, str]:
    """Fault -> its line, in the order of the file."""
    if not path.exists():
        return {}
    lines = path.read_text().removeprefix(HEAD).splitlines(keepends=True)
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines}


def record(fault: str, seen: Iterable[str], exit_status: int | None, data: str) -> None:
    """Hold what was seen against the table, or put it there where the environment says so.

    Raises:
        AssertionError: the table says something else.
    """
    assert fault in FAULTS
    rows = committed_rows()
    line = row(fault, seen, exit_status, data)
    if os.environ.get(WRITE):
        rows[fault] = line
        TABLE.write_text(HEAD + "".join(rows[fault] for fault in FAULTS if fault in rows))
    else:
        assert rows.get(fault) == line, f"{TABLE.name} says something else: look, then `make faults-table`"
