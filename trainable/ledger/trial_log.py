"""The logs of a trial beside its ledger: log-<attempt>.txt is the end of the output of an attempt.

Standard library only.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from trainable.ledger.files import open_regular, read_regular

MAX_BYTES = 64 * 2**10
"""Largest size of a log; its beginning is cut off."""
KEPT_ATTEMPTS = 5
"""Number of attempts of a trial whose logs are kept, the latest ones."""
CUT = b"[... the beginning is cut off]\n"
HIDDEN = b"***"
SECRET_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "RAY_AUTH_TOKEN",
)
MIN_SECRET_LENGTH = 8
"""Smallest length of a value that is hidden; shorter values are no keys and are part of too many words."""
STREAMS = (1, 2)
_NAME = re.compile(r"log-([1-9]\d{0,8})\.txt")


def log_name(attempt: int) -> str:
    """Return the name of an attempt's log."""
    return f"log-{attempt}.txt"


def logs_among(names: Iterable[str]) -> dict[int, str]:
    """Return the names that are names of logs, by attempt and in order."""
    found = {int(match[1]): name for name in names if (match := _NAME.fullmatch(name))}
    return dict(sorted(found.items()))


def logs_in(folder: Path) -> dict[int, Path]:
    """Return the logs in a folder, by attempt and in order; symbolic links are left out."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {attempt: folder / name for attempt, name in logs_among(names).items()}


def presentable(content: bytes) -> bytes:
    """Return the end of a log without the credentials that this process knows."""
    for name in SECRET_VARIABLES:
        value = os.environ.get(name, "").encode()
        if len(value) >= MIN_SECRET_LENGTH:
            content = content.replace(value, HIDDEN)
    if len(content) <= MAX_BYTES:
        return content
    return CUT + content[len(CUT) - MAX_BYTES :]


def append(path: Path, text: str) -> None:
    """Append text to a log. Errors are ignored, because the end of the attempt must not fail."""
    with contextlib.suppress(OSError):
        _write(path, presentable((read_regular(path) if path.exists() else b"") + text.encode(errors="replace")))


class TrialLog:
    """Keeps what this process writes to its standard output and error between `start` and `close`.

    The streams themselves are redirected into the file. So it also holds what C libraries write, and what was written
    before the process was killed.
    """

    def __init__(self, folder: Path, attempt: int) -> None:
        self.path = folder / log_name(attempt)
        self._saved: list[int] | None = None
        self._trimmed_bytes = 0

    def start(self) -> None:
        """Redirect the streams and delete the oldest logs. Nothing is kept if the file cannot be written."""
        with contextlib.suppress(OSError):
            older = [path for path in logs_in(self.path.parent).values() if path != self.path]
            for path in older[: len(older) + 1 - KEPT_ATTEMPTS]:
                path.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
            file = open_regular(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            _flush()
            self._saved = [os.dup(number) for number in STREAMS]
            for number in STREAMS:
                os.dup2(file, number)
            os.close(file)

    def trim(self) -> None:
        """Cut the beginning of a long log, and hide credentials."""
        if self._saved is None:
            return
        _flush()
        with contextlib.suppress(OSError):
            if self.path.stat().st_size != self._trimmed_bytes:
                self._trimmed_bytes = _make_presentable(self.path)

    def close(self) -> None:
        """Restore the streams, and delete the file if it is empty."""
        saved, self._saved = self._saved, None
        if saved is None:
            return
        _flush()
        for number, original in zip(STREAMS, saved, strict=True):
            os.dup2(original, number)
            os.close(original)
        with contextlib.suppress(OSError):
            if not _make_presentable(self.path):
                self.path.unlink()


def _make_presentable(path: Path) -> int:
    """Cut the file and hide credentials in it; return its new size."""
    content = read_regular(path)
    shown = presentable(content)
    if shown != content:
        _write(path, shown)
    return len(shown)


def _write(path: Path, content: bytes) -> None:
    """Replace the content in place, because the streams are redirected to this file."""
    with os.fdopen(open_regular(path, os.O_WRONLY | os.O_CREAT), "wb") as file:
        file.truncate(0)
        file.write(content)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none
            stream.flush()
