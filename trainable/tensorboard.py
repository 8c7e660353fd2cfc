"""TensorBoard event files of a trial, with its hyper-parameters, written by tensorboardX."""

import dataclasses
import time
from collections.abc import Mapping
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

    def add_epoch(self, record: EpochRecord, at: float | None = None) -> None:
        """Write the figures of one epoch, which ended at this Unix time; None means now."""
        for name, value in _figures(record).items():
            self._add_scalar(name, value, record.epoch, at)
        if time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self._writer.flush()
            self._flushed_at = time.monotonic()

    def add_hparams(self, config: TrainConfig, last: EpochRecord) -> None:
        """Write the trial's configuration with its final figures, for TensorBoard's HPARAMS page."""
        metrics = {FINAL_PREFIX + name: value for name, value in _figures(last).items()}
        self.add_hparam_row(hparams_of(config), metrics, last.epoch)

    def add_hparam_row(
        self,
        values: Mapping[str, Any],
        metrics: Mapping[str, float],
        epoch: int,
        *,
        page: tuple[Mapping[str, Any], Mapping[str, float]] | None = None,
        at: float | None = None,
    ) -> None:
        """Write a row of the HPARAMS page, and the metrics as scalars.

        Args:
            epoch: the epoch after which the metrics were measured.
            page: examples of all hyper-parameters and metrics of the page, since it has the columns that one of its
                trials names; None means those of this trial.
            at: Unix time; None means now.
        """
        from tensorboardX.summary import hparams

        row = [hparams(*(page or (values, metrics)))[0], *hparams(values, metrics)[1:]]
        for summary in row:
            self._write(0, at, summary=summary)
        for name, value in metrics.items():
            self._add_scalar(name, value, epoch, at)

    def close(self) -> None:
        self._writer.close()

    def _add_scalar(self, name: str, value: float, epoch: int, at: float | None) -> None:
        from tensorboardX.summary import scalar

        self._write(epoch, at, summary=scalar(name, value))

    def _write(self, step: int, at: float | None = None, **content: object) -> None:
        self._writer.write_event(self._event(wall_time=time.time() if at is None else at, step=step, **content))


def hparams_of(config: TrainConfig) -> dict[str, Any]:
    """Return the settable fields that have a value, in types that the HPARAMS page knows."""
    values = {**dataclasses.asdict(config), **config.to_dict()}
    chosen = {name: values[name] for name in SETTABLE_FIELDS if values[name] is not None}
    return {
        name: printable_line(str(value)) if isinstance(value, list | str | dict) else value
        for name, value in chosen.items()
    }


def _figures(record: EpochRecord) -> dict[str, float]:
    values = dataclasses.asdict(record).items()
    return {name: value for name, value in values if value is not None and name not in UNPLOTTED}
