"""One training in this process, without Ray, with a progress bar."""

import dataclasses
import time
import uuid
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.user_code import UserCodeError
from trainable import provenance
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.device import builds_fused_kernel, prepare_device
from trainable.errors import RunEndedError, UserError
from trainable.execution import COMPILE_NEEDS_GPU, DEFAULT_EXECUTION, Execution
from trainable.ledger.filesystems import cannot_write, trouble_text
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.remote_ledger import RemoteFolder
from trainable.records import Progress as TrialProgress
from trainable.records import Status
from trainable.session import RunInfo, TrialSession
from trainable.splits import prepare
from trainable.wording import printable_line

LINE_SECONDS = 20.0
"""Time between two lines on the steps of an epoch."""


def train(
    config: TrainConfig,
    data: ImageData,
    folder: Path | RemoteFolder,
    num_threads: int,
    console: Console,
    execution: Execution = DEFAULT_EXECUTION,
) -> Status:
    """Train a trial to its end, resuming from its ledger, and print one line per epoch.

    Raises:
        UserError: the device does not support the precision or the execution, another process is training this trial,
            or the folder cannot be written.
        RunEndedError: the user's model or loss failed, which has been recorded.
    """
    device = prepare_device(num_threads, use_gpu=torch.cuda.is_available())
    if execution.compile and device.type != "cuda":
        raise UserError(COMPILE_NEEDS_GPU)
    if device.type == "cpu" and builds_fused_kernel(lambda line: console.print(line, highlight=False, markup=False)):
        execution = dataclasses.replace(execution, fused=True)
    gpus = 1.0 if device.type == "cuda" else 0.0
    run = RunInfo(uuid.uuid4().hex, num_threads, provenance.code_identity(), execution, gpus=gpus, keep_weights=True)
    trial_data = prepare(data, config, device)
    steps_per_epoch = len(trial_data.train) // config.batch_size
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        session = TrialSession(config, trial_data, folder, device, run)
    except LedgerBusyError:
        raise UserError(f"another process is already training {config.trial_key}: wait for it") from None
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None
    try:
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("step", total=steps_per_epoch * config.epochs)
            lines = _StepLines(console, config, steps_per_epoch)

            def show(completed: int) -> None:
                bar.update(task, completed=completed)
                lines.show(completed)

            while True:
                done = session.epochs_reported * steps_per_epoch
                try:
                    progress = session.next_epoch(lambda step, done=done: show(done + step))  # type: ignore[misc]
                except UserCodeError as error:
                    raise RunEndedError(str(error)) from error
                except OSError as error:
                    local = folder if isinstance(folder, Path) else folder.local
                    raise cannot_write(folder, trouble_text(error, local)) from None
                bar.update(task, completed=session.epochs_reported * steps_per_epoch)
                if progress.note is not None:
                    console.print(printable_line(progress.note), highlight=False, markup=False)
                console.print(printable_line(_line(config, progress)), highlight=False, markup=False)
                if progress.ended:
                    return progress.status
    finally:
        session.close()


class _StepLines:
    """A line on the steps of a training from time to time, for an output that is no terminal and has no bar."""

    def __init__(self, console: Console, config: TrainConfig, steps_per_epoch: int) -> None:
        self._console = console
        self._config = config
        self._steps_per_epoch = steps_per_epoch
        self._last = time.monotonic()

    def show(self, completed: int) -> None:
        """Print a line, unless the last one was printed a short time ago.

        Args:
            completed: number of steps of all epochs.
        """
        if self._console.is_terminal or time.monotonic() - self._last < LINE_SECONDS:
            return
        self._last = time.monotonic()
        epoch, step = divmod(completed - 1, self._steps_per_epoch)
        line = f"epoch {epoch + 1}/{self._config.epochs}  step {step + 1}/{self._steps_per_epoch}"
        self._console.print(line, highlight=False)


def _line(config: TrainConfig, progress: TrialProgress) -> str:
    record = progress.record
    if record is None:
        return f"{progress.status}: {progress.error}"
    train_loss = "not finite" if record.train_loss is None else f"{record.train_loss:.4f}"
    test = "" if record.test_error_percent is None else f"  test error {record.test_error_percent:5.2f} %"
    note = "  (from the store)" if progress.replayed else f"  {record.images_per_second:,.0f} images/s"
    status = f"  {progress.status}" if progress.ended else ""
    return f"epoch {record.epoch}/{config.epochs}  lr {record.lr:.4g}  train loss {train_loss}{test}{note}{status}"
