"""The folder for data that can be recreated: decoded data sets, downloads, copies of remote stores."""

import os
from pathlib import Path

NO_HOME = Path("/nonexistent")
"""The home folder of a user who has none; what is to be written there fails in a message that names it."""


def home_folder() -> Path:
    """Return the user's home folder, or NO_HOME if neither HOME nor the list of users names one."""
    try:
        return Path.home()
    except RuntimeError:
        return NO_HOME


def cache_folder() -> Path:
    """Return `$BATCHSCAPE_CACHE`, else `$XDG_CACHE_HOME/batchscape`, else `~/.cache/batchscape`.

    A variable that is empty counts as not set, and so does a relative XDG_CACHE_HOME, as its specification demands.
    """
    if explicit := os.environ.get("BATCHSCAPE_CACHE"):
        return Path(explicit)
    folder = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (folder if folder.is_absolute() else home_folder() / ".cache") / "batchscape"
