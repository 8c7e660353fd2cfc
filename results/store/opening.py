"""Open the store that a user names."""

from pathlib import Path

from results.store.local_store import LocalStore
from results.store.store import Store


def open_store(location: str) -> Store:
    """Return the store in a folder, which need not exist yet, or at a URI such as s3://bucket/prefix.

    Raises:
        UserError: the URI cannot be opened, or the server does not answer.
    """
    if "://" not in location:
        return LocalStore(Path(location))
    from results.store.remote_store import RemoteStore  # imports pyarrow

    return RemoteStore(location)
