"""Open the store that a user names."""

import re
from pathlib import Path

from results.store.local_store import LocalStore
from results.store.manifest import MANIFEST
from results.store.store import Store
from trainable.errors import UserError


def open_store(location: str) -> Store:
    """Return the store in a folder, which need not exist yet, or at a URI such as s3://bucket/prefix.

    Raises:
        UserError: the URI cannot be opened or lacks a slash, the server does not answer, or the location is a file or
            the folder of a sweep.
    """
    if "://" not in location:
        if lost := lost_slash(location):
            raise UserError(f"--store {lost}")
        folder = Path(location)
        if folder.is_file():
            raise UserError(f"--store {location} is a file: give the folder that holds the sweeps")
        if (folder / MANIFEST).is_file():
            raise UserError(f"--store {location} is a sweep of the store --store {folder.parent}: give that")
        return LocalStore(folder)
    from results.store.remote_store import RemoteStore  # imports pyarrow

    return RemoteStore(location)


def lost_slash(location: str) -> str | None:
    """Return what is wrong with a location that is a URI but for a slash, such as `s3:/bucket`; else None."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", location)
    return f"{location} lacks a slash: type {found[1]}://{location[found.end() :]}" if found else None
