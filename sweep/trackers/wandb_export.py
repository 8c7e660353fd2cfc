"""A sweep as a group of runs of Weights & Biases, online or as a folder for `wandb sync`."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweep.trackers.runs import TrackedRun, check_installed, epoch_metrics
from trainable.errors import UserError
from trainable.records import Status
from trainable.wording import counted, first_line

OPTION = "export --wandb"
MARKER = "written-by-batchscape"
"""A file in each offline folder that the export wrote, and may replace."""
OFFLINE_FOLDERS = "wandb/offline-run-*-{}"


def export_wandb(sweep: str, runs: Sequence[TrackedRun], project: str) -> str:
    """Write the runs into a project, as a group with the name of the sweep, and return what to tell the user.

    A run that an earlier export wrote is brought up to date. W&B's own variables hold: WANDB_MODE, WANDB_DIR.

    Raises:
        UserError: W&B is not installed, nobody is logged in, or the project cannot be written.
    """
    check_installed("wandb", OPTION)
    import wandb

    folder = wandb_folder()
    try:
        is_offline = wandb.setup().settings.mode in ("offline", "dryrun")
        settings = wandb.Settings(
            quiet=True,
            silent=is_offline,  # online it may ask for the login
            console="off",
            x_disable_stats=True,
            x_disable_meta=True,
            disable_git=True,
            save_code=False,
        )
        for run in runs:
            earlier = list(folder.glob(OFFLINE_FOLDERS.format(_run_id(run)))) if is_offline else []
            shown = wandb.init(
                project=project,
                group=sweep,
                id=_run_id(run),
                name=run.name,
                config=run.params | run.tags,
                tags=[run.tags["status"].lower()],
                dir=folder,
                resume=None if is_offline else "allow",
                allow_val_change=True,
                settings=settings,
            )
            _log(shown, run)
            if is_offline:
                (Path(shown.dir) / MARKER).touch()
            for other in earlier:
                if (other / "files" / MARKER).exists():
                    shutil.rmtree(other)
    except Exception as error:
        raise UserError(f"{OPTION} {project}: {first_line(error)}") from None
    written = f"{counted(len(runs), 'run')} written to the group {sweep!r} of the project {project!r}"
    return f"{written}\nnext: wandb sync {folder / 'wandb'}/offline-run-*" if is_offline else written


def wandb_folder() -> Path:
    """Return the folder in which W&B's folder `wandb` lies; a trial's own default would be in the scratch folder."""
    return Path(os.environ.get("WANDB_DIR", Path.cwd()))


def _run_id(run: TrackedRun) -> str:
    """Return the same id for the same training, whatever was exported before."""
    row = run.trial.row
    return f"{row.sweep}-{row.trial_key}-{row.start_time:%Y%m%d%H%M%S}"


def _log(shown: Any, run: TrackedRun) -> None:  # noqa: ANN401 (W&B's)
    """Write the epochs that a run lacks, then what holds at the end."""
    for record, at in zip(run.epochs, run.epoch_times, strict=True):
        if record.epoch >= shown.step:
            shown.log({**epoch_metrics(record), "_timestamp": at}, step=record.epoch)
    shown.summary.update(run.final)
    shown.finish(exit_code=int(run.trial.status is Status.FAILED))
