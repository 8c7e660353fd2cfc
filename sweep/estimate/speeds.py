"""Measured speeds, and the devices on which they were measured."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainable.probe import Probe


class NoHistoryError(Exception):
    """No measurement tells how fast this work is; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """The device and settings with which trials run; only speeds with equal profiles are compared."""

    device: str
    """Name that the device gives itself."""
    num_threads: int
    compiled: bool = False

    def __str__(self) -> str:
        threads = "1 thread" if self.num_threads == 1 else f"{self.num_threads} threads"
        return f"{self.device}, {threads}" + ", compiled" * self.compiled


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed that one process measured in one training."""

    profile: DeviceProfile
    model: str
    batch_size: int
    precision: str
    """Precision that was asked for, for example auto."""
    precision_resolved: str
    """Precision in which the device computed."""
    run: str
    """Id of the driver's run: speeds of one run share what else the machine was doing. Empty for a probe."""
    train_seconds_per_image: float
    eval_seconds_per_image: float
    peak_memory_bytes: int | None = None

    @classmethod
    def probed(cls, profile: DeviceProfile, probe: "Probe") -> "Speed":
        """Return what a probe of this machine measured."""
        return cls(
            profile=profile,
            model=probe.model,
            batch_size=probe.batch_size,
            precision=probe.precision,
            precision_resolved=probe.precision_resolved,
            run="",
            train_seconds_per_image=probe.train_seconds_per_image,
            eval_seconds_per_image=probe.eval_seconds_per_image,
            peak_memory_bytes=probe.peak_memory_bytes,
        )

    @property
    def is_probe(self) -> bool:
        return not self.run


@dataclass(frozen=True, slots=True)
class RunOverhead:
    """The time that one run of the driver took beside the epochs of its trials."""

    start_up_seconds: float
    """Seconds until the first epoch began."""
    seconds_per_trial: float
    """Seconds that each trial took beside its epochs."""
