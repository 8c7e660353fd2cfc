"""A sweep as event files for TensorBoard: a folder for each trial, with a row of the HPARAMS page."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from sweep.trackers.runs import SWEEP_TAG, TRIAL_KEY_TAG, TrackedRun
from trainable.errors import UserError
from trainable.tensorboard import TrialEvents, hparams_of
from trainable.wording import counted

MARKER = "written-by-batchscape"
"""A file in each folder that the export wrote, and may write again."""
SHOWN_TAGS = ("status", "purpose", TRIAL_KEY_TAG)
"""Tags that are columns of the HPARAMS page, because TensorBoard has no tags."""


def export_tensorboard(sweep: str, runs: Sequence[TrackedRun], target: str) -> str:
    """Write the runs into `target`/`sweep`, in place of an earlier export, and return what to tell the user.

    Raises:
        UserError: the folder cannot be written.
    """
    folder = Path(target) / sweep
    values = {run.name: hparams_of(run.trial.config) | {name: run.tags[name] for name in SHOWN_TAGS} for run in runs}
    page = (
        {name: value for shown in reversed(values.values()) for name, value in shown.items()},
        {name: value for run in reversed(runs) for name, value in run.final.items()},
    )
    try:
        for marker in folder.glob(f"*/{MARKER}"):
            _empty(marker)
        for run in runs:
            _write(run, folder / run.name.replace("/", "_"), values[run.name], page)
    except OSError as error:
        raise UserError(f"export --tensorboard: cannot write to {folder}: {error.strerror or error}") from None
    return f"{counted(len(runs), 'run')} written to {folder}\nnext: tensorboard --logdir {target}"


def _empty(marker: Path) -> None:
    """Delete what the export wrote into the folder of a trial, and the folder unless it holds something else."""
    for file in marker.parent.glob("events.out.tfevents.*"):
        file.unlink()
    marker.unlink()
    with contextlib.suppress(OSError):
        marker.parent.rmdir()


def _write(
    run: TrackedRun, folder: Path, values: dict[str, object], page: tuple[dict[str, object], dict[str, float]]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text(f"{run.tags[SWEEP_TAG]} {run.tags[TRIAL_KEY_TAG]}\n", encoding="utf-8")
    with contextlib.closing(TrialEvents(folder, 0, run.trial.row.generation)) as events:
        for record, at in zip(run.epochs, run.epoch_times, strict=True):
            events.add_epoch(record, at)
        events.add_hparam_row(values, run.final, len(run.epochs), page=page, at=run.ended)
