"""TensorBoard event files of a trial, with its hyper-parameters, written by tensorboardX."""

import dataclasses
import time
from pathlib import Path
from typing import Any

from trainable.config import SETTABLE_FIELDS, TrainConfig
from trainable.records import EpochRecord
from trainable.wording import printable_line

UNPLOTTED = ("epoch", "step", "attempt")
FINAL_PREFIX = "final/"
FLUSH_SECONDS = 30.0


class TrialEvents:
    """Writes the epochs of one trial as scalars, and purges the epochs that an interrupted attempt lost.

    It writes in the caller's thread, since the thread of tensorboardX's SummaryWriter dies on a full disk and
    `add_scalar` then waits for it for ever. Every method may raise OSError.
    """

    def __init__(self, folder: Path, epochs_done: int, attempt: int) -> None:
        from tensorboardX.event_file_writer import EventsWriter  # slow to import
        from tensorboardX.proto import event_pb2

        folder.mkdir(exist_ok=True)
        suffix = f".{attempt}"  # the time in the file's name is in whole seconds
        self._writer: Any = EventsWriter(str(folder / "events"), suffix)
        self._event: Any = event_pb2.Event
        self._flushed_at = 0.0
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(epochs_done + 1, session_log=start)

    def add_epoch(self, record: EpochRecord) -> None:
        """Write the figures of one epoch."""
        for name, value in _figures(record).items():
            self._add_scalar(name, value, record.epoch)
        if time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self._writer.flush()
            self._flushed_at = time.monotonic()

    def add_hparams(self, config: TrainConfig, last: EpochRecord) -> None:
        """Write the trial's configuration with its final figures, for TensorBoard's HPARAMS page."""
        from tensorboardX.summary import hparams

        values = {**dataclasses.asdict(config), **config.to_dict()}
        chosen = {name: values[name] for name in SETTABLE_FIELDS if values[name] is not None}
        chosen = {
            name: printable_line(str(value)) if isinstance(value, list | str | dict) else value
            for name, value in chosen.items()
        }
        metrics = {FINAL_PREFIX + name: value for name, value in _figures(last).items()}
        for summary in hparams(chosen, metrics):
            self._write(0, summary=summary)
        for name, value in metrics.items():
            self._add_scalar(name, value, last.epoch)

    def close(self) -> None:
        self._writer.close()

    def _add_scalar(self, name: str, value: float, epoch: int) -> None:
        from tensorboardX.summary import scalar

        self._write(epoch, summary=scalar(name, value))

    def _write(self, step: int, **content: object) -> None:
        self._writer.write_event(self._event(wall_time=time.time(), step=step, **content))


def _figures(record: EpochRecord) -> dict[str, float]:
    values = dataclasses.asdict(record).items()
    return {name: value for name, value in values if value is not None and name not in UNPLOTTED}
