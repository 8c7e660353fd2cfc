"""TensorBoard event files of a trial, with its hyper-parameters, through tensorboardX."""

import dataclasses
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from trainable.config import SETTABLE_FIELDS, TrainConfig
from trainable.records import EpochRecord

UNPLOTTED = ("epoch", "step", "attempt")
FINAL_PREFIX = "final/"


class TrialEvents:
    """Writes one trial's epochs as scalars over the epoch; an interrupted trial's later epochs are purged."""

    def __init__(self, folder: Path, epochs_done: int, attempt: int) -> None:
        from tensorboardX import SummaryWriter  # slow to import

        suffix = f".{attempt}"  # the file's name has whole seconds only
        self._writer: Any = SummaryWriter(str(folder), purge_step=epochs_done + 1, filename_suffix=suffix)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add_epoch(self, record: EpochRecord) -> None:
        for name, value in dataclasses.asdict(record).items():
            if value is not None and name not in UNPLOTTED:
                self._writer.add_scalar(name, value, record.epoch)

    def add_hparams(self, config: TrainConfig, last: EpochRecord) -> None:
        """Tie the trial's configuration to its final figures, for TensorBoard's HPARAMS page."""
        from tensorboardX.summary import hparams

        values = config.to_dict()
        chosen = {name: values[name] for name in SETTABLE_FIELDS if values[name] is not None}
        chosen = {name: str(value) if isinstance(value, list) else value for name, value in chosen.items()}
        metrics = {
            FINAL_PREFIX + name: value
            for name, value in dataclasses.asdict(last).items()
            if value is not None and name not in UNPLOTTED
        }
        for summary in hparams(chosen, metrics):
            self._writer.file_writer.add_summary(summary)
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, last.epoch)

    def close(self) -> None:
        self._writer.close()
