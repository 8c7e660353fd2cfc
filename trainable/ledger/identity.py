"""The identity of a store in a folder: a file with a random id, made when a driver first writes to the store.

A store can be moved between runs. If it goes away while a run works on it, the run's processes do not find the id and
stop, instead of making the folder again and training from the beginning in it.
"""

import errno
import os
import uuid
from pathlib import Path

from trainable.ledger.checksums import sealed, unsealed
from trainable.ledger.files import (
    create_scratch,
    read_regular,
    refuse_special,
    remove_scratch,
    sync_folder,
    write_atomically,
)

IDENTITY = "store.json"
GONE = "the store has gone: it was moved, unmounted or deleted"
_ID = "store_id"


def read_identity(store: Path) -> str | None:
    """Return the id of the store in a folder; None if there is none, or it is damaged."""
    try:
        return parse_identity(read_regular(store / IDENTITY))
    except OSError:
        return None


def parse_identity(content: bytes) -> str | None:
    """Return the id in the content of the file, None if it is damaged."""
    try:
        (name, store_id), *others = unsealed(content).items()
    except (ValueError, AttributeError):
        return None
    return store_id if name == _ID and isinstance(store_id, str) and not others else None


def make_identity(store: Path) -> str:
    """Return the id of the store in a folder, which exists; a store without one gets one.

    Raises:
        OSError: the folder cannot be written.
    """
    path = store / IDENTITY
    refuse_special([path])
    if (found := read_identity(store)) is not None:
        remove_scratch(store, IDENTITY)
        return found
    store_id = uuid.uuid4().hex
    content = sealed({_ID: store_id})
    _create(path, content)
    if read_identity(store) is None:  # it is damaged
        write_atomically(path, content)
    return read_identity(store) or store_id


def check_identity(store: Path, store_id: str) -> None:
    """
    Raises:
        OSError: the store with this id is not in the folder.
    """
    if read_identity(store) != store_id:
        raise OSError(errno.ESTALE, GONE, str(store))


def _create(path: Path, content: bytes) -> None:
    """Create a file with this content, unless another process has just done so."""
    file, scratch = create_scratch(path)
    try:
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(scratch, path)
        sync_folder(path.parent)
    except (FileExistsError, FileNotFoundError):  # another process was faster, and may have deleted our scratch file
        pass
    except OSError:  # a file system without links, where two first drivers must not start at the same moment
        write_atomically(path, content)
    finally:
        scratch.unlink(missing_ok=True)
