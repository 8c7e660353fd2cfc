"""Where a machine keeps what can be made again: decoded data sets, downloads, copies of remote stores."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$BATCHSCAPE_CACHE`, or `batchscape` in `$XDG_CACHE_HOME`, or `~/.cache/batchscape`."""
    if explicit := os.environ.get("BATCHSCAPE_CACHE"):
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "batchscape"
