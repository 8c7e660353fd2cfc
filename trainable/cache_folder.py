"""The folder for data that can be recreated: decoded data sets, downloads, copies of remote stores."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return `$BATCHSCAPE_CACHE`, else `$XDG_CACHE_HOME/batchscape`, else `~/.cache/batchscape`."""
    if explicit := os.environ.get("BATCHSCAPE_CACHE"):
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "batchscape"
