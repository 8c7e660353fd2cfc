"""What the processes of a trial wrote, beside its ledger: log-<attempt>.txt, the end of what each attempt wrote.

Standard library only: the worker writes it, `results` reads it, and both know it from here.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

MAX_BYTES = 64 * 2**10
"""Of an attempt; what was written first is cut off."""
KEPT_ATTEMPTS = 5
"""Files of so many attempts of a trial are kept, the latest."""
CUT = b"[... what came before is cut off]\n"
HIDDEN = b"***"
SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
MIN_SECRET_LENGTH = 8
"""Shorter values are no keys, and stand in too many words."""
STREAMS = (1, 2)
_NAME = re.compile(r"log-([1-9]\d{0,8})\.txt")


def log_name(attempt: int) -> str:
    return f"log-{attempt}.txt"


def logs_among(names: Iterable[str]) -> dict[int, str]:
    """Attempt -> file name, of the names that are those of logs, in order."""
    found = {int(match[1]): name for name in names if (match := _NAME.fullmatch(name))}
    return dict(sorted(found.items()))


def logs_in(folder: Path) -> dict[int, Path]:
    """Attempt -> file, in order; symbolic links are passed over."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {attempt: folder / name for attempt, name in logs_among(names).items()}


def presentable(content: bytes) -> bytes:
    """The end of it, without the credentials that this process knows."""
    for name in SECRET_VARIABLES:
        value = os.environ.get(name, "").encode()
        if len(value) >= MIN_SECRET_LENGTH:
            content = content.replace(value, HIDDEN)
    if len(content) <= MAX_BYTES:
        return content
    return CUT + content[len(CUT) - MAX_BYTES :]


def append(path: Path, text: str) -> None:
    """Add to what is kept of an attempt; nothing where that cannot be written: the attempt's end must not fail."""
    with contextlib.suppress(OSError):
        _write(path, presentable((path.read_bytes() if path.exists() else b"") + text.encode(errors="replace")))


class TrialLog:
    """Between `start` and `close` all that this process writes to its standard output and error is kept.

    The streams themselves are led into the file, so that what a library in C says is kept, too, and what was
    written before the process was killed.
    """

    def __init__(self, folder: Path, attempt: int) -> None:
        self.path = folder / log_name(attempt)
        self._saved: list[int] | None = None
        self._trimmed_bytes = 0

    def start(self) -> None:
        """The logs of long ago go. Where the file cannot be written nothing is kept, and nothing fails."""
        with contextlib.suppress(OSError):
            older = [path for path in logs_in(self.path.parent).values() if path != self.path]
            for path in older[: len(older) + 1 - KEPT_ATTEMPTS]:
                path.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
            file = _open(self.path, os.O_APPEND)
            _flush()
            self._saved = [os.dup(number) for number in STREAMS]
            for number in STREAMS:
                os.dup2(file, number)
            os.close(file)

    def trim(self) -> None:
        """Make what has been written so far presentable."""
        if self._saved is None:
            return
        _flush()
        with contextlib.suppress(OSError):
            if self.path.stat().st_size != self._trimmed_bytes:
                self._trimmed_bytes = _make_presentable(self.path)

    def close(self) -> None:
        """Give the streams back; a file in which nothing stands goes."""
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
    """How long it is afterwards."""
    content = path.read_bytes()
    shown = presentable(content)
    if shown != content:
        _write(path, shown)
    return len(shown)


def _open(path: Path, flags: int = 0) -> int:
    """For writing, and never through a symbolic link."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flags, 0o666)


def _write(path: Path, content: bytes) -> None:
    """In place: the streams lead there."""
    with os.fdopen(_open(path), "wb") as file:
        file.truncate(0)
        file.write(content)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none
            stream.flush()
