"""The files in the folder of one trial, and how they are written.

    trials/<key>/config.json        the configuration that is trained
                 attempts.jsonl     one line for each process that worked on the trial
                 epochs.jsonl       one line for each epoch, append only
                 checkpoint-0, -1   the last two checkpoints, each with a checksum and its number of epochs
                 final-state        the state after the last epoch, in the format of a checkpoint; written only for
                                    trials that others may continue from
                 weights.safetensors   the weights after the last epoch (see trainable.ledger.safetensors); written
                                    before the result, and deleted unless a sweep keeps them
                 result.json        how the trial ended; written atomically, and only then
                 log-<n>.txt        the end of what attempt n wrote (see trainable.ledger.trial_log)
                 lock               held (flock) by the writing process; freed by the kernel when that process dies
    trials/<key>.superseded-<n>/    the same files of the n-th training that `run --again` has replaced

This package uses the standard library only (pyarrow where the store is remote): workers write the files, and
`results` reads them.
"""

import contextlib
import errno
import io
import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import IO

CONFIG = "config.json"
ATTEMPTS = "attempts.jsonl"
EPOCHS = "epochs.jsonl"
RESULT = "result.json"
LOCK = "lock"
TENSORBOARD = "tensorboard"
SUPERSEDED = ".superseded-"
CHECKPOINTS = ("checkpoint-0", "checkpoint-1")
FINAL_STATE = "final-state"
WEIGHTS = "weights.safetensors"
IS_LINK, NO_LINK = "is a symbolic link", "put the folder itself there: `run` refuses the link"
"""What is wrong with a trial's folder that is a link, and what is to be done."""
_SCRATCH = re.compile(r"\.(.+)\.(\d+|[0-9a-f]{16})")
"""Names of scratch files; earlier versions used the number of the process."""
_CANNOT_SYNC_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)
"""Errors of file systems that cannot sync a folder, and of folders that this user may write but not read."""


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write so that a reader, or a crash at any moment, sees either the old or the new content as a whole.

    Args:
        durable: the new content survives a power cut when this returns; otherwise once the folder is synced.
    """
    file, scratch = create_scratch(path)
    try:
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        if durable:
            sync_folder(path.parent)
    except BaseException:  # above all a full disk
        scratch.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed and deleted in a folder survive a power cut, if the file system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_FOLDERS:
            raise


def make_folder(folder: Path, *, parents: bool = False) -> None:
    """Make a folder, unless it exists. It survives a power cut when this returns.

    Args:
        parents: make the missing folders above it, too.
    """
    if parents and not folder.parent.exists():
        make_folder(folder.parent, parents=True)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def create_scratch(path: Path) -> tuple[IO[bytes], Path]:
    """Create an empty file beside `path`, under a name that nobody can foresee, and open it for writing."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    return os.fdopen(open_regular(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb"), scratch


def open_regular(path: Path, flags: int) -> int:
    """Open a file, but never through a symbolic link, and never a pipe, which could make us wait for ever.

    Raises:
        OSError: this is no regular file, or it cannot be opened.
    """
    refuse_special([path])
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # it has been replaced since
        os.close(descriptor)
        raise OSError(errno.ELOOP, f"{path.name} is no regular file", str(path))
    return descriptor


class NotRegularError(OSError, ValueError):
    """A folder, a pipe or the like lies in the place of a file. Readers of records count it as damage."""


def open_to_read(path: Path) -> io.BufferedReader:
    """Open a file, also through a symbolic link, but never a pipe, which could make us wait for ever.

    Raises:
        NotRegularError: this is no regular file.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path) -> bytes:
    """Return the content of a file. Errors are those of `open_to_read`."""
    with open_to_read(path) as file:
        return file.read()


def refuse_special(paths: Iterable[Path]) -> None:
    """Refuse all but regular files and folders. A store may come from elsewhere or be shared with others: nothing in
    it may make us write outside of it, or wait for ever.

    Raises:
        OSError: one of these paths is a symbolic link, a pipe or the like.
    """
    for path in paths:
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
            raise OSError(errno.ELOOP, f"{path.name} is {kind}", str(path))


def remove_scratch(folder: Path, name: str | None = None) -> None:
    """Delete half-written files that killed processes left, while no other process may write.

    Args:
        name: the file that was to be written; None for all files of the folder.
    """
    for path in folder.iterdir():
        match = _SCRATCH.fullmatch(path.name)
        if match is not None and name in (None, match[1]):
            with contextlib.suppress(OSError):  # what cannot be deleted does no harm
                path.unlink()
