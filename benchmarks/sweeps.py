"""Whole sweeps as a user starts them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.harness import ROOT
from results.parquet.files import read_trials
from results.parquet.trials import trials_from_table
from results.store.local_store import LocalStore
from trainable.records import Status, TrialRow


def run(script: str, *arguments: str, settings: Mapping[str, str] | None = None) -> None:
    """Run a script of the checkout as a user would, with some settings in its environment; exit where it fails."""
    command = [sys.executable, script, *arguments]
    environment = os.environ | (settings or {})
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(f"{process.stdout}{process.stderr}\n{' '.join(command)} failed")


def run_sweep(space: Path, store: Path, *options: str, settings: Mapping[str, str] | None = None) -> list[TrialRow]:
    """Run `python tune_main.py run SPACE`, a file named like its space, and return the trials that it completed."""
    run("tune_main.py", "run", str(space), "--store", str(store), *options, settings=settings)
    trials = trials_from_table(read_trials(LocalStore(store), space.stem))
    return [trial.row for trial in trials if trial.row.status == Status.COMPLETE]
